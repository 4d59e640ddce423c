"""Replace a fleet of workers with those of the next minor version, under load; then count every job's effect.

    .venv/bin/python -m tests.soak.rolling_upgrade [--released WHEEL] [--rate 2000] [--seconds 60] [--workers 4]

The released workers run from a wheel in an environment of its own: the one that is given, or one of this checkout. The
next version is a copy of this checkout with the next minor number, a migration that alters the table of messages, one
that builds an index of it, and another text of the claim. While jobs are queued at an even rate, its command upgrades
the schema, a released worker and a released client start once more, and the workers are replaced one by one.

Each job inserts its number into a table with a unique key, so a job that runs twice fails. Exit code 1 if a job was lost,
doubled or failed, or if a claim took longer than a second.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import psycopg

from pgqueue.sql import migrations
from pgqueue.version import __version__
from tests.harness.database import Database
from tests.harness.eventually import eventually
from tests.harness.servers import temporary_server
from tests.harness.worker import Worker

ROOT = Path(__file__).parents[2]
#: What a wheel is built from.
SOURCES = ("pyproject.toml", "README.md", "LICENSE")
CALLS_A_SECOND = 20
BACKLOG_SECONDS = 3
LONGEST_CLAIM = 1.0
MIGRATIONS = {
    "add_note": "alter table pgqueue.message add column note text;\n",
    "index_note": """-- concurrently
drop index concurrently if exists pgqueue.message_note;
create index concurrently message_note on pgqueue.message (note) where note is not null;
""",
}
ENQUEUE = """
select count(*) from pgqueue.enqueue_many(
  array(select format('insert into public.effect (n) values (%%s)', n) from generate_series(%s::int, %s::int) n))
"""
IS_BEHIND = "select count(*) >= %s from pgqueue.message where queue = 'default'"
VERDICT = """
select (select count(*) from generate_series(1, %s) n where not exists (select from effect e where e.n = n)),
       (select count(*) from effect e where e.n > %s),
       (select coalesce(sum(t.workers_failed), 0)::int from pgqueue.stats_total t),
       (select coalesce(max(gap), 0)::float8
        from (select extract(epoch from e.at - lag(e.at) over (order by e.at)) gap from effect e) g),
       (select extract(epoch from max(e.at) - min(e.at))::float8 from effect e)
"""
#: In seconds, the longest call of each statement that names one of these.
LONGEST = """
select coalesce(max(s.max_exec_time), 0)::float8 / 1000
from pg_stat_statements s
join pg_database d on d.oid = s.dbid and d.datname = current_database()
where s.query like '%%' || %s || '%%'
"""


@dataclass(frozen=True)
class Environment:
    """A Python with one version of pgqueue, apart from the checkout."""

    place: Path

    @property
    def python(self) -> str:
        """The interpreter."""
        return str(self.place / "bin" / "python")

    def run(self, *arguments: str, dsn: str = "") -> str:
        """Run `pgqueue` with these arguments and return what it prints."""
        done = subprocess.run(
            [self.python, "-m", "pgqueue", *arguments],
            cwd=self.place,
            env={**os.environ, "PGQUEUE_DSN": dsn},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@dataclass(frozen=True)
class Outcome:
    """What became of the jobs, and the longest waits in seconds."""

    jobs: int
    lost: int
    unknown: int
    failed: int
    rate: float
    claims: int
    longest_claim: float
    lock_waits: int
    longest_enqueue: float
    longest_gap: float
    upgrade_seconds: float

    @property
    def is_good(self) -> bool:
        """Whether nothing was lost, doubled or held up."""
        return self.is_whole and not self.lock_waits and self.longest_claim < LONGEST_CLAIM

    @property
    def is_whole(self) -> bool:
        """Whether each job was run once, and no other."""
        return not (self.lost or self.unknown or self.failed)

    def __str__(self) -> str:
        return (
            f"{self.jobs} jobs, {self.rate:.0f} a second; lost: {self.lost}; of unknown numbers: {self.unknown}; "
            f"failed, for they were doubled or otherwise: {self.failed}\n"
            f"the longest of {self.claims} claims took {self.longest_claim * 1000:.0f} ms, the longest call that "
            f"queues jobs {self.longest_enqueue * 1000:.0f} ms; waits of over 1 s for a lock: {self.lock_waits}; no job committed for {self.longest_gap * 1000:.0f} ms "
            f"at most\nthe upgrade took {self.upgrade_seconds:.1f} s"
        )


class Load(threading.Thread):
    """Queues jobs at an even rate, or as fast as the workers run them if that is slower, until it is told to stop."""

    def __init__(self, db: Database, role: str, rate: int) -> None:
        super().__init__(name="load", daemon=True)
        self._submitter_dsn, self._observer_dsn = db.dsn_for(role), db.dsn
        #: How many jobs may wait.
        self._backlog = rate * BACKLOG_SECONDS
        self._batch = max(1, rate // CALLS_A_SECOND)
        self._is_over = threading.Event()
        self._failure: BaseException | None = None
        self.queued = 0

    def run(self) -> None:
        try:
            with (
                psycopg.connect(self._submitter_dsn, autocommit=True, application_name="load") as session,
                psycopg.connect(self._observer_dsn, autocommit=True, application_name="load") as observer,
            ):
                due = time.monotonic()
                while not self._is_over.wait(max(0.0, due - time.monotonic())):
                    if observer.execute(IS_BEHIND, [self._backlog]).fetchone() == (False,):
                        session.execute(ENQUEUE, [self.queued + 1, self.queued + self._batch])
                        self.queued += self._batch
                    # A call that is late is not made up for: a machine that cannot keep up has a lower rate.
                    due = max(due + 1 / CALLS_A_SECOND, time.monotonic())
        except BaseException as failure:
            self._failure = failure
            raise

    def stop(self) -> int:
        """Stop, and return how many were queued."""
        self._is_over.set()
        self.join()
        if self._failure is not None:
            raise self._failure
        return self.queued


def build_wheel(source: Path, target: Path) -> Path:
    """Build the wheel of a source tree with the tools of this environment."""
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", f"--outdir={target}", str(source)]
    subprocess.run(command, check=True, capture_output=True, cwd=target)
    [wheel] = target.glob("*.whl")
    return wheel


def install_wheel(wheel: Path, place: Path) -> Environment:
    """Install a wheel in an environment of its own, which borrows what it depends on from this one."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", place], check=True, capture_output=True)
    environment = Environment(place)
    pip = [sys.executable, "-m", "pip", "--python", environment.python, "install", "-q", "--no-deps", "--no-index"]
    subprocess.run([*pip, "--disable-pip-version-check", str(wheel)], check=True, capture_output=True)
    [packages] = (place / "lib").glob("python*/site-packages")
    borrowed = Path(psycopg.__file__).parents[1]
    # A path in such a file comes after the environment's own packages, and .pth files there are not read.
    (packages / "borrowed.pth").write_text(f"{borrowed}\n")
    found = subprocess.run(
        [environment.python, "-c", "import pgqueue; print(pgqueue.__file__)"],
        cwd=place, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert Path(found.strip()).is_relative_to(packages), found
    return environment


def make_next_version(target: Path) -> Path:
    """Copy what a wheel is built from, as the next minor version with more migrations and another claim."""
    target.mkdir()
    for name in SOURCES:
        shutil.copy(ROOT / name, target)
    package = shutil.copytree(ROOT / "pgqueue", target / "pgqueue", ignore=shutil.ignore_patterns("__pycache__"))
    major, minor = re.findall(r"\d+", __version__)[:2]
    version = package / "version.py"
    version.write_text(version.read_text().replace(__version__, f"{major}.{int(minor) + 1}.0"))
    for number, (name, text) in enumerate(MIGRATIONS.items(), start=len(migrations()) + 1):
        (package / "sql" / "schema" / f"{number:04}_{name}.sql").write_text(text)
    claim = package / "sql" / "functions" / "claim.sql"
    claim.write_text(claim.read_text() + "-- Of the next version.\n")
    return target


def make_environments(place: Path, released: Path | None) -> tuple[Environment, Environment]:
    """Make the environments of the released and of the next version."""

    def make(name: str, source: Path | None) -> Environment:
        target = place / f"{name}-wheel"
        target.mkdir()
        wheel = released if source is None else build_wheel(source, target)
        assert wheel is not None
        return install_wheel(wheel, place / name)

    following = make_next_version(place / "source")
    with ThreadPoolExecutor(2) as threads:
        old = threads.submit(make, "released", None if released else ROOT)
        new = threads.submit(make, "next", following)
        return old.result(), new.result()


class Fleet:
    """Workers of which each can be replaced while the others go on."""

    def __init__(self, db: Database, folder: Path, executors: int) -> None:
        self._db = db
        self._folder = folder
        self._executors = executors
        self._started = 0
        self.workers: list[Worker] = []

    def start(self, environment: Environment) -> None:
        """Start a worker and wait until it takes jobs."""
        self._started += 1
        worker = Worker(
            self._db,
            self._folder / f"worker-{self._started}.log",
            name=f"rolling{self._started}",
            arguments=("--no-tasks", "--concurrency=1", f"--executors={self._executors}", "--loglevel=INFO"),
            python=environment.python,
            cwd=environment.place,
        )
        self.workers.append(worker)

    def wait_online(self) -> None:
        """Wait until all take jobs."""
        for worker in self.workers:
            worker.wait_online()

    def stop_oldest(self) -> None:
        """Ask the worker that was started first to leave, and wait until it has."""
        worker = self.workers.pop(0)
        worker.terminate()
        assert worker.wait() == 0, worker.read_log()

    def replace_oldest(self, environment: Environment) -> None:
        """Start another one, then stop the one that was started first."""
        self.start(environment)
        self.wait_online()
        self.stop_oldest()


def rehearse(
    released: Environment,
    following: Environment,
    folder: Path,
    *,
    rate: int,
    seconds: float,
    workers: int,
    pg_bin: str | None = None,
    say: Callable[[str], object] = print,
) -> Outcome:
    """Run the upgrade under load on a server of its own, and return what became of the jobs."""
    settings = {
        "shared_preload_libraries": "pg_stat_statements",
        "max_connections": "200",
        # Lines of waits that are longer than this: those of the upgrade itself are shorter.
        "log_lock_waits": "on",
        "deadlock_timeout": "1s",
    }
    with temporary_server(pg_bin, **settings) as server:
        db = Database(server, installed=False)
        try:
            released.run("install", dsn=db.dsn)
            db.execute("create extension pg_stat_statements schema public")
            db.execute("create table effect (n int primary key, at timestamptz not null default clock_timestamp())")
            db.create_role("alice")
            db.execute("grant insert on effect to alice")
            fleet = Fleet(db, folder, executors=2)
            for _ in range(workers):
                fleet.start(released)
            fleet.wait_online()
            load = Load(db, "alice", rate)
            load.start()
            pause = seconds / (workers + 2)
            time.sleep(pause)
            say(f"{workers} released workers run {load.queued / pause:.0f} jobs a second")
            began = time.monotonic()
            following.run("upgrade", dsn=db.dsn)
            upgrade_seconds = time.monotonic() - began
            say(f"the schema is of the next version, after {load.queued} jobs")
            released.run("launch", "select 1", dsn=db.dsn_for("alice"))
            fleet.replace_oldest(released)
            say(f"a worker and a client of the released version have started, after {load.queued} jobs")
            for number in range(1, workers + 1):
                time.sleep(pause)
                fleet.replace_oldest(following)
                say(f"{number} of {workers} workers are of the next version, after {load.queued} jobs")
            time.sleep(pause)
            queued = load.stop()
            eventually(
                lambda: db.fetch_value("select count(*) from pgqueue.message where queue = 'default'") == 0,
                max(60.0, seconds),
                what="an empty queue",
            )
            return _judge(db, queued, upgrade_seconds)
        finally:
            db.close()


def _judge(db: Database, queued: int, upgrade_seconds: float) -> Outcome:
    db.execute("select pgqueue._fold_stats()")
    [(lost, unknown, failed, gap, span)] = db.execute(VERDICT, [queued, queued])
    [(claims,)] = db.execute(
        "select sum(calls)::int from pg_stat_statements where query like '%pgqueue._ack_and_claim(%'"
    )
    return Outcome(
        jobs=queued,
        lost=lost,
        unknown=unknown,
        failed=failed,
        rate=queued / span,
        claims=claims,
        lock_waits=db.server.embedded.log.read_text(errors="replace").count(" still waiting for "),
        longest_claim=db.fetch_value(LONGEST, ["pgqueue._ack_and_claim("]),
        longest_enqueue=db.fetch_value(LONGEST, ["pgqueue.enqueue_many("]),
        longest_gap=gap,
        upgrade_seconds=upgrade_seconds,
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak.rolling_upgrade", description=__doc__.splitlines()[0])
    parser.add_argument("--released", type=Path, metavar="WHEEL", help="the released wheel [default: this checkout's]")
    parser.add_argument("--rate", type=int, default=2000, help="jobs a second")
    parser.add_argument("--seconds", type=float, default=60, help="how long, beside the starts of workers")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--pg-bin", help="another PostgreSQL than the embedded one")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        released = options.released.resolve() if options.released else None
        old, new = make_environments(place, released)
        outcome = rehearse(
            old, new, place, rate=options.rate, seconds=options.seconds, workers=options.workers, pg_bin=options.pg_bin
        )
    print(outcome)
    return int(not outcome.is_good)


if __name__ == "__main__":
    # Whoever ends this ends what it started, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main())
