"""What idle workers cost the server, by their number: transactions, CPU, locks, memory, and how soon one of them wakes up.

Their sessions are real and run the statements of real idle workers (`idle_worker.py`), in two processes of this machine.
"""

from __future__ import annotations

import contextlib
import queue
import random
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import psycopg

from benchmarks.capacity.fleet_process import NAPTIME
from benchmarks.capacity.instruments import Meter, private_bytes, proportional_bytes, server_pid, tree
from benchmarks.figure import percentile
from benchmarks.setting import DISK, SETTINGS
from tests.harness.database import Database
from tests.harness.servers import temporary_server

PROCESSES = 2
SHARED = "celery,default"
CONNECTIONS = 3
MIB = 2**20
#: A session that idles for so long has told what it did.
REPORT_SECONDS = 11.0
#: For how long a shared wake-up may go on before the next one.
_QUIET_SECONDS = 30.0
_QUIET = "select count(*) from pg_stat_activity where application_name like 'idle worker %' and state <> 'idle'"
_SEND = "select pgqueue.send_task('capacity.nothing', queue => %s)"
_READ_LOCKS = "select count(*) from pg_locks"
#: What the upkeep asks: which registered workers hold their locks.
_READ_OURS = "select count(*) from pgqueue._advisory_locks(pgqueue._lock_class('worker'))"


@dataclass
class WakeUps:
    """What wake-ups cost; times in milliseconds from before the publisher's statement until a worker has the message."""

    p50_ms: float
    p99_ms: float
    #: Of the server, for one wake-up, until all is quiet again.
    cpu_ms: float
    transactions: float
    count: int


@dataclass
class Idling:
    """What so many idle workers cost. CPU in shares of a core."""

    workers: int
    connections: int
    transactions: float
    server_cpu: float
    #: Of the processes that play the workers, which is not what real ones use.
    fleet_cpu: float
    wal_bytes: float
    lock_rows: int
    fast_path_rows: int
    read_locks_ms: float
    read_liveness_ms: float
    notify_ms: float
    notify_cpu_ms: float
    server_mib: float
    session_mib: float
    own: WakeUps
    shared: WakeUps
    others: float
    start_seconds: float

    def as_dict(self) -> dict[str, Any]:
        """Return it for the file."""
        return asdict(self)


class Fleet:
    """Processes of idle workers, and the messages that they report."""

    def __init__(self, db: Database, count: int) -> None:
        self.count = count
        self._arrived: queue.Queue[tuple[float, int]] = queue.Queue()
        self._processes: list[subprocess.Popen[str]] = []
        self._ready = 0
        processes = min(PROCESSES, count)
        dsn = db.dsn_for(db.worker_role())
        for number in range(processes):
            first, beyond = count * number // processes, count * (number + 1) // processes
            command = [sys.executable, "-m", "benchmarks.capacity.fleet_process", dsn, str(first), str(beyond - first)]
            self._processes.append(subprocess.Popen([*command, SHARED], stdout=subprocess.PIPE, text=True))
        for process in self._processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n", "the idle workers did not start"
            threading.Thread(target=self._read, args=(process,), daemon=True).start()

    @property
    def pids(self) -> list[int]:
        """Return the processes."""
        return [process.pid for process in self._processes]

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            at, number = line.split()
            self._arrived.put((float(at), int(number)))

    def arrival(self) -> float:
        """Wait for the next message; return when a worker had it."""
        return self._arrived.get(timeout=120)[0]

    def close(self) -> None:
        """End the processes."""
        for process in self._processes:
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()


@contextlib.contextmanager
def server_for(workers: int) -> Iterator[Database]:
    """Start a durable server that has room for so many workers."""
    settings = {**SETTINGS, "max_connections": str(workers * CONNECTIONS + 50)}
    with temporary_server(parent=DISK, **settings) as server:
        db = Database(server)
        try:
            db.execute("select pgqueue.enroll('postgres')")
            yield db
        finally:
            db.close()


def measure(workers: int, *, seconds: float, rounds: int, shared_rounds: int) -> Idling:
    """Start so many idle workers, and measure. Each kind of wake-up is done so many rounds."""
    with server_for(workers) as db, contextlib.ExitStack() as stack:
        postmaster = server_pid(db.server)
        session = db.connect()
        bare = proportional_bytes(tree(postmaster))
        began = time.monotonic()
        fleet = Fleet(db, workers)
        stack.callback(fleet.close)
        started = time.monotonic() - began
        wait_until_quiet(session)
        time.sleep(REPORT_SECONDS)
        meter = Meter(db, fleet.pids)
        before = meter.read()
        time.sleep(seconds)
        used = Meter.between(before, meter.read())
        row = session.execute("select count(*), count(*) filter (where fastpath) from pg_locks").fetchone()
        assert row is not None
        notify_ms, notify_cpu_ms = notifications(session, meter, used.server_cpu / used.seconds, rounds)
        own = wake_ups(session, fleet, meter, used.server_cpu / used.seconds, rounds, is_shared=False)
        shared = wake_ups(session, fleet, meter, used.server_cpu / used.seconds, shared_rounds, is_shared=True)
        backends = [
            pid
            for (pid,) in session.execute(
                "select pid from pg_stat_activity where application_name like 'idle worker %'"
            )
        ]
        sample = random.Random(workers).sample(backends, min(len(backends), 90))
        return Idling(
            workers=workers,
            connections=len(backends),
            transactions=used.commits / used.seconds,
            server_cpu=used.server_cpu / used.seconds,
            fleet_cpu=used.worker_cpu / used.seconds,
            wal_bytes=used.wal_bytes / used.seconds,
            lock_rows=row[0],
            fast_path_rows=row[1],
            read_locks_ms=milliseconds(session, _READ_LOCKS),
            read_liveness_ms=milliseconds(session, _READ_OURS),
            notify_ms=notify_ms,
            notify_cpu_ms=notify_cpu_ms,
            server_mib=(proportional_bytes(tree(postmaster)) - bare) / MIB,
            session_mib=statistics.mean(private_bytes(pid) for pid in sample) / MIB,
            own=own,
            shared=shared,
            others=used.others,
            start_seconds=started,
        )


def milliseconds(session: psycopg.Connection[Any], statement: str) -> float:
    """Return the median duration of a statement."""
    taken = []
    for _ in range(30):
        began = time.perf_counter()
        session.execute(statement)
        taken.append((time.perf_counter() - began) * 1000)
    return statistics.median(taken)


def notifications(session: psycopg.Connection[Any], meter: Meter, idle_cpu: float, rounds: int) -> tuple[float, float]:
    """Return how long a NOTIFY takes for which no worker listens, and the server's CPU for it, both in milliseconds.

    PostgreSQL wakes every session of the database that listens to any channel.
    """
    before, taken = meter.read(), []
    for _ in range(rounds):
        time.sleep(0.02)
        began = time.perf_counter()
        session.execute("notify capacity_unheard")
        taken.append((time.perf_counter() - began) * 1000)
    time.sleep(0.1)
    used = Meter.between(before, meter.read())
    return statistics.median(taken), max(0.0, used.server_cpu - idle_cpu * used.seconds) / rounds * 1000


def wake_ups(
    session: psycopg.Connection[Any], fleet: Fleet, meter: Meter, idle_cpu: float, rounds: int, *, is_shared: bool
) -> WakeUps:
    """Publish tasks one at a time, to a queue that all workers consume or that one does, and wait until each is taken."""
    chance = random.Random(fleet.count)
    taken = []
    before = meter.read()
    for _ in range(rounds):
        name = "celery" if is_shared else f"{chance.randrange(fleet.count)}.own"
        began = time.monotonic()
        session.execute(_SEND, [name])
        taken.append((fleet.arrival() - began) * 1000)
        time.sleep(1.0 if is_shared else 0.1)
        if is_shared:
            wait_until_quiet(session)
    time.sleep(REPORT_SECONDS)
    used = Meter.between(before, meter.read())
    return WakeUps(
        p50_ms=percentile(taken, 0.5),
        p99_ms=percentile(taken, 0.99),
        cpu_ms=max(0.0, used.server_cpu - idle_cpu * used.seconds) / rounds * 1000,
        transactions=max(0.0, used.commits - fleet.count / NAPTIME * used.seconds) / rounds,
        count=rounds,
    )


def wait_until_quiet(session: psycopg.Connection[Any]) -> None:
    """Return when hardly any of the workers' sessions does anything, or after a while."""
    deadline, calm = time.monotonic() + _QUIET_SECONDS, 0
    while calm < 4 and time.monotonic() < deadline:
        time.sleep(0.1)
        row = session.execute(_QUIET).fetchone()
        assert row is not None
        calm = calm + 1 if row[0] <= 3 else 0
