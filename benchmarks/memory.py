"""Whether a worker grows with what waits, with what it has done, or with the size of a result."""

from __future__ import annotations

import argparse
import threading

from benchmarks.drain import drain, make_sink, preload
from benchmarks.figure import Figure
from benchmarks.setting import Setting, memory_of, setting
from tests.harness.worker import Worker

WAITING = 200_000
DONE = 10_000
LEAVE = "delete from pgqueue.message where id in (select id from pgqueue.message limit %s)"
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
    return [*with_jobs(setting, waiting, done), with_rows(setting, rows)]


def with_jobs(setting: Setting, waiting: int, done: int, *, is_async: bool = False) -> list[Figure]:
    """What many jobs that wait, and many that were run, add to a worker."""
    with setting.database() as db:
        make_sink(db)
        if is_async:
            db.execute("select pgqueue.set_durability('default', 'async')")
        with setting.worker(db) as worker:
            preload(db, 5_000)
            drain(db)
            before = memory_of(worker)
            preload(db, waiting)
            with_waiting = memory_of(worker)
            if waiting > done:
                db.execute(LEAVE, [waiting - done])
            with Peak(worker) as peak:
                drain(db)
            after = memory_of(worker)
    return [
        Figure(f"worker, {waiting:,} jobs waiting", (with_waiting - before) / MIB, "MiB more", "<= 10"),
        Figure(f"worker, most while {done:,} jobs run", (peak.bytes - before) / MIB, "MiB more", "<= 20"),
        Figure(f"worker, after {done:,} jobs", (after - before) / MIB, "MiB more", "<= 10"),
    ]


def with_rows(setting: Setting, rows: int) -> Figure:
    """What a large result adds to the worker that makes it, while a client reads it in order."""
    with setting.database() as db, setting.worker(db) as worker:
        db.execute("select * from pgqueue.result(pgqueue.launch('select 1')) as (n int)")
        before = memory_of(worker)
        with Peak(worker) as peak:
            (in_order,) = db.execute(
                """select count(*) = max(n) and bool_and(n = at) from (
                     select n, row_number() over () as at
                     from pgqueue.result(pgqueue.launch(format('select n from generate_series(1, %%s) n', %s::int))) as (n int)) r""",
                [rows],
            )[0]
    assert in_order, "the rows came out of order"
    return Figure(f"worker, a result of {rows:,} rows", (peak.bytes - before) / MIB, "MiB more", "<= 100")


def main() -> None:
    """Measure a million, which takes some minutes."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    parser.add_argument("--jobs", type=int, default=1_000_000)
    parser.add_argument(
        "--async", action="store_true", dest="is_async", help="let the jobs commit asynchronously: sooner done"
    )
    options = parser.parse_args()
    with setting() as place:
        for figure in [
            *with_jobs(place, options.jobs, options.jobs, is_async=options.is_async),
            with_rows(place, ROWS),
        ]:
            print(f"{figure.what}: {figure.ours:.1f} {figure.unit}", flush=True)


if __name__ == "__main__":
    main()
