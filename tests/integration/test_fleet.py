"""`pgqueue fleet`: real hosts, real workers, real signals."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.harness import Database
from tests.harness.database import Connection
from tests.harness.eventually import eventually
from tests.harness.jobs import launch
from tests.harness.people import fetch_value

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

SET = "select pgqueue.set_fleet('crew', %s, executors => 1)"
PROCESSES = "select number, state, pid, restarts from pgqueue.fleet_processes where fleet is not null order by number"
ONLINE = "select count(*) from pgqueue.workers where worker like 'crew-%' and status = 'online'"
PATIENCE = 60.0


class Host:
    """A process of `pgqueue fleet`, and what was started below it."""

    def __init__(self, db: Database, owner: Connection, log: Path, *arguments: str, **environment: str) -> None:
        self._owner, self._log = owner, log
        dsn = db.dsn_for(db.worker_role())
        variables = {**os.environ, "PGQUEUE_DSN": dsn, "PYTHONUNBUFFERED": "1", **environment}
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "pgqueue", "fleet", "--host=here", *arguments],
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.started: list[psutil.Process] = []

    def note_children(self) -> list[psutil.Process]:
        """Return the workers that it has now, and remember them for the end."""
        with contextlib.suppress(psutil.NoSuchProcess):
            found = psutil.Process(self.process.pid).children(recursive=True)
            self.started += [child for child in found if child not in self.started]
            return psutil.Process(self.process.pid).children()
        return []

    def processes(self) -> list[tuple[object, ...]]:
        return self._owner.execute(PROCESSES).fetchall()

    def wait_online(self, count: int) -> list[psutil.Process]:
        """Wait until so many workers are registered and reported as running."""

        def are_online() -> bool:
            assert self.process.poll() is None, self.log
            running = [row for row in self.processes() if row[1] == "running"]
            are_there = len(running) == count and fetch_value(self._owner, ONLINE) == count
            return are_there and len(self.note_children()) == count

        eventually(are_online, PATIENCE, what=f"{count} workers online")
        return self.note_children()

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def end(self) -> None:
        """Kill what was started, by process id."""
        self.note_children()
        for process in [*self.started]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.kill()
        self.process.wait()


@pytest.fixture
def start(db: Database, owner: Connection, tmp_path: Path) -> Iterator[Callable[..., Host]]:
    hosts: list[Host] = []

    def start_host(*arguments: str, **environment: str) -> Host:
        hosts.append(Host(db, owner, tmp_path / f"fleet{len(hosts)}.log", *arguments, **environment))
        return hosts[-1]

    yield start_host
    for host in hosts:
        host.end()


def is_gone(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_a_host_has_as_many_workers_as_asked_for_and_follows_changes(owner, alice, start) -> None:
    host = start()
    owner.execute(SET, [2])
    host.wait_online(2)
    assert launch(alice, "select 1").end()["state"] == "succeeded"

    owner.execute(SET, [1])
    [kept] = host.wait_online(1)
    assert [row[0] for row in host.processes()] == [1]

    # With other options it is another process, under the same name.
    owner.execute("select pgqueue.set_fleet('crew', 1, executors => 3)")
    eventually(
        lambda: fetch_value(owner, "select max(executors) from pgqueue.workers where worker = 'crew-1@here'") == 3, 60
    )
    assert is_gone(kept)
    assert [row[3] for row in host.processes()] == [0]

    owner.execute("select pgqueue.remove_fleet('crew')")
    eventually(lambda: host.processes() == [] and host.note_children() == [], PATIENCE)
    host.process.send_signal(signal.SIGTERM)
    assert host.process.wait(30) == 0
    assert fetch_value(owner, "select count(*) from pgqueue.fleet_processes") == 0


def test_a_worker_that_was_killed_is_started_again(owner, start) -> None:
    owner.execute(SET, [1])
    host = start()
    [first] = host.wait_online(1)

    os.kill(first.pid, signal.SIGKILL)

    eventually(lambda: [row[3] for row in host.processes()] == [1], PATIENCE)
    [second] = host.wait_online(1)
    assert second.pid != first.pid
    assert fetch_value(owner, "select last_exit from pgqueue.fleet_processes") == "killed by SIGKILL"


def test_a_worker_that_is_never_to_be_started_again_is_not_until_the_fleet_is_set_again(owner, start) -> None:
    never = "select pgqueue.set_fleet('crew', 1, executors => 1, restart_after => null)"
    owner.execute(never)
    host = start()
    [first] = host.wait_online(1)

    os.kill(first.pid, signal.SIGKILL)
    eventually(lambda: [row[1:3] for row in host.processes()] == [("ended", None)], PATIENCE)
    assert host.note_children() == []

    owner.execute(never)
    host.wait_online(1)


def test_a_worker_that_dies_at_its_start_is_started_with_longer_and_longer_pauses(owner, start) -> None:
    owner.execute("select pgqueue.set_fleet('crew', 1, concurrency => 1, restart_after => '0.2 s')")

    host = start("--include=no_such_module")

    eventually(lambda: "starting it again in 0.4 s" in host.log or "starting it again in 1 s" in host.log, PATIENCE)
    eventually(lambda: [row[1] for row in host.processes()] == ["waiting"], PATIENCE, what=host.log)


def test_a_sigterm_lets_jobs_finish_and_a_second_signal_gives_them_back(owner, alice, start) -> None:
    owner.execute(SET, [1])
    host = start()
    [worker] = host.wait_online(1)
    job = launch(alice, "select pg_sleep(600)")
    job.wait_until("running")

    host.process.send_signal(signal.SIGTERM)
    eventually(lambda: [row[1] for row in host.processes()] == ["stopping"], PATIENCE)
    assert job.state == "running"
    host.process.send_signal(signal.SIGTERM)

    assert host.process.wait(30) == 0
    assert is_gone(worker)
    eventually(lambda: job.state == "queued", PATIENCE)
    assert fetch_value(owner, "select count(*) from pgqueue.fleet_processes") == 0


def test_a_sigint_is_a_cold_stop(owner, alice, start) -> None:
    owner.execute(SET, [1])
    host = start()
    [worker] = host.wait_online(1)
    job = launch(alice, "select pg_sleep(600)")
    job.wait_until("running")

    host.process.send_signal(signal.SIGINT)

    assert host.process.wait(30) == 0
    assert is_gone(worker)
    eventually(lambda: job.state == "queued", PATIENCE)


def test_the_workers_of_a_host_that_was_killed_finish_their_jobs_and_end(owner, alice, start) -> None:
    owner.execute(SET, [2])
    host = start()
    workers = host.wait_online(2)
    job = launch(alice, "select pg_sleep(3)")
    job.wait_until("running")

    host.process.kill()

    eventually(lambda: all(map(is_gone, workers)), PATIENCE)
    assert job.end()["state"] == "succeeded"
    eventually(lambda: fetch_value(owner, "select host_status from pgqueue.fleet_processes limit 1") == "lost", 60)
    # The next process takes over when the lease has ended.
    start().wait_online(2)


def test_a_second_process_of_a_host_waits_and_takes_over_when_the_first_has_ended(owner, start) -> None:
    owner.execute(SET, [1])
    first = start()
    first.wait_online(1)
    second = start()
    eventually(lambda: "another process keeps the fleets of host here" in second.log, PATIENCE)
    assert second.note_children() == []

    first.process.send_signal(signal.SIGTERM)
    assert first.process.wait(60) == 0

    second.wait_online(1)


def test_a_host_keeps_its_workers_while_the_database_is_away(db, owner, alice, start) -> None:
    owner.execute(SET, [1])
    host = start()
    [worker] = host.wait_online(1)

    admin = db.connect("postgres")
    admin.execute(f'alter role "{db.worker_role()}" nologin')
    try:
        admin.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and usename = %s",
            [db.worker_role()],
        )
        eventually(lambda: "the database gives no answer" in host.log, PATIENCE)
        owner.execute(SET, [2])
        assert worker.is_running()
    finally:
        admin.execute(f'alter role "{db.worker_role()}" login')

    eventually(lambda: "the database answers again" in host.log, PATIENCE)
    assert worker in host.wait_online(2)


def test_no_more_processes_run_than_the_host_allows(owner, start) -> None:
    owner.execute("select pgqueue.set_fleet('crew', 1000, executors => 1)")

    host = start("--max-processes=1")

    host.wait_online(1)
    assert [row[0] for row in host.processes()] == [1]
    assert "no more than 1 processes run here (--max-processes): ['crew']" in host.log


def test_a_fleet_of_tasks_shows_why_a_host_without_an_app_does_not_start_it(owner, start) -> None:
    owner.execute("select pgqueue.set_fleet('crew', 1, concurrency => 2)")

    host = start()

    eventually(lambda: [row[1] for row in host.processes()] == ["refused"], PATIENCE)
    assert "start pgqueue fleet with -A" in str(fetch_value(owner, "select last_exit from pgqueue.fleet_processes"))
    assert host.note_children() == []


@pytest.mark.parametrize(("login", "said"), [("alice", "permission denied"), (None, "pgqueue is not installed")])
def test_a_host_that_can_keep_no_fleets_says_why_and_ends(db, empty_db, alice, start, login, said) -> None:
    host = start(f"--dsn={db.dsn_for(login) if login else empty_db.dsn}")

    assert host.process.wait(30) == 1
    assert f"pgqueue: error: {said}" in host.log
    assert "hint: " in host.log
