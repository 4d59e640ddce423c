"""What is read before and after a piece of work: CPU of processes, WAL, commits, flushes, locks and memory.

CPU comes from the kernel's nanoseconds of each process that lives, and of the ended ones from their parent.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil
import psycopg

from tests.harness.database import Database
from tests.harness.servers import TestServer

_TICKS = os.sysconf("SC_CLK_TCK")
#: Since PostgreSQL 18 the flushes of the WAL are counted in pg_stat_io.
_WORK = """
  select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::float8,
         (select xact_commit + xact_rollback from pg_stat_database where datname = current_database())::float8,
         (select sum(fsyncs) from pg_stat_io where object = 'wal')::float8,
         (select sum(fsync_time) from pg_stat_io where object = 'wal')::float8,
         (select wal_fpi from pg_stat_wal)::float8,
         (select coalesce(sum(calls), 0) from pg_stat_user_functions where funcname = '_ack_and_claim')::float8,
         (select coalesce(sum(calls), 0) from pg_stat_user_functions where schemaname = 'pgqueue_run' and funcname ~ '^(jobs|groups)_')::float8"""
#: Sessions that begin later count the calls of functions, and time the flushes.
COUNT_CALLS = "alter database {0} set track_functions = 'all'; alter database {0} set track_wal_io_timing = on"
#: Sessions tell what they did at the end of a transaction, a second after the last time at the earliest.
SETTLE_SECONDS = 1.2
_LOCKS = """
  select pid, count(*) filter (where fastpath), count(*) filter (where not fastpath)
  from pg_locks where pid <> pg_backend_pid() and database = (select oid from pg_database where datname = current_database()) group by pid"""
_WAITS = """
  select coalesce(wait_event_type || ':' || wait_event, 'CPU') from pg_stat_activity
  where datname = current_database() and state = 'active' and pid <> pg_backend_pid()"""


def tree(pid: int) -> list[int]:
    """Return a process and all below it."""
    with contextlib.suppress(psutil.NoSuchProcess):
        me = psutil.Process(pid)
        return [pid, *(child.pid for child in me.children(recursive=True))]
    return []


def cpu_seconds(pids: Iterable[int]) -> float:
    """Return the seconds of CPU that processes have used, and those of their ended children that they waited for."""
    seconds = 0.0
    for pid in pids:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            # The file of the process counts its main thread only.
            for thread in Path(f"/proc/{pid}/task").iterdir():
                seconds += int((thread / "schedstat").read_text().split()[0]) / 1e9
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            seconds += (int(fields[13]) + int(fields[14])) / _TICKS
    return seconds


def cpu_of_others() -> float:
    """Return the seconds of CPU of all processes that this one has started, those that ended among them."""
    ended = os.times()
    return cpu_seconds(tree(os.getpid())[1:]) + ended.children_user + ended.children_system


def machine_busy_seconds() -> float:
    """Return the seconds of CPU that all processes of the machine, its kernel and its host have used."""
    user, nice, system, _idle, _iowait, irq, softirq, steal, *_ = (
        int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    )
    return (user + nice + system + irq + softirq + steal) / _TICKS


def server_pid(server: TestServer) -> int:
    """Return the pid of the postmaster."""
    assert server.embedded.pid is not None
    return server.embedded.pid


@dataclass(frozen=True)
class Used:
    """What a piece of work has used.

    `claims` and `calls` are the claims and the calls that run jobs, where calls of functions are counted. `others` is the
    number of cores that programs had that are not ours.
    """

    seconds: float
    server_cpu: float
    worker_cpu: float
    child_cpu: float
    wal_bytes: float
    commits: float
    flushes: float
    flushed_ms: float
    full_pages: float
    claims: float
    calls: float
    others: float

    def flush_seconds(self, otherwise: float) -> float:
        """Return how long a flush took, if sessions have told of some."""
        return self.flushed_ms / self.flushes / 1000 if self.flushes >= 1 and self.flushed_ms > 0 else otherwise


class Meter:
    """Reads it all at once. Opens one session, whose own transactions are not counted.

    Args:
        workers: the main processes of workers; their children are counted apart.
    """

    def __init__(self, db: Database, workers: Iterable[int] = ()) -> None:
        self._session = db.connect()
        #: The server's processes whose CPU does not count: those that measure.
        self._uncounted = [self._session.info.backend_pid]
        self._server = server_pid(db.server)
        self._workers = list(workers)
        self._asked = 0

    def read(self) -> list[float]:
        """Return the counters in the order of Used."""
        row = self._session.execute(_WORK).fetchone()
        assert row is not None
        wal, commits, *counts = row
        children = [pid for worker in self._workers for pid in tree(worker)[1:]]
        server = cpu_seconds(tree(self._server)) - cpu_seconds(self._uncounted)
        workers, below = cpu_seconds(self._workers), cpu_seconds(children)
        own = cpu_seconds([os.getpid()])
        others = machine_busy_seconds() - server - workers - below - own
        self._asked += 1
        return [time.monotonic(), server, workers, below, wal, commits - self._asked, *counts, others]

    def leave_out(self, session: psycopg.Connection[Any]) -> None:
        """Do not count the CPU that the server uses for a session, from the next reading on."""
        self._uncounted.append(session.info.backend_pid)

    def wait_until(self, is_over: str, timeout: float = 600.0) -> None:
        """Wait for a condition, whose evaluation is not counted."""
        deadline = time.monotonic() + timeout
        while True:
            row = self._session.execute(is_over).fetchone()
            assert row is not None
            self._asked += 1
            if row[0]:
                return
            assert time.monotonic() < deadline, f"this did not come true within {timeout:g} s: {is_over}"
            time.sleep(0.05)

    @staticmethod
    def between(before: list[float], after: list[float]) -> Used:
        """Return what was used between two readings."""
        used = [b - a for a, b in zip(before, after, strict=True)]
        used[-1] = max(0.0, used[-1] / used[0])
        return Used(*used)


@dataclass
class Sampled:
    """What a sampler has seen: the most locks of one session, and of all, and what active sessions waited for."""

    fast_path: int = 0
    in_table: int = 0
    all_rows: int = 0
    sessions: int = 0
    waits: Counter[str] | None = None

    def top_waits(self, count: int = 3) -> dict[str, float]:
        """Return the shares of the commonest waits among the samples of active sessions."""
        total = sum(self.waits.values()) if self.waits else 0
        return {name: round(n / total, 3) for name, n in (self.waits or Counter()).most_common(count)} if total else {}


class Sampler:
    """Looks into pg_locks and pg_stat_activity meanwhile, in a thread. The locks of its own session do not count."""

    def __init__(self, db: Database, pause: float = 0.05) -> None:
        self.seen = Sampled(waits=Counter())
        self.session: psycopg.Connection[Any] = db.connect()
        self._pause = pause
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Sampled:
        self._thread.start()
        return self.seen

    def __exit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._thread.join()
        self.session.close()

    def _run(self) -> None:
        seen = self.seen
        assert seen.waits is not None
        while not self._stopped.wait(self._pause):
            rows = self.session.execute(_LOCKS).fetchall()
            seen.all_rows = max(seen.all_rows, sum(fast + table for _, fast, table in rows))
            seen.sessions = max(seen.sessions, len(rows))
            seen.fast_path = max([seen.fast_path, *(fast for _, fast, _ in rows)])
            seen.in_table = max([seen.in_table, *(table for _, _, table in rows)])
            seen.waits.update(str(wait) for (wait,) in self.session.execute(_WAITS).fetchall())


def locks_of(session: psycopg.Connection[Any]) -> tuple[int, int]:
    """Return how many locks the open transaction of a session holds: by the fast path, and in the shared table."""
    row = session.execute(
        "select count(*) filter (where fastpath), count(*) filter (where not fastpath) from pg_locks"
        " where pid = pg_backend_pid() and relation is distinct from 'pg_locks'::regclass and locktype <> 'virtualxid'"
    ).fetchone()
    assert row is not None
    return int(row[0]), int(row[1])


def proportional_bytes(pids: Iterable[int]) -> int:
    """Return the memory of processes, where what several share is divided among them (PSS)."""
    total = 0
    for pid in pids:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError, PermissionError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
    return total


def private_bytes(pid: int) -> int:
    """Return the memory that a process has for itself."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError, PermissionError):
        return sum(
            int(line.split()[1]) * 1024
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            if line.startswith("Private_")
        )
    return 0
