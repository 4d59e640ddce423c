"""Batches of jobs: their counts, their callbacks, when they end, and who may add to them."""

import pytest

from tests.harness.people import fetch_one, fetch_value, refused

COUNTS = "select total, waiting, running, succeeded, failed, ended_at is not null from pgqueue.batches where id = %s"
ALL = "on_success => $$select 'success'$$, on_failure => $$select 'failure'$$, on_end => $$select 'end'$$"
CALLBACKS = "select array_agg(statement order by id) from pgqueue.jobs where label = 'b' and statement ~ $$'(success|failure|end)'$$"


def make(session, options=ALL):
    return fetch_value(session, f"select pgqueue.batch('b', {options})")


def add(session, batch, statement="select 1", function="enqueue"):
    return fetch_value(session, f"select (pgqueue.{function}(%s, batch => %s)).id", [statement, batch])


def counts(session, batch):
    return fetch_one(session, COUNTS, [batch])


def test_a_batch_counts_its_jobs_and_ends_with_the_last(alice, worker):
    with alice.transaction():
        batch = make(alice)
        for _ in range(3):
            add(alice, batch)
    assert counts(alice, batch) == (3, 3, 0, 0, 0, False)

    worker.run(worker.claim_one())
    assert counts(alice, batch) == (3, 2, 0, 1, 0, False)
    assert fetch_value(alice, CALLBACKS) is None
    worker.run(worker.claim_one())
    worker.run(worker.claim_one())

    assert counts(alice, batch) == (3, 0, 0, 3, 0, True)
    assert fetch_value(alice, CALLBACKS) == ["select 'success'", "select 'end'"]
    assert worker.run_all() == ["succeeded"] * 2


def test_a_failure_calls_the_other_callback(owner, alice, worker):
    with alice.transaction():
        batch = make(alice)
        add(alice, batch, "select 1/0")
        canceled = add(alice, batch)
        add(alice, batch)
    assert fetch_value(alice, "select pgqueue.cancel(%s::bigint)", [canceled])
    for claim in worker.claim():
        worker.run(claim)

    assert counts(alice, batch) == (3, 0, 0, 1, 2, True)
    assert fetch_value(alice, CALLBACKS) == ["select 'failure'", "select 'end'"]
    assert fetch_value(owner, "select count(*) from pgqueue.batch_outcome") == 0


def test_a_job_of_a_batch_adds_more_to_it(alice, worker):
    with alice.transaction():
        batch = make(alice)
        add(alice, batch, f"select pgqueue.enqueue('select 1', batch => {batch})")
    worker.run(worker.claim_one())
    assert counts(alice, batch) == (2, 1, 0, 1, 0, False)

    worker.run(worker.claim_one())
    assert counts(alice, batch) == (2, 0, 0, 2, 0, True)


@pytest.mark.parametrize("function", ["launch", "submit", "enqueue"])
def test_each_function_adds(alice, worker, function):
    batch = make(alice)
    add(alice, batch, function=function)

    assert worker.run_next() == "succeeded"
    assert counts(alice, batch) == (1, 0, 0, 1, 0, True)


def test_enqueue_many_adds_all(alice, worker):
    batch = make(alice)
    alice.execute("select pgqueue.enqueue_many(array_fill('select 1'::text, array[50]), batch => %s)", [batch])
    assert counts(alice, batch) == (50, 50, 0, 0, 0, False)

    worker.run_all()
    assert counts(alice, batch) == (50, 0, 0, 50, 0, True)


def test_a_batch_that_has_ended_takes_no_more(alice, worker):
    batch = make(alice)
    add(alice, batch)
    worker.run(worker.claim_one())

    error = refused(alice, "select pgqueue.enqueue('select 1', batch => %s)", [batch])

    assert (error.sqlstate, error.diag.message_primary) == ("55000", f"batch {batch} has ended")
    assert error.diag.message_hint


def test_a_batch_without_jobs_stays_open(alice, worker):
    batch = make(alice)
    worker.tick()

    assert counts(alice, batch) == (0, 0, 0, 0, 0, False)


def test_a_member_that_waits_is_counted_and_holds_the_batch_open(alice, worker):
    with alice.transaction():
        batch = make(alice)
        first = fetch_value(alice, "select pgqueue.enqueue('select 1', batch => %s)::text", [batch])
        alice.execute(
            "select pgqueue.enqueue('select 2', batch => %s, after => array[%s::pgqueue.handle])", [batch, first]
        )
    worker.run(worker.claim_one())
    assert counts(alice, batch) == (2, 1, 0, 1, 0, False)

    worker.run(worker.claim_one())
    assert counts(alice, batch) == (2, 0, 0, 2, 0, True)


def test_a_member_whose_parent_had_failed_ends_as_failed(alice, worker):
    first = fetch_value(alice, "select pgqueue.enqueue('select 1/0')::text")
    worker.run(worker.claim_one())
    batch = make(alice)
    alice.execute("select pgqueue.enqueue('select 2', batch => %s, after => array[%s::pgqueue.handle])", [batch, first])

    assert counts(alice, batch) == (1, 0, 0, 0, 1, True)


def test_a_callback_runs_as_the_owner_with_its_settings(owner, alice, worker):
    owner.execute("create table public.seen (who text, zone text); grant all on public.seen to alice")
    alice.execute("set timezone = 'Asia/Tokyo'")
    batch = make(alice, "on_end => $$insert into public.seen values (current_user, current_setting('timezone'))$$")
    add(alice, batch)
    worker.run_all()
    worker.run_all()

    assert fetch_one(owner, "select * from public.seen") == ("alice", "Asia/Tokyo")


def test_another_role_neither_sees_a_batch_nor_adds_to_it(owner, alice, bob):
    batch = make(alice)

    assert fetch_value(bob, "select count(*) from pgqueue.batches") == 0
    assert refused(bob, "select pgqueue.enqueue('select 1', batch => %s)", [batch]).sqlstate == "42501"
    assert refused(bob, "select pgqueue.launch('select 1', batch => %s)", [batch]).sqlstate == "42501"
    owner.execute("grant alice to bob")
    assert add(bob, batch) > batch


@pytest.mark.parametrize(("options", "sqlstate"), [("on_end => ''", "22023"), ("on_success => ' '", "22023")])
def test_a_callback_that_could_not_be_enqueued_is_refused(alice, options, sqlstate):
    assert refused(alice, f"select pgqueue.batch({options})").sqlstate == sqlstate


def test_the_transaction_decides_about_the_batch(alice, worker):
    with alice.transaction(force_rollback=True):
        add(alice, make(alice))

    assert fetch_value(alice, "select count(*) from pgqueue.batches") == 0
    assert worker.claim() == []


def test_retention_forgets_what_has_ended_and_what_was_never_used(owner, alice, worker):
    ended, _unused, used = make(alice), make(alice), make(alice)
    add(alice, ended)
    worker.run_all()
    worker.run_all()
    add(alice, used)
    owner.execute("select pgqueue._forget_batches(clock_timestamp())")

    assert [row[0] for row in alice.execute("select id from pgqueue.batches")] == [used]


def test_group_commits_end_batches_and_release_jobs(owner, alice, worker):
    with alice.transaction():
        batch = make(alice, "on_end => 'select 1'")
        ids = [add(alice, batch) for _ in range(3)]
    handles = [row[0] for row in alice.execute("select handle::text from pgqueue.jobs where id = any (%s)", [ids])]
    last = fetch_value(alice, "select (pgqueue.enqueue('select 9', after => %s::pgqueue.handle[])).id", [handles])
    claims = worker.claim()
    assert [claim.id for claim in claims] == ids
    worker.batch_executor.session.execute(
        "select pgqueue_run.finish_group(%s, %s, %s, array_fill(now(), array[3]), array_fill(now(), array[3]), 'w1')",
        [ids, [claim.token for claim in claims], [1, 1, 1]],
    )

    assert counts(alice, batch) == (3, 0, 0, 3, 0, True)
    assert fetch_value(alice, "select state::text from pgqueue.jobs where id = %s", [last]) == "queued"


@pytest.mark.parametrize("timeout", ["soon", "", "-1 day", "infinity", "9e99 years"])
def test_settings_of_which_no_job_can_be_made_are_refused_with_the_batch(alice, timeout):
    """The job is made at the end of the batch: an error there would fail the last member, or upkeep for all roles."""
    order = "insert into pgqueue.batch_order (on_end, settings) values ('select 1', jsonb_build_object('pgqueue.worker_timeout', %s::text))"
    assert refused(alice, order, [timeout]).sqlstate == "22023"

    # A setting that is empty counts as none.
    alice.execute("select set_config('pgqueue.worker_timeout', %s, false)", [timeout or "never"])
    assert refused(alice, "select pgqueue.batch(on_end => 'select 1')").sqlstate.startswith("22")


@pytest.mark.parametrize("timeout", ["0", "1 h"])
def test_the_callback_of_a_batch_inherits_the_timeout(alice, owner, worker, timeout):
    alice.execute("select set_config('pgqueue.worker_timeout', %s, false)", [timeout])
    with alice.transaction():
        add(alice, make(alice))
    worker.run(worker.claim_one())

    callbacks = owner.execute("select distinct timeout::text from pgqueue.message where label = 'b'").fetchall()
    assert callbacks == [(None if timeout == "0" else "01:00:00",)]


def test_a_batch_whose_callback_cannot_be_enqueued_keeps_no_other_from_ending(alice, bob, owner):
    broken, sound = (fetch_value(each, "select pgqueue.batch(on_end => 'select 1')") for each in (alice, bob))
    # No role can make such a batch.
    change = "update pgqueue.batch set settings = jsonb_build_object('pgqueue.worker_timeout', %s::text) where id = %s"
    owner.execute(change, ["soon", broken])
    owner.execute("insert into pgqueue.dependency_check (parent) values (%s), (%s)", [broken, sound])
    said = []
    owner.add_notice_handler(lambda notice: said.append(notice.message_primary))
    ended = "select array_agg(id order by id) from pgqueue.batch where ended_at is not null"

    owner.execute("select pgqueue._check_dependencies(100)")
    assert fetch_value(owner, ended) == [sound]
    assert said == [f'batch {broken} cannot end: invalid input syntax for type interval: "soon"']

    owner.execute(change, ["1 h", broken])
    owner.execute("select pgqueue._check_dependencies(100)")
    assert fetch_value(owner, ended) == sorted([broken, sound])
    assert fetch_value(owner, "select count(*) from pgqueue.dependency_check") == 0
