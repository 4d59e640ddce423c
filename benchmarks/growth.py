"""What a drain costs with more workers, roles and queues than one, in turns in one run with one of each."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from benchmarks.drain import SPAN, make_sink, preload
from benchmarks.figure import Figure, compare
from benchmarks.setting import Setting, one_row, wait_until_done
from tests.harness.database import Database

JOBS = 20_000
ROLES = 200
QUEUES = 500
EXECUTORS = 8
#: The messages in the order in which they were enqueued: the n-th is of the n-th role or queue, and so on in circles.
SPREAD = """
  update pgqueue.message m
  set submitter = case when %(roles)s > 1 then (select r.oid from pg_roles r where r.rolname = 'grown_' || m.id %% %(roles)s) else m.submitter end,
      queue = case when %(queues)s > 1 then 'grown_' || m.id %% %(queues)s else m.queue end"""


@dataclass(frozen=True)
class Shape:
    """Who does the work, and of how many."""

    name: str
    workers: int = 1
    roles: int = 1
    queues: int = 1
    target: str = ""


ONE = Shape("one worker of 8 executors, one role, one queue")
SHAPES = (
    Shape("8 workers of one executor", workers=EXECUTORS, target=">= 0.8"),
    Shape("200 roles, interleaved", roles=ROLES, target=">= 0.9"),
    Shape("500 queues", queues=QUEUES, target=">= 0.9"),
)


def run(setting: Setting) -> list[Figure]:
    """The rate of each, beside that of the ordinary case."""
    count = setting.count(JOBS)
    rates: dict[Shape, list[float]] = {shape: [] for shape in (ONE, *SHAPES)}
    with setting.database() as db:
        make_sink(db)
        make_roles(db)
        for _ in range(setting.repeat):
            for shape, measured in rates.items():
                measured.append(drain(setting, db, shape, count))
    return [
        compare(shape.name, "jobs/s", rates[shape], rates[ONE], ONE.name, shape.target)
        for shape in SHAPES
    ]  # fmt: skip


def make_roles(db: Database) -> None:
    """Make the roles of the jobs, which may insert into the sink."""
    for number in range(ROLES):
        db.execute(f"create role grown_{number}")
        db.execute(f"select pgqueue.enroll('grown_{number}')")
    db.execute("grant insert on sink to public")


def drain(setting: Setting, db: Database, shape: Shape, count: int) -> float:
    """Return the jobs a second, from the first commit to the last."""
    queues = [f"grown_{number}" for number in range(QUEUES)] if shape.queues > 1 else ["default"]
    db.execute("truncate pgqueue.message")
    preload(db, count)
    db.execute(SPREAD, {"roles": shape.roles, "queues": shape.queues})
    db.execute("select pgqueue.pause(q) from unnest(%s::text[]) q", [queues])
    db.execute("vacuum full pgqueue.message")
    db.execute("vacuum analyze pgqueue.message")
    db.execute("checkpoint")
    with contextlib.ExitStack() as workers:
        for number in range(shape.workers):
            executors = f"--executors={EXECUTORS // shape.workers}"
            options = ("--concurrency=1", executors, f"--queues={','.join(queues)}")
            workers.enter_context(setting.worker(db, *options, name=f"w{number}"))
        db.execute("select pgqueue.resume(q) from unnest(%s::text[]) q", [queues])
        wait_until_done(db)
    done, took = one_row(db, SPAN)
    return float((done - 1) / took)
