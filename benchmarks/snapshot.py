"""Draining while another session holds a snapshot, which stops VACUUM: each tenth of the jobs.

python -m benchmarks --only snapshot --scale 20 --json snapshot.json     # 1,000,000 jobs
python -m benchmarks.plot snapshot.json docs/images/held-snapshot.png
"""

from __future__ import annotations

from benchmarks.drain import GROUP_COMMIT, Drained, configure, drain, make_sink, preload
from benchmarks.figure import Figure
from benchmarks.setting import Setting

JOBS = 50_000


def drain_once(setting: Setting, count: int, *, held: bool, group_commit: int = 1) -> Drained:
    """Drain a new database, with or without a snapshot that is held elsewhere."""
    with setting.database() as db:
        make_sink(db)
        configure(db, group_commit)
        preload(db, count)
        holder = db.connect(autocommit=False)
        if held:
            holder.execute("set transaction isolation level repeatable read")
            holder.execute("select count(*) from pgqueue.queue")
        with setting.worker(db):
            return drain(db)


def run(setting: Setting) -> list[Figure]:
    """The last tenth against the first, of jobs with a transaction each and of jobs that share one."""
    count = setting.count(JOBS)
    figures = []
    for group_commit in (1, GROUP_COMMIT):
        for held in (True, False):
            drained = drain_once(setting, count, held=held, group_commit=group_commit)
            first, last = drained.tenths[0], drained.tenths[-1]
            grouped = "" if group_commit == 1 else f", group_commit {group_commit}"
            what = f"{count:,} jobs{grouped}, {'snapshot held' if held else 'no snapshot'}: last tenth"
            runs = {"tenths": drained.tenths, "jobs": count, "held": held, "group_commit": group_commit}
            figures.append(Figure(what, last, "jobs/s", ">= 0.95", first, "first tenth", last / first, runs))
    return figures
