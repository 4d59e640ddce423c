"""An executor's side of a chunk: what it makes of a session or an answer that is lost between two jobs.

Who acts between two lines: the server, which runs the chunk; whoever ends sessions; the network, which loses answers.
"""

import psycopg
import pytest

from pgqueue.worker import batch_monitor
from pgqueue.worker.batch import BatchJob, Chunk
from pgqueue.worker.batch_lane import BatchRunner
from tests.harness import eventually
from tests.harness.cut import cut_off
from tests.harness.people import fetch_value

RUNS = "select pid from pg_stat_activity where datname = current_database() and application_name like '%batches' and wait_event_type = 'Lock'"
ENDED = "select array_agg(state::text order by id) from pgqueue.jobs where ended_at is not null"


@pytest.fixture
def runner(context, kept):
    return BatchRunner("pgqueue executor 1", context, kept, lambda *_told: None)


def claim(alice, worker, *statements):
    alice.execute("select count(*) from pgqueue.enqueue_many(%s)", [list(statements)])
    return claim_all(worker)


def claim_all(worker):
    claims = worker.claim()
    return Chunk([BatchJob(c.id, c.token, c.message, f"{c.id}:{c.token}") for c in claims])


def test_a_session_that_is_ended_while_no_job_runs_in_it_fails_none(db, alice, owner, worker, runner, in_background):
    chunk = claim(alice, worker, "select 1", "select 2")
    # The first has run, and is on its way to the history.
    owner.execute("begin; lock table pgqueue.history")

    run = in_background(runner.run, chunk)
    [(pid,)] = eventually(lambda: db.execute(RUNS))
    owner.execute("select pg_terminate_backend(%s)", [pid])
    owner.execute("commit")
    run.result()

    assert fetch_value(alice, ENDED) == ["succeeded", "succeeded"]


@pytest.mark.parametrize("is_last_time", [False, True])
def test_a_session_that_is_ended_counts_for_the_job_that_ran_and_for_no_other(
    db, alice, owner, worker, runner, in_background, is_last_time
):
    owner.execute(f"alter database {db.name} set pgqueue.max_lost_sessions = {1 if is_last_time else 2}")
    owner.execute("create table public.door (); grant all on public.door to alice")
    owner.execute("begin; lock table public.door")
    chunk = claim(alice, worker, "select 1", "select from public.door", "select 3")

    run = in_background(runner.run, chunk)
    [(pid,)] = eventually(lambda: db.execute(RUNS))
    owner.execute("select pg_terminate_backend(%s)", [pid])
    owner.execute("commit")
    run.result()

    assert fetch_value(alice, ENDED) == ["succeeded", *(["failed"] if is_last_time else []), "succeeded"]
    left = (
        "select state::text, deliveries, attempts, (select suspicions from pgqueue.lost_session) from pgqueue.message"
    )
    assert owner.execute(left).fetchall() == ([] if is_last_time else [("ready", 0, 0, 1)])


def test_a_session_that_is_cut_off_fails_no_job(db, alice, owner, worker, kept, runner, in_background):
    owner.execute("create table public.door (); grant all on public.door to alice")
    owner.execute("begin; lock table public.door")
    # Whatever the job calls its session.
    waits = "do $$ begin set application_name = 'mine'; perform from public.door; end $$"
    chunk = claim(alice, worker, "select 1", waits, "select 3")

    run = in_background(runner.run, chunk)
    waiting = "select pid from pg_stat_activity where wait_event_type = 'Lock' and application_name = 'mine'"
    [(pid,)] = eventually(lambda: db.execute(waiting))
    with cut_off(kept._kept.session._connection):
        eventually(lambda: db.execute(waiting) not in ([], [(pid,)]), what="the job waits in another session")
        assert not db.execute("select from pg_stat_activity where pid = %s", [pid])
        owner.execute("commit")
        run.result()

    assert fetch_value(alice, ENDED) == ["succeeded", "succeeded", "succeeded"]


def test_a_job_that_is_canceled_behind_one_that_was_overdue_says_that_it_was_canceled(
    db, alice, owner, worker, context, runner, in_background, monkeypatch
):
    owner.execute("create table public.door (); grant all on public.door to alice")
    owner.execute("begin; lock table public.door")
    resists = "do $$ begin perform pg_sleep(600); exception when query_canceled then null; end $$"
    alice.execute("select pgqueue.enqueue(%s, timeout => '100 ms')", [resists])
    handle = fetch_value(alice, "select pgqueue.enqueue('select from public.door')")
    chunk = claim_all(worker)
    monkeypatch.setattr(batch_monitor, "_PATIENCE_MS", 600_000.0)
    watch = batch_monitor.BatchMonitor(context.database, lambda: [chunk], *[lambda *_told: None] * 3)

    watch.start()
    run = in_background(runner.run, chunk)
    eventually(lambda: db.execute(RUNS), what="the first has resisted, the second waits")
    fetch_value(alice, "select pgqueue.cancel(%s::pgqueue.handle)", [handle])
    run.result()
    watch.stop()
    watch.join()

    ended = alice.execute("select state::text, error from pgqueue.jobs order by id").fetchall()
    # The first has caught its timeout, so it did not commit.
    timed_out = ("failed", "canceling statement due to statement timeout")
    assert ended == [timed_out, ("canceled", "canceling statement due to user request")]


@pytest.mark.parametrize(("statement", "waiting"), [("select pg_sleep(600)", 1), ("select from public.door", 0)])
def test_a_job_that_sleeps_is_sampled_as_one_that_waits_and_one_that_is_locked_out_is_not(
    alice, owner, worker, context, runner, in_background, monkeypatch, statement, waiting
):
    owner.execute("create table public.door (); grant all on public.door to alice")
    owner.execute("begin; lock table public.door")
    handle = fetch_value(alice, "select pgqueue.enqueue(%s)", [statement])
    chunk = claim_all(worker)
    samples = []
    monkeypatch.setattr(batch_monitor, "_LOOKS_PER_SAMPLE", 1)
    watch = batch_monitor.BatchMonitor(
        context.database, lambda: [chunk], *[lambda *_told: None] * 2, lambda *sample: samples.append(sample)
    )

    watch.start()
    run = in_background(runner.run, chunk)
    eventually(lambda: samples[-1:] == [(waiting, 1)], what="the sample")
    fetch_value(alice, "select pgqueue.cancel(%s::pgqueue.handle)", [handle])
    run.result()
    watch.stop()
    watch.join()

    assert set(samples) <= {(waiting, 1), (0, 1), (0, 0)}


@pytest.mark.parametrize("is_written", [True, False])
def test_a_lost_answer_about_a_job_that_failed_fails_no_other(alice, worker, context, runner, monkeypatch, is_written):
    chunk = claim(alice, worker, "select 1", "select 1 / 0", "select 3")
    fetch, losses = context.database.fetch, [True]

    def lose_once(name, **params):
        is_lost = name == "settle_run" and losses and losses.pop()
        if is_lost and is_written:
            fetch(name, **params)
        if is_lost:
            raise psycopg.OperationalError("the connection is lost")
        return fetch(name, **params)

    monkeypatch.setattr(context.database, "fetch", lose_once)
    runner.run(chunk)

    assert fetch_value(alice, ENDED) == ["succeeded", "failed", "succeeded"]
