"""`pgqueue up` as a user runs it: real processes, real signals."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
from celery import Celery

import pgqueue
from pgqueue.config import to_url
from pgqueue.local.child_process import ChildProcess
from pgqueue.local.readiness import fetch_page, find_free_port, flower_answers
from tests.harness import Database, TestServer, eventually
from tests.harness.servers import temporary_server

pytestmark = pytest.mark.slow

READY_SECONDS = 60.0


class Up:
    """One run of `pgqueue up`."""

    def __init__(self, place: Path, arguments: list[str], environment: dict[str, str] | None = None) -> None:
        self.ready_file = place / "ready.json"
        self.output = place / "up.log"
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "PGQUEUE"))}
        with self.output.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "pgqueue", "up", f"--ready-file={self.ready_file}", *arguments],
                env={**kept, "PYTHONUNBUFFERED": "1", **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def told(self) -> dict[str, Any]:
        """What the ready file says."""
        told: dict[str, Any] = json.loads(self.ready_file.read_text())
        return told

    def read_output(self) -> str:
        return self.output.read_text()

    def wait_ready(self) -> Up:
        def is_ready() -> bool:
            if self._process.poll() is not None:
                raise RuntimeError(f"up ended with {self._process.returncode}:\n{self.read_output()}")
            return self.ready_file.exists()

        eventually(is_ready, READY_SECONDS, what="the ready file")
        return self

    def processes(self) -> list[psutil.Process]:
        """This process and all below it."""
        me = psutil.Process(self.pid)
        return [me, *me.children(recursive=True)]

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def wait(self, timeout: float = 60.0) -> int:
        return self._process.wait(timeout)

    def end(self) -> None:
        """End it whatever its state; its children follow by themselves."""
        if self._process.poll() is None:
            left = self.processes()
            self._process.kill()
            psutil.wait_procs(left, timeout=30)
        self._process.wait()


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that the account which runs PostgreSQL for root can enter, and whose path is short."""
    made = Path(tempfile.mkdtemp(prefix="pgqueue-up-", dir="/tmp"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@pytest.fixture
def start_up(place: Path) -> Iterator[Callable[..., Up]]:
    """Start `pgqueue up` with an embedded server of its own, unless told otherwise."""
    started: list[Up] = []

    def start(*arguments: str, environment: dict[str, str] | None = None, name: str = "first") -> Up:
        directory = place / name
        directory.mkdir(mode=0o755, exist_ok=True)
        up = Up(directory, list(arguments), environment)
        started.append(up)
        return up

    yield start
    for up in started:
        up.end()
        print(up.read_output())


@pytest.fixture
def embedded(place: Path) -> list[str]:
    """What starts an embedded server in a temporary place, and Flower on a free port."""
    return [f"--data={place / 'data'}", f"--flower-port={find_free_port('127.0.0.1')}", "--concurrency=1"]


def command_of(process: psutil.Process) -> str:
    """Its command line; nothing when it has just ended, as initdb does."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return " ".join(process.cmdline())
    return ""


def is_gone(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.status() == psutil.STATUS_ZOMBIE
    return True


def test_everything_answers_when_the_ready_file_is_there(start_up: Callable[..., Up], embedded: list[str]) -> None:
    up = start_up(*embedded).wait_ready()
    told = up.told

    with pgqueue.connect(told["dsn"]) as client:
        assert client.launch("select 42").result(timeout=30) == [(42,)]
    assert f"pgqueue-{up.pid}@" in fetch_page(f"{told['flower_url']}/workers")
    said = subprocess.run(
        f'{told["psql"]} -Atc "select 40 + 2"', shell=True, capture_output=True, text=True, check=True
    )
    assert said.stdout == "42\n"
    assert set(told["pids"]) == {"up", "postgres", "worker", "flower"}
    assert all(psutil.pid_exists(pid) for pid in told["pids"].values())
    assert stat.S_IMODE(up.ready_file.stat().st_mode) == 0o600
    for shown in (told["dsn"], told["flower_url"], told["psql"]):
        assert shown in up.read_output()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_everything_and_exits_with_0(
    start_up: Callable[..., Up], embedded: list[str], number: signal.Signals
) -> None:
    up = start_up(*embedded).wait_ready()
    processes = up.processes()

    up.send(number)

    assert up.wait() == 0
    assert all(is_gone(process) for process in processes)
    assert not up.ready_file.exists()


def test_it_says_what_it_waits_for_and_how_to_hurry_it(start_up: Callable[..., Up], embedded: list[str]) -> None:
    up = start_up(*embedded, "--no-flower").wait_ready()
    with pgqueue.connect(up.told["dsn"]) as client:
        job = client.launch("select pg_sleep(600)", label="a long one")
        eventually(lambda: job.status().state is pgqueue.JobState.RUNNING)

    up.send(signal.SIGTERM)
    eventually(lambda: f"waiting up to 60 s for jobs {job.id} (a long one) to end" in up.read_output())
    up.send(signal.SIGTERM)

    assert up.wait(30) == 0
    assert "Traceback" not in up.read_output()


def test_a_server_that_crashes_while_it_starts_is_one_line(start_up: Callable[..., Up], embedded: list[str]) -> None:
    up = start_up(*embedded, "--no-flower")
    eventually(lambda: any("worker" in command_of(p) and "pgqueue" in command_of(p) for p in up.processes()[1:]))
    data = next(option.partition("=")[2] for option in embedded if option.startswith("--data="))
    os.kill(int((Path(data) / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)

    assert up.wait() == 1

    said = up.read_output()
    assert "Traceback" not in said
    assert "pgqueue: error: " in said


@pytest.mark.parametrize("child", ["postgres", "pgqueue"])
def test_told_to_stop_while_it_starts_it_leaves_nothing(
    start_up: Callable[..., Up], embedded: list[str], child: str
) -> None:
    up = start_up(*embedded)
    eventually(lambda: any(child in command_of(p) for p in up.processes()[1:]), what=f"{child} starting")
    processes = up.processes()

    up.send(signal.SIGTERM)

    assert up.wait() == 130
    eventually(lambda: all(is_gone(process) for process in processes), what="all processes gone")
    assert "Traceback" not in up.read_output()
    assert not up.ready_file.exists()


def test_the_data_is_kept_between_runs_and_what_runs_finishes_first(
    start_up: Callable[..., Up], embedded: list[str]
) -> None:
    up = start_up(*embedded, "--no-flower").wait_ready()
    with psycopg.connect(up.told["dsn"], autocommit=True) as connection:
        connection.execute("create table done (at timestamptz default clock_timestamp())")
        connection.execute("select pgqueue.submit('select pg_sleep(2); insert into done default values')")
        eventually(lambda: connection.execute("select 1 from pgqueue.jobs where state = 'running'").fetchone())
    up.send(signal.SIGTERM)
    assert up.wait() == 0

    again = start_up(*embedded, "--no-flower", name="second").wait_ready()

    assert again.told["flower_url"] is None
    with psycopg.connect(again.told["dsn"]) as connection:
        assert connection.execute("select count(*) from done").fetchone() == (1,)


def test_nothing_is_left_when_it_is_killed(start_up: Callable[..., Up], embedded: list[str]) -> None:
    up = start_up(*embedded).wait_ready()
    processes = up.processes()

    up.send(signal.SIGKILL)
    up.wait()

    eventually(lambda: all(is_gone(process) for process in processes), what="all processes gone")


def test_after_a_kill_it_starts_again_and_replaces_the_stale_ready_file(
    start_up: Callable[..., Up], embedded: list[str]
) -> None:
    up = start_up(*embedded, "--no-flower").wait_ready()
    processes = up.processes()
    up.send(signal.SIGKILL)
    up.wait()
    eventually(lambda: all(is_gone(process) for process in processes), what="all processes gone")

    again = start_up(*embedded, "--no-flower")

    eventually(lambda: again.ready_file.exists() and again.told["pids"]["up"] == again.pid, READY_SECONDS)


def test_a_worker_that_dies_is_started_again(start_up: Callable[..., Up], embedded: list[str]) -> None:
    up = start_up(*embedded, "--no-flower").wait_ready()
    first = up.told["pids"]["worker"]

    os.kill(first, signal.SIGKILL)

    eventually(lambda: up.told["pids"]["worker"] != first, what="another worker in the ready file")
    with pgqueue.connect(up.told["dsn"]) as client:
        assert client.launch("select 42").result(timeout=30) == [(42,)]
    assert "the worker died (killed by SIGKILL" in up.read_output()


def test_a_server_that_dies_is_started_again_and_worker_and_flower_go_on(
    start_up: Callable[..., Up], embedded: list[str]
) -> None:
    up = start_up(*embedded).wait_ready()
    before = up.told["pids"]

    os.kill(before["postgres"], signal.SIGQUIT)

    eventually(lambda: up.told["pids"]["postgres"] != before["postgres"], what="another server in the ready file")
    with pgqueue.connect(up.told["dsn"]) as client:
        assert client.launch("select 42").result(timeout=30) == [(42,)]
        launched = []

        def shows_one() -> bool:
            # Flower never hears of what has ended before it had connected again.
            launched.append(client.launch("select 'after the restart'"))
            page = fetch_page(f"{up.told['flower_url']}/api/tasks")
            return any(f"job-{job.id}" in page for job in launched)

        eventually(shows_one)
    assert up.told["pids"] == {**before, "postgres": up.told["pids"]["postgres"]}


def test_with_a_dsn_that_server_is_used_and_left_running(
    start_up: Callable[..., Up], empty_db: Database, place: Path
) -> None:
    port = find_free_port("127.0.0.1")
    up = start_up(f"--data={place / 'logs'}", f"--flower-port={port}", environment={"PGQUEUE_DSN": empty_db.dsn})
    up.wait_ready()

    assert up.told["dsn"] == to_url(empty_db.dsn)
    assert up.told["pids"]["postgres"] is None
    with pgqueue.connect(empty_db.dsn) as client:
        assert client.launch("select 42").result(timeout=30) == [(42,)]
    up.send(signal.SIGTERM)
    assert up.wait() == 0
    assert not empty_db.fetch_value("select count(*) from pgqueue.workers where worker like 'pgqueue-%'")


def test_with_an_app_its_tasks_run_and_flower_knows_them(
    start_up: Callable[..., Up], empty_db: Database, place: Path
) -> None:
    url = to_url(empty_db.dsn, "pgqueue")
    (place / "shop.py").write_text(
        f"from celery import Celery\napp = Celery('shop', backend={url!r})\n\n@app.task\ndef double(n):\n    return 2 * n\n"
    )
    environment = {"PGQUEUE_DSN": empty_db.dsn, "PYTHONPATH": str(place)}
    port = find_free_port("127.0.0.1")
    arguments = (f"--data={place / 'logs'}", f"--flower-port={port}", "--concurrency=1", "--app=shop")
    up = start_up(*arguments, environment=environment).wait_ready()

    app = Celery("shop", broker=url, backend=url, set_as_current=False)
    assert app.send_task("shop.double", (21,)).get(timeout=30) == 42
    eventually(lambda: "shop.double" in fetch_page(f"{up.told['flower_url']}/api/tasks"))
    app.close()


def test_without_an_app_its_worker_leaves_tasks_alone(
    start_up: Callable[..., Up], empty_db: Database, place: Path
) -> None:
    up = start_up("--no-flower", f"--data={place / 'logs'}", environment={"PGQUEUE_DSN": empty_db.dsn}).wait_ready()
    with pgqueue.connect(empty_db.dsn) as client:
        for queue in ("celery", "default"):
            client.send_task("shop.double", args=[21], queue=queue)
        assert client.launch("select 42").result(timeout=30) == [(42,)]

        ready = client.send_task("shop.double", args=[22])
        assert client.launch("select 43").result(timeout=30) == [(43,)]

    assert ready
    waiting = "select queue, state::text, deliveries from pgqueue.message order by id"
    assert empty_db.execute(waiting) == [("celery", "ready", 0), ("default", "ready", 0), ("celery", "ready", 0)]
    assert "SQL jobs only" in up.read_output()


def test_without_a_worker_there_are_the_server_and_flower(start_up: Callable[..., Up], embedded: list[str]) -> None:
    options = [option for option in embedded if "concurrency" not in option]
    up = start_up(*options, "--no-worker", f"--flower-port={find_free_port('127.0.0.1')}").wait_ready()

    assert up.told["pids"]["worker"] is None
    assert fetch_page(f"{up.told['flower_url']}/workers")
    with psycopg.connect(up.told["dsn"]) as connection:
        assert connection.execute("select * from pgqueue.workers where worker like 'pgqueue-%'").fetchall() == []


def test_a_flower_that_asks_workers_while_the_server_is_away_ends_at_a_sigterm(tmp_path: Path) -> None:
    port = find_free_port("127.0.0.1")
    with temporary_server() as server:
        dsn = server.conninfo(server.create_database())
        flower = ChildProcess("flower", ["flower", f"--port={port}"], {"PGQUEUE_DSN": dsn}, tmp_path / "flower.log")
        flower.start()
        eventually(lambda: flower_answers(f"http://127.0.0.1:{port}"), READY_SECONDS, what="Flower's page")
        fetch_page(f"http://127.0.0.1:{port}/api/workers?refresh=1")
    try:
        with contextlib.suppress(OSError):
            fetch_page(f"http://127.0.0.1:{port}/api/workers?refresh=1", timeout=3)
        fetch_page(f"http://127.0.0.1:{port}/workers?refresh=1")

        flower.send(signal.SIGTERM)

        # It would try again every few seconds, first.
        eventually(lambda: flower.exit_code() == 0, 4, what="the end of Flower")
    finally:
        flower.kill()


@pytest.mark.parametrize("broker", ["redis://127.0.0.1:1/0", "another database"])
def test_an_app_with_another_broker_is_refused_at_once(
    start_up: Callable[..., Up], db: Database, empty_db: Database, place: Path, broker: str
) -> None:
    url = to_url(db.dsn, "pgqueue") if broker == "another database" else broker
    (place / "shop.py").write_text(f"from celery import Celery\napp = Celery('shop', broker={url!r})\n")
    environment = {"PGQUEUE_DSN": empty_db.dsn, "PYTHONPATH": str(place)}

    up = start_up("--no-flower", f"--data={place / 'logs'}", "--app=shop", environment=environment)

    assert up.wait(30) == 1
    assert "broker of this app is" in up.read_output()


def test_with_a_port_the_server_listens_on_the_loopback_with_a_password(
    start_up: Callable[..., Up], embedded: list[str]
) -> None:
    port = find_free_port("127.0.0.1")
    up = start_up(*embedded, "--no-flower", f"--port={port}").wait_ready()

    with psycopg.connect(up.told["tcp_dsn"]) as connection:
        assert (connection.info.host, connection.info.port) == ("127.0.0.1", port)
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(f"host=127.0.0.1 port={port} user=postgres dbname=postgres passfile=/nonexistent")


class TestRefusals:
    """What cannot work: one line, a hint, an exit code, and nothing left behind."""

    def refuse(self, up: Up, *, message: str, hint: str) -> None:
        assert up.wait() == 1
        said = up.read_output()
        assert re.search(rf"^pgqueue: error: .*{message}", said, re.MULTILINE), said
        assert re.search(rf"^hint: .*{hint}", said, re.MULTILINE), said
        assert "Traceback" not in said
        assert not up.ready_file.exists()

    def test_starting_twice_on_one_data_directory(
        self, start_up: Callable[..., Up], embedded: list[str], place: Path
    ) -> None:
        first = start_up(*embedded, "--no-flower").wait_ready()

        second = start_up(*embedded, "--no-flower", name="second")

        self.refuse(second, message="a server runs on .*/data already", hint="--data DIR")
        assert psutil.pid_exists(first.told["pids"]["worker"])
        assert first.ready_file.exists()

    def test_flowers_port_in_use(self, start_up: Callable[..., Up], place: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            up = start_up(f"--data={place / 'data'}", f"--flower-port={port}")
            self.refuse(up, message=f"port {port} .* in use", hint="--flower-port")
        assert not (place / "data").exists()

    def test_the_servers_port_in_use(self, start_up: Callable[..., Up], place: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            up = start_up(f"--data={place / 'data'}", "--no-flower", f"--port={port}")
            self.refuse(up, message=f"cannot listen on port {port}", hint="--port")

    def test_an_unreachable_server(self, start_up: Callable[..., Up]) -> None:
        up = start_up("--no-flower", "--dsn=host=/nowhere/at/all")

        assert up.wait() == 1
        assert up.read_output().startswith("pgqueue: error: connection")
        assert "hint" not in up.read_output()

    def test_an_unreachable_server_of_the_environment(self, start_up: Callable[..., Up]) -> None:
        up = start_up("--no-flower", environment={"PGQUEUE_DSN": "host=/nowhere/at/all"})

        assert up.wait() == 1
        assert "hint: PGQUEUE_DSN names that server; without it pgqueue up starts one of its own." in up.read_output()

    def test_a_missing_privilege(self, start_up: Callable[..., Up], empty_db: Database, place: Path) -> None:
        empty_db.create_role("nobody_special", enrolled=False)
        dsn = empty_db.dsn_for("nobody_special")

        up = start_up("--no-flower", f"--dsn={dsn}", f"--data={place / 'logs'}")

        self.refuse(up, message="may not install pgqueue", hint="Let a superuser run")
        assert not empty_db.fetch_value("select count(*) from pg_namespace where nspname = 'pgqueue'")

    def test_a_role_that_may_not_run_workers(self, start_up: Callable[..., Up], db: Database, place: Path) -> None:
        db.create_role("alice")

        up = start_up("--no-flower", f"--dsn={db.dsn_for('alice')}", f"--data={place / 'logs'}")

        self.refuse(up, message="alice may not run a worker", hint="grant pgqueue_worker to alice")

    def test_a_schema_newer_than_the_code(self, start_up: Callable[..., Up], db: Database, place: Path) -> None:
        db.execute("insert into pgqueue.migration (version, name) values (9999, 'from_the_future')")

        up = start_up("--no-flower", f"--dsn={db.dsn}", f"--data={place / 'logs'}")

        self.refuse(up, message="9999", hint="Upgrade the Python package")

    def test_options_of_the_embedded_server_do_not_go_with_a_dsn(self, start_up: Callable[..., Up]) -> None:
        up = start_up("--dsn=host=/nowhere", "--port=5433")

        assert up.wait() == 2
        assert "--port and --pg-bin are for the embedded server" in up.read_output()

    def test_a_ready_file_in_no_directory(self, start_up: Callable[..., Up]) -> None:
        up = start_up("--no-flower", "--ready-file=/nowhere/ready.json")

        assert up.wait() == 2
        assert "there is no directory /nowhere" in up.read_output()

    def test_binaries_that_are_not_there(self, start_up: Callable[..., Up], place: Path) -> None:
        up = start_up("--no-flower", f"--data={place / 'data'}", "--pg-bin=/nowhere")

        self.refuse(up, message="no working postgres and initdb in /nowhere", hint="both programs")


def test_a_worker_that_cannot_start_is_reported_with_the_end_of_its_log(
    start_up: Callable[..., Up], embedded: list[str]
) -> None:
    up = start_up(*embedded, "--no-flower", "--include=no_such_module_at_all")

    assert up.wait() == 1
    said = up.read_output()
    assert "pgqueue: error: the worker did not start (exit code" in said
    assert "no_such_module_at_all" in said
    assert "hint: Its log is" in said


def test_a_server_too_old_is_refused_before_anything_is_made(
    start_up: Callable[..., Up], place: Path, server: TestServer
) -> None:
    binaries = place / "old" / "bin"
    binaries.mkdir(parents=True)
    for name in ("postgres", "initdb"):
        (binaries / name).write_text("#!/bin/sh\necho 'postgres (PostgreSQL) 12.22'\n")
        (binaries / name).chmod(0o755)

    up = start_up("--no-flower", f"--data={place / 'data'}", f"--pg-bin={binaries}")

    assert up.wait() == 1
    assert "is PostgreSQL 12.22; pgqueue needs 14 or newer" in up.read_output()
    assert not (place / "data").exists()
