"""Jobs are neither lost nor doubled, whatever dies."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.harness import Database, TestServer, Worker, eventually

pytestmark = [pytest.mark.slow, pytest.mark.kills, pytest.mark.timeout(300)]

StartWorker = Callable[..., Worker]


def _enqueue_inserts(db: Database, count: int, seconds_each: float) -> None:
    db.execute("select pgqueue.enroll('postgres')")
    db.execute("create table effect (n int)")
    db.execute(
        "select count(*) from pgqueue.enqueue_many(array("
        "  select format('insert into effect select %%s from pg_sleep(%%s)', n, %s::text) from generate_series(1, %s) n))",
        [seconds_each, count],
    )


def _count_done(db: Database) -> int:
    return int(db.fetch_value("select count(*) from pgqueue.jobs where ended_at is not null"))


def _effects(db: Database) -> list[int]:
    return [n for (n,) in db.execute("select n from effect order by n")]


def test_two_hundred_jobs_have_two_hundred_effects_though_the_worker_is_killed_ten_times(
    db: Database, start_worker: StartWorker
) -> None:
    db.execute(f"alter database {db.name} set pgqueue.naptime = '500 ms'")
    _enqueue_inserts(db, 200, 0.03)

    for kill in range(1, 11):
        worker = start_worker(db, arguments=["--concurrency=1", "--executors=3"])
        eventually(lambda: _count_done(db) >= kill * 15, 60, what=f"{kill * 15} jobs done")  # noqa: B023
        worker.kill()
    start_worker(db, arguments=["--concurrency=1", "--executors=3"])
    eventually(lambda: _count_done(db) == 200, 60, what="all jobs done")

    assert _effects(db) == list(range(1, 201))
    assert db.fetch_value("select count(*) from pgqueue.message") == 0
    assert db.execute("select distinct state from pgqueue.jobs") == [("succeeded",)]


@pytest.mark.parametrize("how", ["restart", "crash"])
def test_a_worker_goes_on_by_itself_after_the_server_went_three_times(
    own_server: TestServer, own_server_db: Database, start_worker: StartWorker, how: str
) -> None:
    db = own_server_db
    _enqueue_inserts(db, 300, 0.02)
    worker = start_worker(db, arguments=["--concurrency=1", "--executors=3"])

    for time in (1, 2, 3):
        eventually(lambda: _count_done(db) >= time * 60, 60, what=f"{time * 60} jobs done")  # noqa: B023
        if how == "restart":
            own_server.embedded.restart()
        else:
            own_server.embedded.crash()
            own_server.embedded.start()
    eventually(lambda: _count_done(db) == 300, 90, what="all jobs done")

    assert worker.exit_code is None
    assert _effects(db) == list(range(1, 301))
    assert db.execute("select distinct state from pgqueue.jobs") == [("succeeded",)]


def test_a_worker_that_is_told_to_stop_finishes_what_runs_and_gives_back_the_rest(
    db: Database, start_worker: StartWorker
) -> None:
    _enqueue_inserts(db, 40, 0.5)
    worker = start_worker(db, arguments=["--concurrency=1", "--executors=2"])
    eventually(lambda: db.fetch_value("select count(*) from pgqueue.jobs where state = 'running'") == 2, what="two run")

    worker.terminate()

    assert worker.wait() == 0
    done = _count_done(db)
    assert len(_effects(db)) == done
    assert 2 <= done < 40
    assert db.execute("select state::text, count(*) from pgqueue.message group by state") == [("ready", 40 - done)]
    assert db.fetch_value("select max(deliveries) from pgqueue.message") == 0
    assert db.fetch_value("select count(*) from pgqueue.worker") == 0
