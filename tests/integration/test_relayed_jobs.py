"""SQL jobs by `pgqueue relay --jobs`: a wake-up goes out, the job stays, and a worker of another broker runs it once."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from psycopg.conninfo import make_conninfo

from pgqueue.broker.relay.relay import Relay, Routing
from pgqueue.broker.relay.routes import Route
from pgqueue.broker.worker_session import WorkerSession
from pgqueue.db.database import Database as OwnDatabase
from pgqueue.errors import InvalidArgument
from pgqueue.tasks.job_runs import JobRuns, _Ends
from pgqueue.tasks.run_job import run_job
from pgqueue.worker.batch import BatchJob
from pgqueue.worker.claimed_job import Ending
from tests.harness import Database, eventually
from tests.integration.test_relay import ConfirmingTarget

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
ROOT = Path(__file__).parents[2]
Run = Callable[[int, int], "Ending | None"]
STATE = "select state::text from pgqueue.jobs where id = %s"


class Relayed:
    """A relay with --jobs in a thread of this process, and what it has sent."""

    def __init__(self, db: Database) -> None:
        self.targets: list[ConfirmingTarget] = []
        self.database = OwnDatabase(db.dsn_for(db.worker_role()))
        self.relay = Relay(self.database, Routing([Route("mail", "t")], self._open, has_jobs=True), 100)
        self._thread = threading.Thread(target=self.relay.run)
        self._thread.start()

    def _open(self, _name: str) -> ConfirmingTarget:
        self.targets.append(ConfirmingTarget())
        return self.targets[-1]

    def stop(self) -> None:
        self.relay.stop()
        self._thread.join(30)
        assert not self._thread.is_alive()

    @property
    def sent(self) -> list[tuple[int, int]]:
        """The wake-ups: number of a job, token of the claim."""
        bodies = [json.loads(message.body) for target in self.targets for message in list(target.sent)]
        return [tuple(body[0]) for body in bodies if body[0]]

    def wake_up(self, job_id: int) -> tuple[int, int]:
        """The last wake-up of a job, when it has been sent."""
        return eventually(lambda: [each for each in self.sent if each[0] == job_id])[-1]


@pytest.fixture
def relayed(db: Database) -> Iterator[Relayed]:
    db.execute("select pgqueue.enroll(quote_ident(current_user)::regrole); create table done (id int, who text)")
    running = Relayed(db)
    yield running
    running.stop()
    WorkerSession.close_all()
    running.database.close()


@pytest.fixture
def run(db: Database) -> Iterator[Run]:
    """Does what the task does, in this process."""
    runs = JobRuns(db.dsn_for(db.worker_role()), "w@h")
    yield runs.run
    runs.close()


def enqueue(db: Database, sql: str = "insert into done values (1, current_user)", **options: Any) -> int:
    priority = options.get("priority", 0)
    return int(db.fetch_value("select id from pgqueue.enqueue(%s, queue => 'mail', priority => %s)", [sql, priority]))


def test_a_wake_up_that_comes_twice_runs_its_job_once(db: Database, relayed: Relayed, run: Run) -> None:
    wake_up = relayed.wake_up(enqueue(db))

    with ThreadPoolExecutor(4) as threads:
        endings = list(threads.map(lambda _n: run(*wake_up), range(4)))

    assert sorted(ending.value for ending in endings if ending) == [*["gone"] * 3, "succeeded"]
    assert run(*wake_up) is Ending.GONE
    assert db.execute("select count(*) from done") == [(1,)]


def test_a_job_that_was_canceled_before_its_wake_up_came_does_not_run(db: Database, relayed: Relayed, run: Run) -> None:
    job_id = enqueue(db)
    wake_up = relayed.wake_up(job_id)

    assert db.fetch_value("select pgqueue.cancel(%s)", [job_id]) is True

    assert run(*wake_up) is Ending.CANCELED
    assert db.fetch_value(STATE, [job_id]) == "canceled"
    assert db.execute("select * from done") == []


def test_a_running_job_is_canceled_as_in_any_worker(db: Database, relayed: Relayed, run: Run) -> None:
    # In the lane of one's own session, and in that for all roles.
    for sql in ("select pg_sleep(60)", "do $$ begin perform pg_sleep(60); end $$"):
        job_id = enqueue(db, sql)
        wake_up = relayed.wake_up(job_id)
        with ThreadPoolExecutor(1) as thread:
            ending = thread.submit(run, *wake_up)
            eventually(lambda job_id=job_id: db.fetch_value(STATE, [job_id]) == "running")
            assert db.fetch_value("select pgqueue.cancel(%s)", [job_id]) is True
            assert ending.result(30) is Ending.CANCELED


@pytest.mark.parametrize(
    ("sql", "ending"),
    [
        # Of the session for all roles, and of a session of its submitter.
        ("select 1", Ending.SUCCEEDED),
        ("select 1/0", Ending.FAILED),
        ("select pgqueue.snooze('1 hour')", Ending.SNOOZED),
        ("vacuum done", Ending.HANDED_OVER),
    ],
)
def test_the_task_returns_how_the_run_ended(db: Database, relayed: Relayed, run: Run, sql: str, ending: Ending) -> None:
    assert run(*relayed.wake_up(enqueue(db, sql))) is ending


def test_a_paused_queue_keeps_its_jobs_and_sends_their_wake_ups_again_when_it_is_resumed(
    db: Database, relayed: Relayed, run: Run
) -> None:
    job_id = enqueue(db)
    wake_up = relayed.wake_up(job_id)

    db.execute("select pgqueue.pause('mail')")
    assert run(*wake_up) is Ending.GONE
    assert db.fetch_value(STATE, [job_id]) == "queued"
    db.execute("select pgqueue.resume('mail')")

    again = eventually(lambda: [each for each in relayed.sent if each[0] == job_id and each != wake_up])[-1]
    assert run(*again) is Ending.SUCCEEDED
    assert db.fetch_value(STATE, [job_id]) == "succeeded"


def test_the_jobs_of_a_relay_that_ends_are_free_and_its_wake_ups_run_nothing(
    db: Database, relayed: Relayed, run: Run
) -> None:
    job_id = enqueue(db)
    wake_up = relayed.wake_up(job_id)

    relayed.stop()

    assert run(*wake_up) is Ending.GONE
    assert db.execute("select state::text, deliveries from pgqueue.message where id = %s", [job_id]) == [("ready", 0)]


def test_a_job_holds_a_place_of_the_window_until_a_worker_has_it(db: Database, relayed: Relayed, run: Run) -> None:
    jobs = "select (pgqueue.enqueue('select 1', queue => 'mail')).id from generate_series(1, 101)"
    ids = [job_id for (job_id,) in db.execute(jobs)]
    eventually(lambda: len(relayed.sent) == 100)
    assert db.fetch_value("select count(*) from pgqueue.message where state = 'claimed'") == 100

    assert run(*relayed.sent[0]) is Ending.SUCCEEDED

    relayed.wake_up(ids[-1])


def test_a_queue_of_which_a_relay_passes_the_jobs_on_has_takers(db: Database, relayed: Relayed) -> None:
    takers = "select pgqueue._has_takers('mail')"
    eventually(lambda: db.fetch_value(takers))
    assert db.execute("select relays_to, relays_jobs from pgqueue.workers") == [(["t: fake"], True)]


def test_a_process_that_runs_jobs_when_it_is_woken_is_no_taker_without_the_relay(
    db: Database, relayed: Relayed
) -> None:
    # By another DSN, or it would share the session of the relay in this process.
    runs = JobRuns(make_conninfo(db.dsn_for(db.worker_role()), connect_timeout=9), "w@h")
    try:
        assert runs.run(*relayed.wake_up(enqueue(db))) is Ending.SUCCEEDED
        alone = "select queues, kinds::text from pgqueue.worker where relays_to is null"
        assert db.execute(alone) == [(["mail"], "{}")]
    finally:
        runs.close()


@pytest.mark.parametrize("arguments", [(10**30, 1), (1, 2**63), (True, 1), ("1", 1), (1.0, 1)])
def test_a_forged_wake_up_fails_instead_of_coming_again_for_ever(arguments: tuple[Any, Any]) -> None:
    ended = run_job.apply(args=arguments)

    assert ended.state == "FAILURE"
    assert isinstance(ended.result, InvalidArgument)


def test_a_job_that_comes_again_before_its_first_end_was_read_has_two_ends() -> None:
    ends = _Ends()
    first, second = (BatchJob(1, token, 10, f"1:{token}") for token in (7, 8))
    ends.expect(7)
    ends.on_batch_ended([first], None)
    ends.expect(8)

    assert ends.wait(7, lambda: None) is Ending.RELEASED
    ends.on_batch_ended([second], None)
    assert ends.wait(8, lambda: None) is Ending.RELEASED


# A Celery worker on a folder


class Stack:
    """A relay and workers as processes."""

    def __init__(self, db: Database, folder: Path) -> None:
        for name in ("data_in", "data_out", "control"):
            (folder / name).mkdir()
        self._folder = folder
        options = {"data_folder_in": "data_out", "data_folder_out": "data_out", "control_folder": "control"}
        self._environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "PGQUEUE_RELAY_TO": "filesystem://",
            "RELAYED_BROKER": "filesystem://",
            "RELAYED_OPTIONS": json.dumps(options),
            "RELAYED_BACKEND": db.url,
            "PGQUEUE_DSN": db.dsn_for(db.worker_role()),
        }
        self._running = contextlib.ExitStack()

    def start(self, *command: str) -> subprocess.Popen[bytes]:
        with (self._folder / f"{command[0]}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", *command],
                cwd=self._folder,
                env=self._environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._running.callback(process.wait)
        self._running.callback(lambda: _kill(process))
        return process

    def start_worker(self) -> subprocess.Popen[bytes]:
        return self.start(
            "celery", "-A", "tests.harness.relayed_app", "worker", "--include=pgqueue.tasks.run_job", "--queues=mail",
            "--concurrency=2", "--without-gossip", "--without-mingle", "--loglevel=INFO",
        )  # fmt: skip

    def logs(self) -> str:
        return "\n".join(path.read_text()[-4000:] for path in self._folder.glob("*.log"))

    def end(self) -> None:
        self._running.close()


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture
def stack(db: Database, tmp_path: Path) -> Iterator[Stack]:
    made = Stack(db, tmp_path)
    yield made
    made.end()
    print(made.logs())  # Shown if the test has failed.


@pytest.mark.kills
def test_a_celery_worker_of_another_broker_runs_the_jobs_of_each_role_with_its_rights(
    db: Database, stack: Stack
) -> None:
    alice = db.create_role("alice")
    db.execute("create table of_alice (who text, n int); grant all on of_alice to alice; create table gate ()")
    db.execute("grant select on gate to alice")
    stack.start("pgqueue", "relay", "--queue", "mail", "--jobs")
    worker = stack.start_worker()
    with db.connect(alice) as session:
        session.execute("select pgqueue.enqueue('insert into of_alice values (current_user, 1)', queue => 'mail')")
        refused = session.execute("select id from pgqueue.enqueue('drop table gate', queue => 'mail')").fetchone()
        # It keeps its result, and one is for a session of its submitter.
        session.execute("set statement_timeout = '30 s'")
        answer = session.execute(
            "select * from pgqueue.result(pgqueue.launch('select 6 * 7', queue => 'mail')) as (v int)"
        ).fetchone()
        session.execute("select pgqueue.enqueue('vacuum of_alice', queue => 'mail')")
        eventually(lambda: db.fetch_value("select count(*) from pgqueue.message") == 0)
        # A worker is killed in the middle of a job. The database notices, and the relay wakes up another.
        session.execute(
            "select pgqueue.enqueue('insert into of_alice select current_user, 2 from "
            "(select case when not exists (select from gate) then pg_sleep(60) end) s', queue => 'mail')"
        )
        eventually(lambda: db.fetch_value("select count(*) from pgqueue.jobs where state = 'running'") == 1)
        os.killpg(worker.pid, signal.SIGKILL)
        db.execute("alter table gate add column open boolean; insert into gate values (true)")
        stack.start_worker()
        eventually(lambda: db.fetch_value("select count(*) from pgqueue.message") == 0)

    assert answer == (42,)
    assert db.execute("select * from of_alice order by n") == [("alice", 1), ("alice", 2)]
    assert refused is not None
    assert db.execute("select state::text, sqlstate from pgqueue.jobs where id = %s", [refused[0]]) == [
        ("failed", "42501")
    ]
