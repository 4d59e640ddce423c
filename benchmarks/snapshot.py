"""Draining while another session holds a snapshot, which stops VACUUM: each tenth of the jobs.

python -m benchmarks --only snapshot --scale 20 --json snapshot.json     # 1,000,000 jobs
python -m benchmarks.plot snapshot.json docs/images/held-snapshot.png
"""

from __future__ import annotations

from benchmarks.drain import Drained, drain, make_sink, preload
from benchmarks.figure import Figure
from benchmarks.setting import Setting

JOBS = 50_000


def drain_once(setting: Setting, count: int, *, held: bool) -> Drained:
    """Drain a new database, with or without a snapshot that is held elsewhere."""
    with setting.database() as db:
        make_sink(db)
        preload(db, count)
        holder = db.connect(autocommit=False)
        if held:
            holder.execute("set transaction isolation level repeatable read")
            holder.execute("select count(*) from pgqueue.queue")
        with setting.worker(db):
            return drain(db)


def run(setting: Setting) -> list[Figure]:
    """The last tenth against the first."""
    count = setting.count(JOBS)
    figures = []
    for held in (True, False):
        drained = drain_once(setting, count, held=held)
        first, last = drained.tenths[0], drained.tenths[-1]
        what = f"{count:,} jobs, {'snapshot held' if held else 'no snapshot'}: last tenth"
        runs = {"tenths": drained.tenths, "jobs": count, "held": held}
        figures.append(Figure(what, last, "jobs/s", ">= 0.95", first, "first tenth", last / first, runs))
    return figures
