"""The server that benchmarks run on: durable, on a disk, with a database for each; and real workers."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from benchmarks.slow_flush import slow_flush
from tests.harness.database import Database
from tests.harness.servers import TestServer, temporary_server
from tests.harness.worker import Worker

# Durable, and with memory as an operator of a small server would give it. The rest are PostgreSQL's defaults.
SETTINGS: dict[str, Any] = {
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "shared_buffers": "1GB",
    "max_wal_size": "4GB",
    "max_connections": "200",
}
# /dev/shm would make fsync free.
DISK = Path("/var/tmp")


@dataclass(frozen=True)
class Setting:
    """What a benchmark is given: a server, how often to repeat, how much smaller than usual to be."""

    server: TestServer
    repeat: int
    scale: float
    worker_options: tuple[str, ...]
    flush_ms: float = 0.0

    def count(self, usual: int) -> int:
        """Return how much work to do, where `usual` is what a whole run does."""
        return max(10, int(usual * self.scale))

    @contextlib.contextmanager
    def database(self) -> Iterator[Database]:
        """A new database with pgqueue; its superuser is enrolled."""
        db = Database(self.server)
        try:
            db.execute("select pgqueue.enroll('postgres')")
            yield db
        finally:
            db.close()

    @contextlib.contextmanager
    def worker(self, db: Database, *arguments: str, name: str = "w1") -> Iterator[Worker]:
        """One worker, online; its log is shown when the benchmark fails."""
        with tempfile.TemporaryDirectory() as folder:
            worker = Worker(db, Path(folder) / "worker.log", name=name, arguments=arguments or self.worker_options)
            try:
                yield worker.wait_online()
            except BaseException:
                print(worker.read_log()[-4000:])
                raise
            finally:
                worker.end()

    def pgbench(
        self,
        db: Database,
        script: str,
        *,
        clients: int,
        transactions: int,
        options: Sequence[str] = (),
        role: str | None = None,
    ) -> float:
        """Run a script with pgbench, as a role; return its transactions a second, without the time to connect."""
        with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
            file.write(script)
            file.flush()
            done = subprocess.run(
                [
                    self.server.embedded.binaries.program("pgbench"),
                    *("--no-vacuum", f"--file={file.name}", f"--client={clients}", f"--jobs={min(clients, 2)}"),
                    *(f"--transactions={max(1, transactions // clients)}", *options, db.dsn_for(role)),
                ],
                capture_output=True,
                text=True,
                check=True,
            )
        (line,) = (line for line in done.stdout.splitlines() if line.startswith("tps = "))
        return float(line.split()[2])


@contextlib.contextmanager
def setting(
    *,
    repeat: int = 3,
    scale: float = 1.0,
    worker_options: Sequence[str] = (),
    flush_ms: float = 0.0,
    port: int | None = None,
) -> Iterator[Setting]:
    """Start the server, with a port for those that know no socket. It is gone afterwards, also when this process is told to end."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with slow_flush(flush_ms), temporary_server(parent=DISK, port=port, **SETTINGS) as server:
        yield Setting(server, repeat, scale, tuple(worker_options) or ("--concurrency=1", "--executors=8"), flush_ms)


# The longest that whoever waits may take of a core: a fiftieth.
_PAUSE_SECONDS, _PAUSE_TIMES = 0.02, 50
NOTHING_LEFT = "select not exists(select from pgqueue.message)"


def wait_until_done(db: Database, *, is_over: str = NOTHING_LEFT, timeout: float = 3600) -> None:
    """Return when no message is left, or when `is_over` says so.

    One session asks, and seldom if that takes long: under a held snapshot each look reads past all that is done.
    """
    deadline = time.monotonic() + timeout
    with db.connect() as session:
        while True:
            began = time.monotonic()
            row = session.execute(is_over).fetchone()
            assert row is not None
            if row[0]:
                return
            now = time.monotonic()
            assert now < deadline, f"not all jobs were done within {timeout:g} s"
            time.sleep(max(_PAUSE_SECONDS, _PAUSE_TIMES * (now - began)))


def memory_of(worker: Worker) -> int:
    """Return the resident bytes of a worker and its children.

    What they share counts for each: it stops being shared at Python's next collection of garbage, which is no growth.
    """
    me = psutil.Process(worker.pid)
    total = 0
    for process in [me, *me.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            total += process.memory_info().rss
    return total


def one_row(db: Database, statement: str, params: Sequence[Any] = ()) -> tuple[Any, ...]:
    """Return the first row."""
    return db.execute(statement, params)[0]
