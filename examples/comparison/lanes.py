"""Many databases on one server, each with a worker of its own, so that one kill of all of them is many repetitions."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import psycopg
from psycopg.conninfo import make_conninfo

from pgqueue.config import to_url
from pgqueue.local.embedded import EmbeddedServer

from .environments import Environment
from .variants import HERE, Library, Variant

# Durable, as a production server is. Autovacuum would add transactions to those of an idle worker.
SETTINGS = {
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "max_connections": "400",
    "autovacuum": "off",
}
ROLES = """do $$ begin
  if to_regrole('shop') is null then create role shop login; create role shop_worker login; end if;
end $$"""
# The program's own sessions are not counted.
_ME = "comparison"
POINTS = {"before": 1, "after": 2, "commit": 3}


@dataclass
class Lane:
    """A database, its worker, and a session that looks."""

    name: str
    server: EmbeddedServer
    environment: dict[str, str]
    log: Path
    worker: subprocess.Popen[bytes] | None = None
    _session: psycopg.Connection[Any] | None = field(default=None, repr=False)

    def dsn(self, role: str = "shop") -> str:
        """Return the URL of the database for a role."""
        return to_url(make_conninfo(self.server.dsn, dbname=self.name, user=role))

    def fetch(self, query: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run a query as the superuser, in a session that is opened again after a restart."""
        for _ in range(2):
            if self._session is None:
                dsn = make_conninfo(self.server.dsn, dbname=self.name, application_name=_ME)
                self._session = psycopg.connect(dsn, autocommit=True)
            try:
                cursor = self._session.execute(query, params)
                return cursor.fetchall() if cursor.description else []
            except psycopg.OperationalError:
                self._session.close()
                self._session = None
        raise RuntimeError(f"the database {self.name} does not answer")

    def start(self, variant: Variant, environment: dict[str, str]) -> None:
        """Start the worker."""
        command = [part.format(dsn=self.dsn()) for part in variant.worker]
        with self.log.open("ab") as output:
            self.worker = subprocess.Popen(
                command,
                cwd=variant.place,
                env={**self.environment, **variant.environment, **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def kill(self) -> None:
        """End the worker and all its processes with SIGKILL. It leads a group of its own."""
        if self.worker is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.worker.pid, signal.SIGKILL)
            self.worker.wait()

    def processes(self) -> list[psutil.Process]:
        """Return the worker's main process and its children."""
        assert self.worker is not None
        main = psutil.Process(self.worker.pid)
        return [main, *main.children(recursive=True)]

    def close(self) -> None:
        """End what belongs to the lane."""
        self.kill()
        if self._session is not None:
            self._session.close()


class Lanes:
    """All lanes of a library."""

    def __init__(
        self, server: EmbeddedServer, library: Library, environment: Environment, count: int, place: Path
    ) -> None:
        self.server = server
        self.library = library
        self.place = place
        self.python = environment.bin / "python"
        self._base = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("PG", "OBAN", "VIRTUAL_ENV"))},
            "PATH": f"{environment.bin}:{os.environ['PATH']}",
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        self.each = [self._make(number) for number in range(count)]

    def _make(self, number: int) -> Lane:
        name = f"{self.library.folder}_{number}"
        with self.session() as admin:
            admin.execute(ROLES)
            template = f"{self.library.folder}_0" if number and self.library.may_be_copied else "template1"
            admin.execute(f"create database {name} template {template} owner shop")
        lane = Lane(name, self.server, {}, self.place / f"{name}.log")
        lane.environment = {
            **self._base,
            "SHOP_DSN": lane.dsn(),
            "PGDSN": lane.dsn(),
            "PGQUEUE_DSN": lane.dsn("shop_worker"),
            "TMPDIR": str(self.place),
        }
        if number and self.library.may_be_copied:
            return lane
        with psycopg.connect(lane.dsn(), autocommit=True) as session:
            session.execute((HERE / "shop.sql").read_bytes())
        for command in self.library.install:
            self.run([part.format(dsn=lane.dsn(), admin=lane.dsn("postgres")) for part in command], lane)
        if self.library.grants:
            lane.fetch(self.library.grants)
        return lane

    def run(self, command: Sequence[str], lane: Lane, folder: Path | None = None, **environment: str) -> None:
        """Run a program of the library's environment."""
        place = folder or HERE / self.library.folder
        environment = {**lane.environment, "PYTHONPATH": str(place), **environment}
        done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")

    @contextmanager
    def session(self) -> Iterator[psycopg.Connection[Any]]:
        """Yield a superuser's session outside of the databases that are measured."""
        with psycopg.connect(self.server.dsn, autocommit=True, application_name=_ME) as session:
            yield session

    def start(self, variant: Variant, lanes: Sequence[Lane] | None = None) -> None:
        """Start the workers; those of the second half count orders each minute and not each night."""
        for lane in self.each if lanes is None else lanes:
            lane.start(variant, {"PYTHONPATH": str(variant.place), **self.often(lane)})

    def counts_often(self, lane: Lane) -> bool:
        """Return whether the lane's periodic job runs each minute."""
        return self.each.index(lane) >= len(self.each) // 2

    def often(self, lane: Lane) -> dict[str, str]:
        """Return the variable that lets the periodic job run each minute, in those lanes."""
        return {"COUNT_AT": "* * * * *"} if self.counts_often(lane) else {}

    @contextmanager
    def caller(
        self, variant: Variant, function: str, numbers: Sequence[int], lanes: Sequence[Lane]
    ) -> Iterator[subprocess.Popen[str]]:
        """Yield a process that calls a function of the service once it gets a line."""
        arguments = [function, ",".join(map(str, numbers)), *(lane.dsn() for lane in lanes)]
        environment = {**lanes[0].environment, "PYTHONPATH": str(variant.place), "PGQUEUE_DSN": lanes[0].dsn()}
        process = subprocess.Popen(
            [self.python, HERE / "call_service.py", *arguments],
            cwd=variant.place,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            assert process.stdout is not None
            if process.stdout.readline() != "ready\n":
                raise RuntimeError(f"the service cannot be called:\n{process.communicate()[1]}")
            yield process
        finally:
            process.kill()
            process.wait()

    def call(
        self, variant: Variant, function: str, numbers: Sequence[int], lanes: Sequence[Lane] | None = None
    ) -> None:
        """Call a function of the service, as a program of the application would."""
        with self.caller(variant, function, numbers, self.each if lanes is None else lanes) as process:
            finish(process)

    def hold(self, number: int, point: str) -> None:
        """Let each service stop at a point of an order."""
        for lane in self.each:
            lane.fetch("insert into held values (%s, %s)", [number, point])

    def release(self) -> None:
        """Let all go on."""
        for lane in self.each:
            lane.fetch("delete from held")

    def unfinished(self, lane: Lane) -> int:
        """Return how many jobs have not ended."""
        return int(lane.fetch(self.library.unfinished)[0][0] or 0)

    def close(self) -> None:
        """End all workers."""
        for lane in self.each:
            lane.close()


def finish(process: subprocess.Popen[str]) -> None:
    """Let a caller call, and wait for its end."""
    _, errors = process.communicate("\n", timeout=120)
    if process.returncode:
        raise RuntimeError(f"the service failed:\n{errors[-3000:]}")


def is_held(lane: Lane, number: int, point: str) -> bool:
    """Return whether the service waits at a point of an order."""
    query = """select 1 from pg_locks
        where locktype = 'advisory' and classid = %s::bigint::oid and objid = %s::bigint::oid
        and database = (select oid from pg_database where datname = current_database())"""
    return bool(lane.fetch(query, [POINTS[point], number]))


def receipts(lane: Lane, number: int) -> list[float]:
    """Return when the receipts of an order were written, in seconds since 1970."""
    query = "select extract(epoch from written_at)::float8 from receipts where number = %s order by 1"
    return [at for (at,) in lane.fetch(query, [number])]


def wait_for(is_so: Callable[[], bool], seconds: float, what: str = "") -> bool:
    """Return whether something came to be within so many seconds; with `what`, fail if it did not."""
    deadline = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > deadline:
            if what:
                raise RuntimeError(f"not within {seconds:g} s: {what}")
            return False
        time.sleep(0.2)
    return True
