"""Progress: others see it at once, before the job commits, and it costs the job nothing."""

from tests.harness import eventually
from tests.harness.jobs import launch
from tests.harness.people import fetch_value


def progress_of(job):
    return job.row["progress_pct"], job.row["progress_msg"]


def test_progress_is_seen_by_others_while_the_job_runs(bob, owner, alice, executors):
    owner.execute("grant alice to bob")
    job = launch(alice, "select pgqueue.progress(30, 'a third'); select pg_sleep(60)")

    eventually(lambda: progress_of(job) == (30, "a third"))

    assert job.state == "running"
    assert fetch_value(bob, f"select progress_msg from pgqueue.jobs where id = {job.id}") == "a third"
    job.cancel()


def test_progress_arrives_in_the_middle_of_a_statement(alice, executors):
    job = launch(
        alice,
        "do $$ begin for i in 1..600 loop perform pgqueue.progress(i / 6, format('step %s', i));"
        " perform pg_sleep(0.01); end loop; end $$",
    )
    seen = set()

    def has_seen_enough():
        if job.state == "running":
            seen.add(progress_of(job)[0])
        return len(seen) >= 5

    eventually(has_seen_enough)
    job.cancel()
    job.end()


def test_client_min_messages_does_not_hide_progress(alice, executors):
    job = launch(alice, "set client_min_messages = error; select pgqueue.progress(99, null); select pg_sleep(60)")

    eventually(lambda: progress_of(job) == (99, None))
    job.cancel()


def test_a_flood_of_progress_does_not_hold_the_job_up(alice, executors):
    job = launch(alice, "do $$ begin for i in 1..20000 loop perform pgqueue.progress(i / 200, 'x'); end loop; end $$")

    row = job.end()

    assert row["state"] == "succeeded"
    assert row["duration_ms"] < 10_000


def test_what_only_looks_like_progress_is_ignored(alice, executors):
    job = launch(
        alice, "do $$ begin raise info using errcode = 'PQ001', message = 'no json'; raise notice 'hello'; end $$"
    )

    assert job.end()["state"] == "succeeded"
    assert progress_of(job) == (None, None)


def test_a_repeatable_read_job_may_tell_its_progress(alice, owner, executors):
    alice.execute("set default_transaction_isolation = 'repeatable read'")
    job = launch(alice, "select 1; select pgqueue.progress(1); select pg_sleep(0.3)")

    assert job.end()["state"] == "succeeded"
    executors.claimant.tick()
    assert fetch_value(owner, "select count(*) from pgqueue.activity") == 0


def test_the_last_progress_stays_however_fast_it_came(alice, executors):
    job = launch(alice, "do $$ begin for i in 1..100 loop perform pgqueue.progress(i); end loop; end $$")

    assert job.end()["progress_pct"] == 100
