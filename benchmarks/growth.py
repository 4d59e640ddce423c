"""What a drain costs with more workers, roles and queues than one, in turns in one run with one of each.

Each shape has workers and queues of its own. All workers are started once, and are idle while another shape is measured.

A session compiles and plans what runs the jobs of a role at the first of them. The first drain of each shape has some
jobs of each role, so that the others show what a worker does after a few seconds. That first one is a figure of its
own: a session is replaced after 20,000 jobs, and what it has to do then is in no other figure.
"""

from __future__ import annotations

import contextlib
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.drain import SPAN, make_sink
from benchmarks.figure import Figure, compare
from benchmarks.setting import Setting, one_row, wait_until_done
from tests.harness.database import Database
from tests.harness.worker import Worker

JOBS = 8_000
ROLES = 200
QUEUES = 500
EXECUTORS = 8
#: Of the first drain, at least: some of each role.
FIRST_JOBS = 800
#: The longest that a drain may take, in seconds: it should take some.
TIMEOUT = 120.0
ENQUEUE = "select count(*) from pgqueue.enqueue_many(array_fill('insert into sink (n) values (1)'::text, array[%s]))"
#: The messages in the order in which they were enqueued: the n-th is of the n-th role or queue, and so on in circles.
SPREAD = """
  with role as (select array_agg(r.oid order by r.rolname) as oids from pg_roles r where r.rolname like 'grown\\_%%')
  update pgqueue.message m
  set submitter = case when %(has_roles)s then role.oids[1 + m.id %% cardinality(role.oids)] else m.submitter end,
      queue = (%(queues)s::text[])[1 + m.id %% cardinality(%(queues)s::text[])]
  from role"""


@dataclass(frozen=True)
class Shape:
    """Who does the work, and of how many roles and queues it is."""

    name: str
    label: str
    workers: int = 1
    has_roles: bool = False
    queue_count: int = 1
    target: str = ""

    @property
    def queues(self) -> list[str]:
        """The queues, which no other shape has."""
        return [f"{self.label}_{number}" for number in range(self.queue_count)]


ONE = Shape("one worker of 8 executors, one role, one queue", "one")
SHAPES = (
    Shape("8 workers of one executor", "workers", workers=EXECUTORS, target=">= 0.8"),
    Shape("200 roles, interleaved", "roles", has_roles=True, target=">= 0.9"),
    Shape("500 queues", "queues", queue_count=QUEUES, target=">= 0.9"),
)


def run(setting: Setting) -> list[Figure]:
    """The rate of each, beside that of the ordinary case."""
    count = setting.count(JOBS)
    rates: dict[Shape, list[float]] = {shape: [] for shape in (ONE, *SHAPES)}
    first_rates: dict[Shape, list[float]] = {}
    with setting.database() as db, tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        make_sink(db)
        make_roles(db)
        for shape in rates:
            start_workers(db, Path(folder), shape, stack)
            first_rates[shape] = [drain(db, shape, max(FIRST_JOBS, count // 10))]
        for _ in range(setting.repeat):
            for shape, measured in rates.items():
                measured.append(drain(db, shape, count))
    figures = [compare(shape.name, "jobs/s", rates[shape], rates[ONE], ONE.name, shape.target) for shape in SHAPES]
    first = [
        compare(
            f"{shape.name}, the first jobs of each session", "jobs/s", first_rates[shape], first_rates[ONE], ONE.name
        )
        for shape in SHAPES
        if shape.has_roles
    ]
    return figures + first


def make_roles(db: Database) -> None:
    """Make the roles of the jobs, which may insert into the sink."""
    names = [f"grown_{number}" for number in range(ROLES)]
    db.execute("".join(f"create role {name}; select pgqueue.enroll('{name}'); " for name in names))
    db.execute("grant insert on sink to public")


def start_workers(db: Database, folder: Path, shape: Shape, stack: contextlib.ExitStack) -> None:
    """Start the workers of a shape, which end with the stack."""
    options = ("--no-tasks", f"--executors={EXECUTORS // shape.workers}", f"--queues={','.join(shape.queues)}")
    workers = []
    for number in range(shape.workers):
        name = f"{shape.label}{number}"
        worker = Worker(db, folder / f"{name}.log", name=name, arguments=options, preloaded=True)
        stack.callback(worker.end)
        workers.append(worker)
    for worker in workers:
        worker.wait_online()


def drain(db: Database, shape: Shape, count: int) -> float:
    """Return the jobs a second, from the first commit to the last.

    Raises:
        AssertionError: some jobs did not run, or it took too long.
    """
    db.execute("truncate sink")
    db.execute("select pgqueue.pause(q) from unnest(%s::text[]) q", [["default", *shape.queues]])
    db.execute(ENQUEUE, [count])
    db.execute(SPREAD, {"has_roles": shape.has_roles, "queues": shape.queues})
    db.execute("vacuum full pgqueue.message")
    db.execute("vacuum analyze pgqueue.message")
    db.execute("checkpoint")
    db.execute("select pgqueue.resume(q) from unnest(%s::text[]) q", [shape.queues])
    wait_until_done(db, timeout=TIMEOUT)
    done, took = one_row(db, SPAN)
    assert done == count, f"{done} of {count} jobs have run"
    return float((done - 1) / took)
