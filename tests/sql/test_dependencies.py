"""Jobs that wait for other jobs: what the options take, from whom, and what becomes of a job when those before it end."""

import pytest

from tests.harness.people import fetch_one, fetch_value, refused

AFTER = "select pgqueue.enqueue('select 2', after => %s::pgqueue.handle[], on_parent_failure => %s)::text"
STATE = "select state::text from pgqueue.jobs where id = (%s::pgqueue.handle).id"
FUNCTIONS = ("launch", "submit", "enqueue")


def enqueue(session, statement="select 1", function="enqueue"):
    return fetch_value(session, f"select pgqueue.{function}(%s)::text", [statement])


def after(session, *parents, mode="cancel"):
    return fetch_value(session, AFTER, [list(parents), mode])


def state(session, handle):
    return fetch_value(session, STATE, [handle])


def number(handle):
    return int(handle.strip("()").split(",")[0])


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_job_waits_until_the_one_before_it_has_succeeded(alice, worker, function):
    first = enqueue(alice)
    second = fetch_value(
        alice, f"select pgqueue.{function}('select 2', after => array[%s::pgqueue.handle])::text", [first]
    )

    assert fetch_one(alice, "select state::text, parents from pgqueue.jobs where id = %s", [number(second)]) == (
        "waiting",
        [number(first)],
    )
    claims = worker.claim()
    assert [claim.id for claim in claims] == [number(first)]
    assert worker.run(claims[0]) == "succeeded"

    assert fetch_one(alice, "select state::text, parents from pgqueue.jobs where id = %s", [number(second)]) == (
        "queued",
        None,
    )
    assert worker.run_next() == "succeeded"


def test_a_job_waits_for_all_of_several(alice, worker):
    parents = [enqueue(alice) for _ in range(3)]
    last = after(alice, *parents, parents[0])

    for _ in parents:
        assert state(alice, last) == "waiting"
        assert worker.run(worker.claim_one()) == "succeeded"

    assert state(alice, last) == "queued"


def test_a_diamond_runs_in_order(owner, alice, worker):
    owner.execute(
        "create table public.seen (n serial, word text); grant all on public.seen, public.seen_n_seq to alice"
    )
    top = enqueue(alice, "insert into public.seen (word) values ('top')")
    sides = [
        fetch_value(
            alice,
            "select pgqueue.enqueue('insert into public.seen (word) values (''side'')', after => array[%s::pgqueue.handle])::text",
            [top],
        )
        for _ in range(2)
    ]
    fetch_value(
        alice,
        "select pgqueue.enqueue('insert into public.seen (word) values (''bottom'')', after => %s::pgqueue.handle[])::text",
        [sides],
    )

    assert worker.run_all() == ["succeeded"] * 4
    assert [row[0] for row in owner.execute("select word from public.seen order by n")] == [
        "top", "side", "side", "bottom",
    ]  # fmt: skip
    assert fetch_value(owner, "select count(*) from pgqueue.dependency") == 0


@pytest.mark.parametrize(("mode", "states"), [("cancel", ["canceled"] * 3), ("run", ["queued", "waiting", "waiting"])])
def test_the_failure_of_a_parent_cancels_all_that_depends_on_it_or_lets_it_run(alice, worker, mode, states):
    first = enqueue(alice, "select 1/0")
    chain = [first]
    for _ in range(3):
        chain.append(after(alice, chain[-1], mode=mode))

    assert worker.run(worker.claim_one()) == "failed"

    assert [state(alice, job) for job in chain[1:]] == states


def test_a_canceled_dependant_names_the_job_that_failed(alice, worker):
    first = enqueue(alice, "select 1/0")
    second = after(alice, first)
    assert worker.run(worker.claim_one()) == "failed"

    assert fetch_one(alice, "select sqlstate, error from pgqueue.jobs where id = %s", [number(second)]) == (
        "57014",
        f"canceled because job {number(first)}, for which it waited, did not succeed",
    )


def test_a_chain_longer_than_the_stack_is_canceled(owner, alice, worker):
    first = enqueue(alice, "select 1/0")
    alice.execute(
        """do $do$
           declare h pgqueue.handle;
           begin
             select (j.handle).id, (j.handle).cookie into h from pgqueue.jobs j;
             for n in 1 .. 1500 loop
               h := pgqueue.enqueue('select 1', after => array[h]);
             end loop;
           end $do$"""
    )

    assert worker.run(worker.claim_one()) == "failed"

    assert fetch_value(owner, "select count(*) from pgqueue.jobs where state = 'canceled'") == 1500
    assert number(first) > 0


def test_a_parent_that_is_tried_again_has_not_ended(alice, worker):
    first = fetch_value(alice, "select pgqueue.enqueue('select 1/0', max_attempts => 2, backoff => '0')::text")
    second = after(alice, first)

    assert worker.run(worker.claim_one()) == "retried"
    assert state(alice, second) == "waiting"
    assert worker.run(worker.claim_one()) == "failed"
    assert state(alice, second) == "canceled"


@pytest.mark.parametrize(("statement", "mode", "expected"), [
    ("select 1", "cancel", "queued"),
    ("select 1/0", "cancel", "canceled"),
    ("select 1/0", "run", "queued"),
])  # fmt: skip
def test_a_parent_may_have_ended_before(alice, worker, statement, mode, expected):
    first = enqueue(alice, statement)
    worker.run(worker.claim_one())

    assert state(alice, after(alice, first, mode=mode)) == expected


def test_a_canceled_parent_and_a_purged_one_did_not_succeed(owner, alice):
    first = enqueue(alice)
    second = after(alice, first)
    assert fetch_value(alice, "select pgqueue.cancel(%s::pgqueue.handle)", [first])
    assert state(alice, second) == "canceled"

    third = fetch_value(alice, "select pgqueue.enqueue('select 1', queue => 'other')::text")
    fourth = after(alice, third)
    fifth = fetch_value(
        alice, "select pgqueue.enqueue('select 1', queue => 'other', after => array[%s::pgqueue.handle])::text", [third]
    )
    assert fetch_value(owner, "select pgqueue.purge('other')") == 2
    assert [state(alice, job) for job in (fourth, fifth)] == ["canceled", "canceled"]


def test_a_waiting_job_can_be_canceled_and_takes_its_own_dependants_along(owner, alice, worker):
    first = enqueue(alice)
    second = after(alice, first)
    third = after(alice, second)
    fourth = after(alice, second, mode="run")

    assert fetch_value(alice, "select pgqueue.cancel(%s::pgqueue.handle)", [second])

    assert [state(alice, job) for job in (second, third, fourth)] == ["canceled", "canceled", "queued"]
    assert worker.run_all() == ["succeeded", "succeeded"]
    assert fetch_value(owner, "select count(*) from pgqueue.dependency") == 0


def test_cancel_jobs_takes_waiting_ones_by_their_state(alice):
    first = enqueue(alice)
    second = after(alice, first)

    assert fetch_value(alice, "select pgqueue.cancel_jobs(state => 'waiting')") == 1

    assert [state(alice, job) for job in (first, second)] == ["queued", "canceled"]


def test_a_delay_counts_from_the_submission(alice, worker):
    first = enqueue(alice)
    second = fetch_value(
        alice, "select pgqueue.enqueue('select 2', after => array[%s::pgqueue.handle], delay => '1 h')::text", [first]
    )
    worker.run(worker.claim_one())

    assert fetch_one(
        alice, "select state::text, eta > clock_timestamp() from pgqueue.jobs where id = %s", [number(second)]
    ) == ("queued", True)
    assert worker.claim() == []


def test_enqueue_many_makes_each_job_wait(alice, worker):
    first = enqueue(alice)
    count = "select count(*) from pgqueue.enqueue_many(array_fill('select 1'::text, array[100]), after => array[%s::pgqueue.handle])"
    assert fetch_value(alice, count, [first]) == 100
    assert fetch_value(alice, "select waiting from pgqueue.queues where queue = 'default'") == 100

    assert worker.run_all() == ["succeeded"] * 101


def test_numbers_name_parents_too(alice):
    first = enqueue(alice)

    assert fetch_value(
        alice,
        "select (pgqueue.enqueue('select 1', after => array[%s::bigint]::pgqueue.handle[])).id > 0",
        [number(first)],
    )


def test_a_job_in_a_serializable_transaction_releases_with_the_next_tick(alice, worker):
    alice.execute("set default_transaction_isolation = 'serializable'")
    first = fetch_value(alice, "select pgqueue.launch('select 1')::text")
    alice.execute("reset default_transaction_isolation")
    second = after(alice, first)
    assert worker.run_next() == "succeeded"
    worker.tick()

    assert state(alice, second) == "queued"


def test_a_submitter_may_be_repeatable_read(alice, worker):
    first = enqueue(alice)
    alice.execute("begin isolation level repeatable read; select 1")
    second = after(alice, first)
    assert worker.run(worker.claim_one()) == "succeeded"
    alice.execute("commit")
    assert state(alice, second) == "waiting"
    worker.tick()

    assert state(alice, second) == "queued"


def test_a_job_that_waits_is_not_in_the_way_of_its_unique_key(alice, worker):
    first = enqueue(alice)
    call = "select (pgqueue.enqueue('select 2', unique_key => 'k', after => array[%s::pgqueue.handle])).id"
    second = fetch_value(alice, call, [first])

    assert fetch_value(alice, call, [first]) == second
    assert worker.run_all() == ["succeeded", "succeeded"]


def test_a_job_that_would_wait_for_itself_is_refused(alice):
    first = fetch_value(alice, "select pgqueue.enqueue('select 1', unique_key => 'k')::text")

    error = refused(
        alice, "select pgqueue.enqueue('select 1', unique_key => 'k', after => array[%s::pgqueue.handle])", [first]
    )

    assert (error.sqlstate, error.diag.message_primary) == ("22023", f"job {number(first)} cannot wait for itself")


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize(("options", "sqlstate", "message"), [
    ("on_parent_failure => 'ignore'", "22023", 'on_parent_failure "ignore" is not known'),
    ("after => array[null::pgqueue.handle]", "22023", "after must be a list of handles"),
    ("after => array[row(null, null)::pgqueue.handle]", "22023", "after must be a list of handles"),
    ("after => array[row(999999, 1)::pgqueue.handle]", "42704", "job 999999 is not known"),
    ("batch => 999999", "42704", "batch 999999 is not known"),
])  # fmt: skip
def test_what_cannot_be_is_refused(alice, function, options, sqlstate, message):
    error = refused(alice, f"select pgqueue.{function}('select 1', {options})")

    assert (error.sqlstate, error.diag.message_primary) == (sqlstate, message)
    assert error.diag.message_hint
    assert fetch_value(alice, "select count(*) from pgqueue.jobs") == 0


def test_the_secret_of_a_parent_is_needed(alice):
    first = enqueue(alice)

    error = refused(alice, AFTER, [[f"({number(first)},1)"], "cancel"])

    assert error.sqlstate == "55000"


def test_a_job_of_another_role_is_no_parent(owner, alice, bob, db):
    mine = enqueue(alice)

    assert refused(bob, AFTER, [[mine], "cancel"]).sqlstate == "42501"
    assert refused(bob, AFTER, [[f"({number(mine)},)"], "cancel"]).sqlstate == "42501"
    owner.execute("grant alice to bob")
    assert state(bob, after(bob, mine)) == "waiting"


def test_a_retried_parent_is_another_job(alice, worker):
    first = enqueue(alice, "select 1/0")
    second = after(alice, first)
    worker.run(worker.claim_one())
    again = fetch_value(alice, "select pgqueue.retry(%s::pgqueue.handle)::text", [first])

    assert state(alice, second) == "canceled"
    assert state(alice, after(alice, again)) == "waiting"


def test_a_job_may_wait_for_the_one_that_submits_it(owner, alice, worker):
    owner.execute("create table public.seen (word text); grant all on public.seen to alice")
    first = enqueue(
        alice,
        """do $do$
           begin
             perform pgqueue.enqueue('insert into public.seen values (''later'')',
                                     after => array[(select j.handle from pgqueue.jobs j)]);
           end $do$""",
    )

    assert worker.run_all() == ["succeeded", "succeeded"]
    assert fetch_value(owner, "select word from public.seen") == "later"
    assert state(alice, first) == "succeeded"
