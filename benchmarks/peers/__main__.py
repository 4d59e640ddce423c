"""Run the peers and pgqueue with the same work in one run: `make bench-peers`.

Each job inserts one row in a transaction of its own; all jobs are queued before one worker starts, and the rate is that from the
first row to the last. PostgreSQL and RabbitMQ are durable; Redis has its defaults and may forget what it acknowledged.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from benchmarks.__main__ import FLUSH_HELP, describe, table
from benchmarks.brokers import running_rabbitmq, running_redis
from benchmarks.drain import SPAN, drain, make_sink, preload
from benchmarks.figure import Figure, median
from benchmarks.peers.celery_peer import BROKER, SINK, CeleryPeer
from benchmarks.peers.node_peer import NodePeer
from benchmarks.peers.peer import Peer
from benchmarks.peers.pgqueuer_peer import PgQueuer
from benchmarks.peers.procrastinate_peer import Procrastinate
from benchmarks.setting import Setting, one_row, setting
from benchmarks.triggers import TRIGGERS, insert
from pgqueue.config import to_url
from tests.harness.database import Database

NAMES = (
    "pg-boss",
    "graphile-worker",
    "pgqueuer",
    "procrastinate",
    "celery-rabbitmq",
    "celery-redis",
    "celery-sqlalchemy",
)
TRIGGER_BODIES = {
    "pgqueuer": "insert into pgqueuer (priority, entrypoint, payload, status, execute_after) values (0, 'insert', '1', 'queued', now())",
    "pg-boss": "insert into pgboss.job (name, data) values ('insert', '{\"n\": 1}'::jsonb)",
    "graphile-worker": "perform graphile_worker.add_job('insert', '{\"n\": 1}'::json)",
    "procrastinate": (
        "perform procrastinate_defer_jobs_v1(array[row('bench', 'insert', 0, null, null, '{\"n\": 1}'::jsonb, null)"
        "::procrastinate_job_to_defer_v1])"
    ),
}
GIVE_UP_SECONDS = 60


@contextlib.contextmanager
def make_peer(name: str, db: Database, folder: Path, node_modules: str) -> Iterator[Peer]:
    """Start what the peer needs beside PostgreSQL, and return it."""
    dsn = to_url(db.dsn)
    if name == "pgqueuer":
        yield PgQueuer(name, dsn, TRIGGER_BODIES[name], environment=os.environ)
    elif name == "procrastinate":
        yield Procrastinate(name, dsn, TRIGGER_BODIES[name], 0.2, os.environ)
    elif name in ("pg-boss", "graphile-worker"):
        yield NodePeer(name, dsn, TRIGGER_BODIES[name], environment={**os.environ, "NODE_PATH": node_modules})
    else:
        with contextlib.ExitStack() as stack:
            broker = f"sqla+{to_url(db.dsn, 'postgresql+psycopg')}"
            if name == "celery-redis":
                broker = f"redis://127.0.0.1:{stack.enter_context(running_redis(folder / 'redis'))}/0"
            elif name == "celery-rabbitmq":
                broker = f"amqp://guest:guest@127.0.0.1:{stack.enter_context(running_rabbitmq(folder / 'rabbitmq'))}//"
            share = 0.05 if name == "celery-sqlalchemy" else 0.2
            yield CeleryPeer(name, dsn, None, share, {**os.environ, BROKER: broker, SINK: dsn})


def drain_peer(place: Setting, name: str, jobs: int, node_modules: str) -> tuple[float, float]:
    """Return the jobs a second that were queued, and those that one worker ran."""
    with tempfile.TemporaryDirectory() as folder:
        db = Database(place.server, installed=False)
        try:
            make_sink(db)
            with make_peer(name, db, Path(folder), node_modules) as peer:
                peer.install()
                count = max(100, int(jobs * peer.share))
                began = time.perf_counter()
                peer.enqueue(count)
                queued = count / (time.perf_counter() - began)
                db.execute("vacuum analyze")
                db.execute("checkpoint")
                with peer.worker(Path(folder) / "worker.log"):
                    wait_for_rows(db, count)
                done, took = one_row(db, SPAN)
                if not done:
                    raise RuntimeError(f"{name} ran nothing:\n{(Path(folder) / 'worker.log').read_text()[-2000:]}")
                return queued, (done - 1) / took
        finally:
            db.close()


def wait_for_rows(db: Database, count: int) -> None:
    """Wait until all rows are there, or for as long as is worth waiting."""
    deadline = time.monotonic() + GIVE_UP_SECONDS
    with db.connect() as session:
        while time.monotonic() < deadline:
            row = session.execute("select count(*) from sink").fetchone()
            if row is not None and row[0] >= count:
                return
            time.sleep(0.2)


def trigger_peer(place: Setting, name: str, rows: int, node_modules: str) -> float:
    """Return what a row trigger adds to a row, in microseconds."""
    with tempfile.TemporaryDirectory() as folder:
        db = Database(place.server, installed=False)
        try:
            db.execute("create table item (id int, name text); create table sink (n int)")
            db.execute("create schema pgqueue; create table pgqueue.message ()")  # what `insert` empties
            with make_peer(name, db, Path(folder), node_modules) as peer:
                peer.install()
                plain = insert(db, rows)[0]
                db.execute(
                    f"create function enqueue() returns trigger language plpgsql as $$ begin {peer.trigger}; return null; end $$"
                )
                db.execute("create trigger fire after insert on item for each row execute function enqueue()")
                return insert(db, rows)[0] - plain
        finally:
            db.close()


def ours(place: Setting, jobs: int, rows: int) -> tuple[float, float, float]:
    """Return the same three of pgqueue: queued a second, run a second, microseconds of a row trigger."""
    with place.database() as db:
        make_sink(db)
        began = time.perf_counter()
        preload(db, jobs)
        queued = jobs / (time.perf_counter() - began)
        with place.worker(db):
            rate = drain(db).rate
        db.execute("create table item (id int, name text)")
        plain = insert(db, rows)[0]
        db.execute(TRIGGERS["row trigger"][0])
        return queued, rate, insert(db, rows)[0] - plain


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument(
        "--only", action="append", choices=NAMES, metavar="NAME", help=f"one of {', '.join(NAMES)}; may be repeated"
    )
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument(
        "--node-modules", default="build/peers/node_modules", help="where graphile-worker, pg-boss and pg are"
    )
    parser.add_argument("--flush-ms", type=float, default=0.0, metavar="MS", help=FLUSH_HELP)
    parser.add_argument("--json", metavar="FILE")
    options = parser.parse_args()
    rows = min(options.jobs, 5_000)
    node_modules = str(Path(options.node_modules).resolve())
    measured: dict[str, list[tuple[float, float, float | None]]] = {}
    with setting(repeat=options.repeat, flush_ms=options.flush_ms) as place:
        told = describe(place)
        for _ in range(options.repeat):
            measured.setdefault("pgqueue", []).append(ours(place, options.jobs, rows))
            for name in options.only or NAMES:
                try:
                    queued, rate = drain_peer(place, name, options.jobs, node_modules)
                    trigger = trigger_peer(place, name, rows, node_modules) if name in TRIGGER_BODIES else None
                except (SystemExit, RuntimeError, OSError, subprocess.CalledProcessError) as problem:
                    Console(stderr=True).print(f"{name}: left out, {problem}", highlight=False)
                    continue
                measured.setdefault(name, []).append((queued, rate, trigger))
                Console(stderr=True).print(f"{name}: {rate:,.0f} jobs/s", highlight=False)
    figures = compare_with_ours(measured)
    if options.json:
        Path(options.json).write_text(
            json.dumps({"setting": told, "figures": [f.as_dict() for f in figures]}, indent=1) + "\n"
        )
    out = Console()
    if not out.is_terminal:
        out.width = 140
    out.print(table(told, figures))


def compare_with_ours(measured: dict[str, list[tuple[float, float, float | None]]]) -> list[Figure]:
    """Return a line for each peer and each kind of work."""
    figures = []
    kinds = (("one INSERT a job, one worker", "jobs/s"), ("queued in bulk", "jobs/s"), ("row trigger", "us/row"))
    for place, (what, unit) in zip((1, 0, 2), kinds, strict=True):
        values = {name: [run[place] for run in runs if run[place] is not None] for name, runs in measured.items()}
        mine = median([value for value in values.pop("pgqueue") if value is not None])
        for name, each in values.items():
            if each:
                other = median([value for value in each if value is not None])
                figures.append(Figure(what, mine, unit, "", other, name, mine / other))
    return figures


if __name__ == "__main__":
    main()
