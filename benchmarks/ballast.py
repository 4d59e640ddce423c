"""Whether 100,000 delayed messages and 100,000 of a paused queue slow the others down."""

from __future__ import annotations

from benchmarks.drain import PRELOAD, drain, make_sink, preload
from benchmarks.figure import Figure, compare
from benchmarks.setting import Setting
from tests.harness.database import Database

JOBS = 8_000
BALLAST = 100_000
# In the order of their indexes, or each look reads all the ballast. The same with ballast and without.
IS_OVER = """
  select (select id from pgqueue.message where state = 'ready' and queue = 'default' order by kind, ((9 - priority)::bigint << 58 | id) limit 1) is null
         and (select id from pgqueue.message where state = 'claimed' order by worker_id limit 1) is null"""
OTHER = PRELOAD.replace("from generate_series(1, %s) g))", "from generate_series(1, %s) g), queue => %s, delay => %s)")


def load(db: Database, count: int) -> None:
    """Put the ballast in."""
    db.execute("select pgqueue.pause('paused')")
    db.execute(OTHER, [count, "paused", None])
    db.execute(OTHER, [count, "default", "1 day"])
    db.execute("vacuum analyze pgqueue.message")


def measure(setting: Setting, count: int, ballast: int) -> float:
    """Return the rate with so much ballast."""
    with setting.database() as db:
        make_sink(db)
        if ballast:
            load(db, ballast)
        with setting.worker(db, "--queues=default,paused,celery", *setting.worker_options):
            preload(db, count)
            return drain(db, IS_OVER).rate


def run(setting: Setting) -> list[Figure]:
    """With ballast against without."""
    count, ballast = setting.count(JOBS), setting.count(BALLAST)
    ours, reference = [], []
    for _ in range(setting.repeat):
        reference.append(measure(setting, count, 0))
        ours.append(measure(setting, count, ballast))
    return [
        compare(
            f"drain beside {ballast:,} delayed and {ballast:,} paused", "jobs/s", ours, reference, "without", ">= 0.95"
        )
    ]
