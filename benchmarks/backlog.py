"""Whether a long queue is slower than a short one: the same number of jobs out of more and more."""

from __future__ import annotations

from benchmarks.drain import SPAN, make_sink, preload
from benchmarks.figure import Figure, median
from benchmarks.setting import Setting, one_row
from tests.harness.database import Database
from tests.harness.eventually import eventually

SIZES = (10_000, 100_000, 1_000_000)
TAKEN = 8_000
CLAIMED = "select exists(select from pgqueue.message where state = 'claimed')"


def take(setting: Setting, db: Database, taken: int) -> float:
    """Return the rate of the first `taken` jobs of a paused queue, and pause it again."""
    db.execute("truncate sink")
    with setting.worker(db):
        db.execute("select pgqueue.resume('default')")
        eventually(lambda: db.fetch_value("select count(*) from sink") >= taken, 3600, what=f"{taken} jobs done")
        done, took = one_row(db, SPAN)
        db.execute("select pgqueue.pause('default')")
        eventually(lambda: not db.fetch_value(CLAIMED), 60, what="no job that runs")
    return float((done - 1) / took)


def run(setting: Setting) -> list[Figure]:
    """The rate with each size, against that with the smallest; the queue is filled once for all repetitions."""
    taken, figures, first = setting.count(TAKEN), [], 0.0
    with setting.database() as db:
        make_sink(db)
        for size in SIZES:
            preload(db, setting.count(size) + (setting.repeat - 1) * taken)
            rate = median([take(setting, db, taken) for _ in range(setting.repeat)])
            db.execute("truncate pgqueue.message")
            first = first or rate
            waiting = f"{setting.count(size):,} waiting"
            figures.append(
                Figure(
                    f"drain, {waiting}",
                    rate,
                    "jobs/s",
                    ">= 0.9",
                    first,
                    f"{setting.count(SIZES[0]):,} waiting",
                    rate / first,
                )
            )
    return figures[1:]
