"""Whether a worker grows with what waits, with what it has done, or with the size of a result."""

from __future__ import annotations

import threading

from benchmarks.drain import drain, make_sink, preload
from benchmarks.figure import Figure
from benchmarks.setting import Setting, memory_of
from tests.harness.worker import Worker

WAITING = 200_000
DONE = 10_000
ROWS = 1_000_000
MIB = 1024 * 1024


class Peak:
    """The most memory that a worker had, looked at often, while the block runs."""

    def __init__(self, worker: Worker) -> None:
        self.bytes = 0
        self._worker = worker
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._is_over.wait(0.05):
            self.bytes = max(self.bytes, memory_of(self._worker))


def run(setting: Setting) -> list[Figure]:
    """Mebibytes over what the worker had when it had done its first jobs."""
    waiting, done, rows = (setting.count(usual) for usual in (WAITING, DONE, ROWS))
    with setting.database() as db:
        make_sink(db)
        with setting.worker(db) as worker:
            preload(db, 1_000)
            drain(db)
            before = memory_of(worker)
            preload(db, waiting)
            with_waiting = memory_of(worker)
            db.execute("truncate pgqueue.message")
            preload(db, done)
            drain(db)
            after = memory_of(worker)
            with Peak(worker) as peak:
                (in_order,) = db.execute(
                    """select count(*) = max(n) and bool_and(n = at) from (
                         select n, row_number() over () as at
                         from pgqueue.result(pgqueue.launch(format('select n from generate_series(1, %%s) n', %s::int))) as (n int)) r""",
                    [rows],
                )[0]
    assert in_order, "the rows came out of order"
    return [
        Figure(f"worker, {waiting:,} jobs waiting", (with_waiting - before) / MIB, "MiB more", "<= 10"),
        Figure(f"worker, after {done:,} jobs", (after - before) / MIB, "MiB more", "<= 10"),
        Figure(f"worker, a result of {rows:,} rows", (peak.bytes - after) / MIB, "MiB more", "<= 100"),
    ]
