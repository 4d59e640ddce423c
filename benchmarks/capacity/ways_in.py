"""What one job or task costs on its way in, by each way. Each figure is of the server or of the client."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

from celery import Celery

from benchmarks.capacity.idle_worker import HEARTBEAT
from benchmarks.capacity.instruments import SETTLE_SECONDS, Meter, locks_of
from benchmarks.setting import Setting
from pgqueue.config import to_url
from pgqueue.db.database import Database as OwnDatabase
from pgqueue.sql import query
from tests.harness.database import Database

ROLE = "app"
STATEMENT = "insert into sink (n) values (1)"
BULK = 1_000
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
