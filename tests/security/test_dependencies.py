"""Jobs that wait for jobs, and batches: nobody makes a job of another role wait, run or count."""

import pytest

from tests.harness.people import fetch_one, fetch_value, refused

DEPEND = """select pgqueue._depend(array[%s::bigint], array[%s::bigint],
              jsonb_populate_record(null::pgqueue.job_options, %s::jsonb))"""


@pytest.mark.parametrize(
    "attack",
    [
        "select from pgqueue.dependency",
        "insert into pgqueue.dependency (parent, child) values (1, 2)",
        "delete from pgqueue.dependency",
        "select from pgqueue.dependency_check",
        "select from pgqueue.batch",
        "update pgqueue.batch set on_end = 'select 1'",
        "select from pgqueue.batch_outcome",
        "insert into pgqueue.batch_order (role, on_end) values (10, 'select 1')",
        "select pgqueue._settle_dependants('{1}', true)",
        "select pgqueue._settle_batch(1)",
        "select pgqueue._release_dependant(1)",
        "select pgqueue._link(10, '{1}', null, null, 1)",
        "select pgqueue._settle_members('{1}', '{}')",
        "select pgqueue._note_members('{1}', true)",
        "select pgqueue._end_member(null)",
        "select pgqueue._continue_member(1, 2)",
        "select pgqueue._lock_continued(1, 2)",
        "select pgqueue._write_end(null, 'succeeded', null, null, null)",
    ],
)
def test_no_role_reads_or_writes_who_waits_for_whom(alice, attack):
    assert refused(alice, attack).sqlstate == "42501"


def test_a_handle_is_not_enough_to_make_a_job_of_another_role_wait(alice, bob):
    job_id, cookie = fetch_one(alice, "select (h).id, (h).cookie from pgqueue.enqueue('select 1') h")
    mine = fetch_value(bob, "select to_json(pgqueue.enqueue('select 1'))::text")

    assert refused(bob, DEPEND, [job_id, cookie, f'{{"after": [{mine}]}}']).sqlstate == "42501"
    assert (
        refused(
            bob, "select pgqueue.enqueue('select 1', after => array[(%s, %s)::pgqueue.handle])", [job_id, cookie]
        ).sqlstate
        == "42501"
    )
    assert (
        refused(
            bob, "select pgqueue.submit('select 1', after => array[(%s, %s)::pgqueue.handle])", [job_id, cookie]
        ).sqlstate
        == "42501"
    )


def test_a_job_that_was_submitted_before_is_not_made_to_wait_nor_put_into_a_batch(alice):
    job_id, cookie = fetch_one(alice, "select (h).id, (h).cookie from pgqueue.enqueue('select 1') h")
    other = fetch_value(alice, "select to_json(pgqueue.enqueue('select 1'))::text")
    batch = fetch_value(alice, "select pgqueue.batch()")

    assert refused(alice, DEPEND, [job_id, cookie, f'{{"after": [{other}]}}']).sqlstate == "42501"
    assert refused(alice, DEPEND, [job_id, cookie, f'{{"batch": {batch}}}']).sqlstate == "42501"
    assert fetch_value(alice, "select total from pgqueue.batches") == 0


def test_a_role_learns_nothing_of_the_batches_and_the_waiting_jobs_of_others(alice, bob):
    alice.execute("select pgqueue.batch('secret')")
    alice.execute("select pgqueue.enqueue('select 1', after => array[pgqueue.enqueue('select 1')])")

    assert fetch_value(bob, "select count(*) from pgqueue.batches") == 0
    assert fetch_value(bob, "select count(*) from pgqueue.jobs") == 0
    assert fetch_value(bob, "select coalesce(sum(waiting), 0) from pgqueue.queues") == 0


def test_a_callback_runs_as_the_role_that_made_the_batch_and_not_as_the_one_that_ends_it(owner, alice, bob, worker):
    owner.execute("create table public.seen (who text); grant all on public.seen to public; grant alice to bob")
    batch = fetch_value(alice, "select pgqueue.batch(on_end => 'insert into public.seen values (current_user)')")
    bob.execute("select pgqueue.enqueue('select 1', batch => %s)", [batch])
    worker.run_all()
    worker.run_all()

    assert fetch_value(owner, "select who from public.seen") == "alice"


@pytest.mark.parametrize("settings", ['"x"', "[1]", "null", '{"search_path": 5}', '{"a": {}}'])
def test_a_batch_has_settings_with_which_its_callbacks_can_be_enqueued(alice, settings):
    """Else the last job of the batch would fail, which may be one of another role."""
    making = "insert into pgqueue.batch_order (on_end, settings) values ('select 1', %s) returning id"
    assert refused(alice, making, [settings]).sqlstate == "22023"
    assert refused(alice, making, [f'{{"a.b": "{"x" * 1_000_000}"}}']).sqlstate == "54000"
