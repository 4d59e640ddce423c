"""The whole stack: a server (or the given database), the schema, a worker and Flower.

It decides the order in which they start and stop. `up` keeps a stack until a signal stops it, `demo` runs jobs on one.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from psycopg.conninfo import make_conninfo

from ..client.job_calls import LIST_JOBS
from ..config import DSN_VARIABLE, LISTEN_DSN_VARIABLE, WORKER_DSN_VARIABLE, to_url, without_password
from ..db.client_session import ClientSession
from ..errors import PgQueueError, PortInUse, ServiceFailed
from ..schema.prepare import find_worker_login, prepare_database
from .child_process import ChildProcess
from .embedded import EmbeddedServer
from .password_file import write_password_file
from .readiness import UNREACHABLE, WorkerProbe, flower_answers, flower_shows, is_port_free

LOOPBACK = "127.0.0.1"
_START_SECONDS = 90.0
_WORKER_PATIENCE_SECONDS = 60.0
_FLOWER_PATIENCE_SECONDS = 5.0
_POLL_SECONDS = 0.1
_TOLD_JOBS = 3
_TOLD_PLACES = 40


@dataclass(frozen=True)
class StackOptions:
    """The parts of a stack."""

    log_dir: Path
    conninfo: str | None = None
    """Use this server."""
    listen_conninfo: str | None = None
    """The same past any pooler."""
    server: EmbeddedServer | None = None
    """Or start this one."""
    flower_port: int | None = None
    """None: no Flower."""
    has_worker: bool = True
    concurrency: int | None = None
    app_name: str | None = None
    include: tuple[str, ...] = ()
    loglevel: str = "WARNING"
    log_format: str = "text"
    """Of the worker."""

    @property
    def takes_tasks(self) -> bool:
        """Return whether the worker takes Celery tasks.

        A worker that knows no tasks must not take those of other applications.
        """
        return self.app_name is not None or bool(self.include)


class Stack:
    """Starts and stops the stack. If `start` fails, `stop` ends what it has started."""

    def __init__(self, options: StackOptions, say: Callable[[str], None]) -> None:
        self._options = options
        self._say = say
        self.conninfo = ""
        self.worker_name = f"pgqueue-{os.getpid()}@{socket.gethostname()}"
        self._password_file: Path | None = None
        self.worker: ChildProcess | None = None
        self.flower: ChildProcess | None = None

    @property
    def shown_worker(self) -> str:
        """Return the worker's name and its queues, in a form without secrets."""
        if not self._options.has_worker:
            return "none: `pgqueue worker` starts one"
        taken = "" if self._options.takes_tasks else ", SQL jobs only (-A MODULE: tasks too)"
        return f"{self.worker_name}{taken}"

    @property
    def dsn(self) -> str:
        """Return the database as a URL, with its password if it has one."""
        return to_url(self.conninfo)

    @property
    def shown_dsn(self) -> str:
        """Return the database as a URL without its password."""
        return to_url(without_password(self.conninfo))

    @property
    def tcp_dsn(self) -> str | None:
        """Return the embedded server's address over TCP with its password, None if it has none."""
        given = None if self._options.server is None else self._options.server.tcp_dsn
        return None if given is None else to_url(given)

    @property
    def flower_url(self) -> str | None:
        """Return the URL of Flower, None without Flower."""
        return None if self._options.flower_port is None else f"http://{LOOPBACK}:{self._options.flower_port}"

    @property
    def psql(self) -> str | None:
        """Return a shell command that opens psql on the database, None if there is no psql."""
        own = None if self._options.server is None else self._options.server.bin_dir / "psql"
        found = str(own) if own is not None and own.exists() else shutil.which("psql")
        return None if found is None else f"{found} '{self.shown_dsn}'"

    @property
    def children(self) -> list[ChildProcess]:
        """Return the processes other than the server."""
        return [child for child in (self.worker, self.flower) if child is not None]

    @property
    def pids(self) -> dict[str, int | None]:
        """Return the process ids; None for processes that do not exist or belong to others."""
        return {
            "up": os.getpid(),
            "postgres": None if self._options.server is None else self._options.server.pid,
            "worker": None if self.worker is None else self.worker.pid,
            "flower": None if self.flower is None else self.flower.pid,
        }

    def start(self) -> None:
        """Start everything and return when everything answers and Flower shows the worker.

        Raises:
            PgQueueError: a part did not start; the error has a hint. Call `stop` then.
        """
        self._require_free_flower_port()
        if self._options.server is not None:
            self._options.server.start()
            self.conninfo = self._options.server.dsn
        else:
            self.conninfo = self._options.conninfo or ""
        self._options.log_dir.mkdir(parents=True, exist_ok=True)
        for line in prepare_database(self.conninfo):
            self._say(line)
        # Both start at once, because each takes 1 s to 2 s to import its modules.
        if self._options.has_worker:
            self._start_worker()
        self._start_flower()
        if self.worker is not None:
            self._wait_for_worker(self.worker)
        self._wait_for_flower()

    def stop(self) -> None:
        """Stop everything in order: the worker finishes what it runs, then Flower, then the server."""
        # ExitStack stops them in reverse order, and continues if one fails.
        with ExitStack() as stopping:
            if self._password_file is not None:
                stopping.callback(self._password_file.unlink, missing_ok=True)
            if self._options.server is not None:
                stopping.callback(self._options.server.stop)
            if self.flower is not None:
                stopping.callback(self.flower.stop, _FLOWER_PATIENCE_SECONDS)
            if self.worker is not None:
                stopping.callback(self.worker.stop, _WORKER_PATIENCE_SECONDS, self._tell_what_runs)

    def _tell_what_runs(self) -> None:
        try:
            with ClientSession(self.conninfo, application_name="pgqueue up") as session:
                running = session.fetch_rows(LIST_JOBS, states=["running"], queue=None, label=None, limit=_TOLD_JOBS)
        except PgQueueError:
            running = None
        if running == [] and not self._options.takes_tasks:
            return
        jobs = ", ".join(f"{job.id} ({_shorten(job.label or job.statement or '')})" for job in running or ())
        self._say(
            f"waiting up to {_WORKER_PATIENCE_SECONDS:g} s for {'jobs ' + jobs if jobs else 'what runs'} to end; "
            "Ctrl-C or SIGTERM again stops them now, and the next worker runs them again"
        )

    def hurry(self) -> None:
        """Tell the worker to give up its running jobs; the next worker runs them again."""
        if self.worker is not None:
            self.worker.send(signal.SIGQUIT)

    def _start_worker(self) -> None:
        # Flower also asks for the events of an application's tasks, but only seconds after the first of them may have
        # run.
        arguments = [
            "worker",
            "--task-events",
            f"--hostname={self.worker_name}",
            f"--loglevel={self._options.loglevel}",
            f"--log-format={self._options.log_format}",
        ]
        if self._options.concurrency is not None:
            arguments.append(f"--concurrency={self._options.concurrency}")
        arguments += [f"--include={module}" for module in self._options.include]
        if not self._options.takes_tasks:
            arguments.append("--no-tasks")
        arguments += [*self._app_arguments(), "--same-database"]
        self.worker = self._make_child("worker", arguments, self._worker_environment())
        self.worker.start()

    def _start_flower(self) -> None:
        if self._options.flower_port is not None:
            arguments = ["flower", f"--address={LOOPBACK}", f"--port={self._options.flower_port}"]
            self.flower = self._make_child("flower", arguments + self._app_arguments())
            self.flower.start()

    def _app_arguments(self) -> list[str]:
        return [] if self._options.app_name is None else [f"--app={self._options.app_name}"]

    def _worker_environment(self) -> dict[str, str]:
        """Let the worker log in as a role of its own if this login may run no SQL jobs."""
        login = find_worker_login(self.conninfo)
        if login is None:
            return {}
        changed = {"user": login[0], "password": login[1]}
        # Jobs that keep a result run in sessions of their submitters, and this login is one of them.
        self._password_file = write_password_file(self.conninfo, self._options.log_dir / "worker.pgpass")
        if self._password_file is not None:
            changed["passfile"] = str(self._password_file)
        environment = {WORKER_DSN_VARIABLE: to_url(make_conninfo(self.conninfo, **changed))}
        if self._options.listen_conninfo:
            environment[LISTEN_DSN_VARIABLE] = make_conninfo(self._options.listen_conninfo, **changed)
        return environment

    def _make_child(
        self, name: str, arguments: list[str], environment: Mapping[str, str] | None = None
    ) -> ChildProcess:
        # The DSN may hold a password, and every user of the machine can read a command line.
        given = {DSN_VARIABLE: self.dsn, LISTEN_DSN_VARIABLE: self._options.listen_conninfo or ""}
        return ChildProcess(name, arguments, {**given, **(environment or {})}, self._options.log_dir / f"{name}.log")

    def _require_free_flower_port(self) -> None:
        port = self._options.flower_port
        if port is not None and not is_port_free(LOOPBACK, port):
            raise PortInUse(
                f"cannot listen on port {port} of {LOOPBACK} for Flower: it is in use",
                hint="Choose another one with --flower-port, or leave Flower out with --no-flower.",
            )

    def _wait_for_worker(self, worker: ChildProcess) -> None:
        with WorkerProbe(self.conninfo, self.worker_name) as probe:
            self._wait_until(worker, probe.answers)

    def _wait_for_flower(self) -> None:
        url = self.flower_url
        if url is None or self.flower is None:
            return
        if self.worker is None:
            self._wait_until(self.flower, lambda: flower_answers(url))
        else:
            self._wait_until(self.flower, lambda: flower_shows(url, self.worker_name), "show the worker")

    def _wait_until(self, child: ChildProcess, is_up: Callable[[], bool], promise: str = "answer") -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not _is_true(is_up):
            server = self._options.server
            if server is not None and not server.is_running:
                raise ServiceFailed(
                    f"PostgreSQL died while the {child.name} was starting",
                    hint=f"Its log is {server.data_dir / 'server.log'}",
                )
            if child.exit_code() is not None:
                problem = f"the {child.name} did not start ({child.describe_exit()})"
            elif time.monotonic() > deadline:
                problem = f"the {child.name} did not {promise} within {_START_SECONDS:g} s"
            else:
                time.sleep(_POLL_SECONDS)
                continue
            raise ServiceFailed(problem, detail=child.last_lines(), hint=f"Its log is {child.log}")


def _is_true(is_up: Callable[[], bool]) -> bool:
    try:
        return is_up()
    except UNREACHABLE:
        return False  # The server has crashed or restarts; the next query shows which.


def _shorten(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _TOLD_PLACES else f"{line[: _TOLD_PLACES - 3]}..."
