"""`pgqueue.snooze` in a real worker: in both lanes, and in queues whose jobs share transactions."""

from __future__ import annotations

import pytest

import pgqueue
from pgqueue import JobState
from tests.harness import Database, eventually
from tests.integration.test_celery_worker import StartWorker

#: It puts itself off twice.
CALL = """insert into seen values ({n}, pg_current_xact_id()::text);
          select case when (select count(*) from seen where job = {n}) < 3 then pgqueue.snooze('300 ms')::text else 'done' end"""
ENDED = (JobState.SUCCEEDED, JobState.FAILED)


@pytest.fixture
def client(db: Database, start_worker: StartWorker) -> pgqueue.Client:
    db.execute("create table seen (job int, xact text); grant all on seen to public")
    start_worker(db)
    db.create_role("carol")
    client = pgqueue.connect(db.dsn_for("carol"))
    db.at_close(client.close)
    return client


def test_at_the_top_level_it_commits_each_run_and_keeps_the_last_result(db: Database, client: pgqueue.Client) -> None:
    job = client.launch(CALL.format(n=1))

    assert job.result(timeout=60) == [("done",)]

    status = job.status()
    assert (status.state, status.attempts, status.snoozes) == (JobState.SUCCEEDED, 1, 2)
    assert db.fetch_value("select count(distinct xact) from seen") == 3


@pytest.mark.parametrize("group_commit", [1, 100])
def test_in_the_batch_lane_it_does_too(db: Database, client: pgqueue.Client, group_commit: int) -> None:
    db.execute("select pgqueue.configure('group_commit', %s, queue => 'default')", [str(group_commit)])
    jobs = client.enqueue_many([CALL.format(n=n) for n in range(6)] + ["insert into seen values (9, '')"])

    eventually(lambda: all(job.status().state in ENDED for job in jobs), 60)

    assert [job.status().snoozes for job in jobs] == [2] * 6 + [0]
    assert [job.status().state for job in jobs] == [JobState.SUCCEEDED] * 7
    assert db.execute("select job, count(*) from seen group by 1 order by 1") == [*((n, 3) for n in range(6)), (9, 1)]


def test_a_job_that_fails_after_it_has_failed(db: Database, client: pgqueue.Client) -> None:
    jobs = [
        client.submit("insert into seen values (1, ''); select pgqueue.snooze('1 h'); select 1 / 0"),
        client.launch("insert into seen values (1, ''); select pgqueue.snooze('1 h'); select 1 / 0"),
    ]

    eventually(lambda: all(job.status().state is JobState.FAILED for job in jobs), 60)

    assert [job.status().snoozes for job in jobs] == [0, 0]
    assert db.fetch_value("select count(*) from seen") == 0


def test_what_runs_outside_a_transaction_cannot_be_put_off(db: Database, client: pgqueue.Client) -> None:
    db.execute(
        """create procedure waits() language plpgsql as $$begin commit; perform pgqueue.snooze('1 h'); commit; end$$;
           grant execute on procedure waits to public"""
    )
    job = client.launch("call waits()")

    with pytest.raises(pgqueue.PgQueueError, match="can only be called in the transaction of a job"):
        job.result(timeout=60)


def test_a_job_that_waits_is_changed_and_one_that_has_ended_is_not(db: Database, client: pgqueue.Client) -> None:
    job = client.launch("select $1::int", params=[1], delay=3600)

    assert job.update(params=[2], timeout=30)
    assert job.update(eta=job.status().launched_at)

    assert job.result(timeout=60) == [(2,)]
    assert job.update(priority=1) is False
