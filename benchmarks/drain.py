"""SQL jobs, each one INSERT in its own transaction, drained by one worker; pgbench runs the same INSERTs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.capacity.instruments import cpu_of_others
from benchmarks.figure import Figure, compare
from benchmarks.setting import NOTHING_LEFT, Setting, one_row, wait_until_done
from tests.harness.database import Database

CLIENTS = 8
GROUP_COMMIT = 100
PRELOAD = """select count(*) from pgqueue.enqueue_many(
               array(select format('insert into sink (n) values (%%s)', g) from generate_series(1, %s) g))"""
# Jobs done and when, from the first to the last commit: the time to start and to preload is not in it.
SPAN = "select count(*), extract(epoch from max(at) - min(at))::float8 from sink"
TENTHS = """
  select array_agg(done / took order by tenth)
  from (select tenth, count(*) as done, extract(epoch from max(at) - min(at))::float8 as took
        from (select at, ntile(10) over (order by at) as tenth from sink) s group by tenth) t"""


@dataclass(frozen=True)
class Drained:
    """How fast it went, in jobs a second: on the whole, and each tenth of the jobs."""

    rate: float
    tenths: list[float]


def make_sink(db: Database) -> None:
    """Make the table that jobs insert into; each row says when."""
    db.execute("create table sink (n int not null, at timestamptz not null default clock_timestamp())")


def preload(db: Database, count: int) -> None:
    """Queue inserts while the queue is paused."""
    db.execute("truncate sink")
    db.execute("select pgqueue.pause('default')")
    for first in range(0, count, 50_000):
        db.execute(PRELOAD, [min(50_000, count - first)])
    db.execute("vacuum analyze pgqueue.message")
    db.execute("checkpoint")


def drain(db: Database, is_over: str = NOTHING_LEFT) -> Drained:
    """Let the worker have the queue, and wait until it is empty, or until `is_over` says so."""
    db.execute("select pgqueue.resume('default')")
    wait_until_done(db, is_over=is_over)
    done, took = one_row(db, SPAN)
    (tenths,) = one_row(db, TENTHS)
    return Drained((done - 1) / took, tenths)


def bare_inserts(setting: Setting, db: Database, count: int) -> float:
    """Return the rate at which pgbench runs the same statements."""
    db.execute("truncate sink")
    db.execute("checkpoint")
    return setting.pgbench(
        db,
        "\\set n random(1, 1000000)\ninsert into sink (n) values (:n);\n",
        clients=CLIENTS,
        transactions=count,
    )


def run(setting: Setting) -> list[Figure]:
    """SQL jobs against pgbench: each in a transaction of its own, and up to 100 in one."""
    count = setting.count(20_000)
    ours: dict[int, list[tuple[float, float]]] = {1: [], GROUP_COMMIT: []}
    reference = []
    with setting.database() as db:
        make_sink(db)
        with setting.worker(db):
            for size in ours:
                configure(db, size)
                preload(db, count // 10)
                drain(db)  # sessions are open and plans are made
            for _ in range(setting.repeat):
                reference.append(with_cpu(count, lambda: bare_inserts(setting, db, count)))
                for size, runs in ours.items():
                    configure(db, size)
                    preload(db, count)
                    runs.append(with_cpu(count, lambda: drain(db).rate))
    told = "pgbench, 8 clients"
    figures = []
    for size, name, target in ((1, "", ">= 1.0"), (GROUP_COMMIT, f", group_commit {GROUP_COMMIT}", ">= 1.6")):
        (rates, cpu), (plain_rates, plain_cpu) = zip(*ours[size], strict=True), zip(*reference, strict=True)
        figures += [
            compare(f"drain, 8 executors{name}", "jobs/s", rates, plain_rates, told, target),
            compare("the same, CPU of all processes", "us/job", cpu, plain_cpu, told),
        ]
    return figures


def with_cpu(count: int, work: Callable[[], float]) -> tuple[float, float]:
    """Return the rate that `work` returns, and the microseconds of CPU of the server and its clients for each of its jobs."""
    before = cpu_of_others()
    rate = work()
    return rate, (cpu_of_others() - before) / count * 1e6


def configure(db: Database, size: int) -> None:
    """Let so many jobs of a role share a transaction."""
    db.execute("select pgqueue.configure('group_commit', %s, queue => 'default')", [str(size)])
