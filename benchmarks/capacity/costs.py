"""What one job or task costs, by kind: to hand it in, and to run it. Each figure is of the server or of one worker."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from celery import Celery

from benchmarks.capacity.idle_worker import HEARTBEAT
from benchmarks.capacity.instruments import COUNT_CALLS, SETTLE_SECONDS, Meter, Sampler, cpu_seconds, locks_of
from benchmarks.capacity.workloads import KINDS, QUEUES, Kind, celery_worker, preload
from benchmarks.figure import median
from benchmarks.setting import NOTHING_LEFT, Setting
from pgqueue.broker.consuming.acks import Acks
from pgqueue.broker.worker_session import WorkerSession
from pgqueue.config import to_url
from pgqueue.db.database import Database as OwnDatabase
from pgqueue.sql import query
from tests.harness.database import Connection, Database

ROLE = "app"
STATEMENT = "insert into sink (n) values (1)"
BULK = 1_000
EXECUTORS = 4
_BULK_CALL = f"""select count(*) from pgqueue.enqueue_many(
                   array(select 'insert into sink (n) values (' || g || ')' from generate_series(1, {BULK}) g))"""
_TRIGGER = "pgqueue.enqueue_trigger('sql', 'insert into audit values ($1::int, $2)', 'id, name')"
_ROWS = f"insert into item select g, 'row ' || g from generate_series(1, {BULK}) g"


@dataclass
class HandingIn:
    """What one job costs on its way in. Times in microseconds of CPU; the locks are those of the caller's transaction."""

    server_us: float
    client_us: float
    call_us: float
    wal_bytes: float
    commits: float
    flushes: float
    fast_path_locks: int
    table_locks: int
    #: Of the table of messages with its indexes, while it waits.
    stored_bytes: float


@dataclass
class Running:
    """What one job or task costs when it runs. Times in microseconds of CPU; the locks are the most of one session at a look."""

    rate: float
    server_us: float
    worker_us: float
    child_us: float
    wal_bytes: float
    commits: float
    flushes: float
    full_pages: float
    #: Claims, and calls of the server that run jobs, for each job.
    claims: float
    calls: float
    fast_path_locks: int
    table_locks: int
    lock_rows: int
    connections: int
    others: float
    #: How long a flush took meanwhile, in milliseconds.
    flush_ms: float
    waits: dict[str, float]


@dataclass
class Claims:
    """What a claim costs the server, in microseconds of CPU; a heartbeat is one of an idle worker, with the upkeep."""

    empty_us: float
    one_us: float
    hundred_us: float
    heartbeat_us: float
    heartbeat_without_upkeep_us: float

    @property
    def each_us(self) -> float:
        """Return what each message adds."""
        return max(0.0, (self.hundred_us - self.one_us) / 99)

    @property
    def fixed_us(self) -> float:
        """Return what a claim costs beside that."""
        return max(0.0, self.one_us - self.each_us)


def own_cpu() -> float:
    """Return the seconds of CPU of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def hand_in(
    db: Database, call: Callable[[], object], times: int, each: int, look: Callable[[], tuple[int, int]]
) -> HandingIn:
    """Call so many times, each of which hands in `each` jobs; `look` does it once more and returns the locks."""
    for _ in range(max(10, times // 20)):
        call()
    fast, table = look()
    db.execute("truncate pgqueue.message")
    db.execute("checkpoint")
    for _ in range(max(3, times // 20)):
        call()
    meter = Meter(db)
    time.sleep(SETTLE_SECONDS)
    call()
    before, cpu = meter.read(), own_cpu()
    began = time.perf_counter()
    for _ in range(times):
        call()
    took, mine = time.perf_counter() - began, own_cpu() - cpu
    time.sleep(SETTLE_SECONDS)
    call()
    used = Meter.between(before, meter.read())
    count = (times + 1) * each
    waiting, stored = db.execute("select count(*), pg_total_relation_size('pgqueue.message') from pgqueue.message")[0]
    return HandingIn(
        server_us=used.server_cpu / count * 1e6,
        client_us=mine / (times * each) * 1e6,
        call_us=took / (times * each) * 1e6,
        wal_bytes=used.wal_bytes / count,
        commits=used.commits / count,
        flushes=used.flushes / count,
        fast_path_locks=fast,
        table_locks=table,
        stored_bytes=stored / max(1, waiting),
    )


def ways_in(setting: Setting) -> dict[str, HandingIn]:
    """Measure all ways in, without a worker: nobody takes what is measured away."""
    few, many = setting.count(2_000), setting.count(50)
    with setting.database() as db:
        db.create_role(ROLE)
        db.execute("create table sink (n int); create table item (id int, name text)")
        db.execute(f"grant insert on sink, item to {ROLE}")
        session = db.connect(ROLE)

        def of(statement: str, times: int = few, each: int = 1) -> HandingIn:
            def look() -> tuple[int, int]:
                with session.transaction(force_rollback=True):
                    session.execute(statement)
                    return locks_of(session)

            return hand_in(db, lambda: session.execute(statement), times, each, look)

        found = {
            "enqueue": of(f"select pgqueue.enqueue('{STATEMENT}')"),
            f"enqueue_many, {BULK:,} at once": of(_BULK_CALL, many, BULK),
            "submit": of(f"select pgqueue.submit('{STATEMENT}')"),
            "launch": of("select pgqueue.launch('select 42')"),
            "send_task": of("select pgqueue.send_task('shop.order', '[42, \"an argument\"]')"),
            "Celery's delay": by_celery(db, few),
        }
        bare = of(_ROWS, many, BULK)
        for name, made in (
            ("row trigger", f"create trigger fire after insert on item for each row execute function {_TRIGGER}"),
            (
                "statement trigger",
                f"create trigger fire after insert on item referencing new table as added for each statement execute function {_TRIGGER}",
            ),
        ):
            db.execute(made)
            found[name] = beyond(of(_ROWS, many, BULK), bare)
            db.execute("drop trigger fire on item")
        found["schedule, fired by itself"] = by_schedule(db, setting.count(1_000), 1)
        found["schedule, 1,000 due at once"] = by_schedule(db, 1_000 * max(1, setting.count(4)), 1_000)
    return found


def beyond(whole: HandingIn, bare: HandingIn) -> HandingIn:
    """Return what a trigger adds to the same statement without it; the locks are those of both."""
    less = {"server_us", "client_us", "call_us", "wal_bytes"}
    other = asdict(bare)
    return HandingIn(
        **{name: max(0.0, value - other[name]) if name in less else value for name, value in asdict(whole).items()}
    )


def by_celery(db: Database, times: int) -> HandingIn:
    """Publish with Celery, one task a call."""
    app = Celery(broker=to_url(db.dsn_for(ROLE), "pgqueue"))
    session = db.connect(ROLE)

    def call() -> None:
        app.send_task("shop.order", [42, "an argument"], ignore_result=True)

    def look() -> tuple[int, int]:
        # Celery's transaction is its own, so this publishes likewise.
        with session.transaction(force_rollback=True):
            session.execute(str(query("publish")), {**HEARTBEAT, "exchange": "", "routing_key": "celery"})
            return locks_of(session)

    try:
        return hand_in(db, call, times, 1, look)
    finally:
        app.close()
        OwnDatabase.close_all()


def by_schedule(db: Database, count: int, each: int) -> HandingIn:
    """Let `each` schedules be fired at once, as the upkeep does."""
    session = db.connect()

    def renew() -> None:
        session.execute("select count(pgqueue.unschedule(name)) from pgqueue.schedules")
        session.execute(
            "select count(pgqueue.schedule('s' || n, '1 day', 'select 1', starts_at => clock_timestamp() + interval '1 s')) from generate_series(1, %s) n",
            [count],
        )
        session.execute("vacuum analyze pgqueue.schedule")
        time.sleep(SETTLE_SECONDS)

    def fire() -> None:
        session.execute("select pgqueue._fire_schedules(%s)", [each])

    db.execute(f'alter database "{db.name}" set pgqueue.max_schedules = 0')
    session.execute("set pgqueue.max_schedules = 0")
    renew()
    fire()
    with session.transaction(force_rollback=True):
        fire()
        fast, table = locks_of(session)
    db.execute("truncate pgqueue.message")
    renew()
    meter = Meter(db)
    before, began = meter.read(), time.perf_counter()
    for _ in range(count // each):
        fire()
    took = time.perf_counter() - began
    time.sleep(SETTLE_SECONDS)
    session.execute("select 1")
    used = Meter.between(before, meter.read())
    waiting, stored = db.execute("select count(*), pg_total_relation_size('pgqueue.message') from pgqueue.message")[0]
    assert waiting == count, f"{waiting} of {count} schedules were fired"
    return HandingIn(
        used.server_cpu / count * 1e6,
        0.0,
        took / count * 1e6,
        used.wal_bytes / count,
        used.commits / count,
        used.flushes / count,
        fast,
        table,
        stored / count,
    )


def run_kinds(setting: Setting, kinds: tuple[Kind, ...] = KINDS) -> dict[str, Running]:
    """Let one worker run jobs of each kind."""
    found = {}
    with setting.database() as db, tempfile.TemporaryDirectory() as folder:
        db.execute(COUNT_CALLS.format(db.name))
        for kind in kinds:
            meter = Meter(db)
            before = meter.read()
            with contextlib.ExitStack() as stack:
                if kind.is_task:
                    pid = stack.enter_context(celery_worker(db, Path(folder), 1, is_stored=kind.keeps_result))[0]
                else:
                    options = ("--concurrency=1", f"--executors={EXECUTORS}", "--no-tasks", f"--queues={QUEUES}")
                    pid = stack.enter_context(setting.worker(db, *options)).pid
                # At first it opens sessions and makes plans.
                warm_up, count = max(50, setting.count(kind.count) // 10), setting.count(kind.count)
                run_kind(db, kind, pid, warm_up)
                running = run_kind(db, kind, pid, count)
            # The sessions have ended, and so have told what they did.
            time.sleep(SETTLE_SECONDS)
            used, number = Meter.between(before, meter.read()), warm_up + count
            running.commits, running.flushes = used.commits / number, used.flushes / number
            running.flush_ms = used.flush_seconds(0.0) * 1000
            running.claims, running.calls = used.claims / number, used.calls / number
            found[kind.name] = running
    return found


def run_kind(db: Database, kind: Kind, pid: int, count: int) -> Running:
    """Let a running worker run jobs of a kind. Its sessions have not told yet of commits and flushes."""
    preload(db, kind, count)
    meter, sampler = Meter(db, [pid]), Sampler(db)
    meter.leave_out(sampler.session)
    before = meter.read()
    with sampler as seen:
        began = time.monotonic()
        db.execute("select pgqueue.resume(%s)", [kind.queue])
        meter.wait_until(NOTHING_LEFT)
        took = time.monotonic() - began
        used = Meter.between(before, meter.read())
    connections = db.fetch_value(
        "select count(*) from pg_stat_activity where datname = current_database() and application_name like 'pgqueue%'"
    )
    return Running(
        rate=count / took,
        server_us=used.server_cpu / count * 1e6,
        worker_us=used.worker_cpu / count * 1e6,
        child_us=used.child_cpu / count * 1e6,
        wal_bytes=used.wal_bytes / count,
        commits=used.commits / count,
        flushes=used.flushes / count,
        full_pages=used.full_pages / count,
        claims=used.claims / count,
        calls=used.calls / count,
        fast_path_locks=seen.fast_path,
        table_locks=seen.in_table,
        lock_rows=seen.all_rows,
        connections=connections,
        others=used.others,
        flush_ms=used.flush_seconds(0.0) * 1000,
        waits=seen.top_waits(),
    )


@contextlib.contextmanager
def claiming(db: Database) -> Iterator[tuple[Connection, WorkerSession]]:
    """Register a worker, and lend the session that claims for it, and the worker's."""
    own = OwnDatabase(db.dsn_for(db.worker_role()))
    worker = WorkerSession(own)
    session = db.connect(db.worker_role())
    try:
        yield session, worker
    finally:
        session.close()
        worker.close()
        own.close()


def claim_costs(setting: Setting) -> Claims:
    """Measure claims of none, one and a hundred jobs, and heartbeats, in one session."""
    times = setting.count(200)
    with setting.database() as db, claiming(db) as (session, worker):
        pid = session.info.backend_pid
        acks = Acks.of(worker.database)

        def demand(room: int) -> str:
            return json.dumps([{"kind": "job", "queues": ["default"], "room": room}])

        def cost(room: int) -> float:
            name, params = next(worker.claims.ack_and_claim(acks, demand(room)))
            spent = []
            for n in range(times + 10):
                before = cpu_seconds([pid])
                session.execute(query(name), params)
                if n >= 10:
                    spent.append(cpu_seconds([pid]) - before)
            return sum(sorted(spent)[: max(1, len(spent) * 9 // 10)]) / max(1, len(spent) * 9 // 10) * 1e6

        def beat() -> float:
            name, params = next(worker.claims.tick(demand(8), lambda _seconds: None))
            spent = []
            for _ in range(max(20, times // 4)):
                before = cpu_seconds([pid])
                session.execute(query(name), params)
                spent.append(cpu_seconds([pid]) - before)
            return median(spent[5:]) * 1e6

        empty, heartbeat = cost(1), beat()
        with db.connect() as other, other.transaction():
            # As while another worker does the upkeep.
            other.execute("select from pgqueue.stat_fold for update")
            without = beat()
        db.execute(
            f"select count(*) from pgqueue.enqueue_many(array(select 'select 1' from generate_series(1, {times * 101 + 2_000})))"
        )
        db.execute("vacuum analyze pgqueue.message")
        return Claims(empty, cost(1), cost(100), heartbeat, without)


def flush_seconds(setting: Setting) -> float:
    """Return how long a flush of the WAL takes, as the server measures it."""
    statement = "select coalesce(sum(fsync_time), 0), coalesce(sum(fsyncs), 0) from pg_stat_io where object = 'wal'"
    with setting.database() as db, db.connect() as session:
        session.execute("create table flushed (n int); set track_wal_io_timing = on")
        before = session.execute(statement).fetchone()
        for _ in range(setting.count(500)):
            session.execute("insert into flushed values (1)")
        time.sleep(SETTLE_SECONDS)
        session.execute("insert into flushed values (1)")
        after = session.execute(statement).fetchone()
    assert before is not None
    assert after is not None
    return (float(after[0]) - float(before[0])) / 1000 / max(1.0, float(after[1]) - float(before[1]))


def disk_bandwidth(folder: Path, mebibytes: int = 256) -> float:
    """Return how many bytes a second can be written and flushed, a mebibyte at a time."""
    block = os.urandom(2**20)
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        began = time.perf_counter()
        for _ in range(mebibytes):
            file.write(block)
            file.flush()
            os.fdatasync(file.fileno())
        return mebibytes * 2**20 / (time.perf_counter() - began)


def as_dict(costs: dict[str, Any]) -> dict[str, Any]:
    """Return costs by name for the file."""
    return {name: asdict(each) for name, each in costs.items()}
