"""Handing in: one a transaction from Python, many at once, autonomously, and by 16 sessions at once."""

from __future__ import annotations

import time
from collections.abc import Callable

import pgqueue
from benchmarks.figure import Figure, compare, median
from benchmarks.setting import Setting
from tests.harness.database import Database

STATEMENT = "insert into sink (n) values (1)"
CALLS = 2_000
BULK = 50_000
PLAIN_SCRIPT = f"{STATEMENT};\n"
ENQUEUE_SCRIPT = f"select pgqueue.enqueue('{STATEMENT}');\n"
SUBMIT_SCRIPT = f"select pgqueue.submit('{STATEMENT}');\n"
PREPARED = ("--protocol=prepared",)


def rate_of(call: Callable[[], object], count: int) -> float:
    """Return how many calls a second there are."""
    for _ in range(20):
        call()
    began = time.perf_counter()
    for _ in range(count):
        call()
    return count / (time.perf_counter() - began)


def from_python(setting: Setting, db: Database) -> Figure:
    """One committed enqueue against one committed INSERT, both over psycopg."""
    count = setting.count(CALLS)
    ours, reference = [], []
    session = db.connect()
    with pgqueue.connect(db.dsn) as client:
        for _ in range(setting.repeat):
            reference.append(rate_of(lambda: session.execute(STATEMENT), count))
            ours.append(rate_of(lambda: client.enqueue(STATEMENT), count))
    return compare("enqueue, one a transaction, Python", "jobs/s", ours, reference, "committed INSERT", ">= 0.8")


def in_bulk(setting: Setting, db: Database) -> list[Figure]:
    """enqueue_many in one transaction, called from Python and from SQL."""
    count = setting.count(BULK)
    statements = [f"insert into sink (n) values ({n})" for n in range(count)]
    from_sql = "select count(*) from pgqueue.enqueue_many(array(select format('insert into sink (n) values (%%s)', g) from generate_series(1, %s) g))"
    rates: dict[str, list[float]] = {"Python": [], "SQL": []}
    with pgqueue.connect(db.dsn) as client, db.connect() as session:
        for _ in range(setting.repeat):
            db.execute("truncate pgqueue.message")
            began = time.perf_counter()
            client.enqueue_many(statements)
            between = time.perf_counter()
            session.execute(from_sql, [count])
            rates["Python"].append(count / (between - began))
            rates["SQL"].append(count / (time.perf_counter() - between))
    return [
        Figure(f"enqueue_many, {count:,} at once, {name}", median(each), "jobs/s", ">= 100000", runs={"ours": each})
        for name, each in rates.items()
    ]


def autonomously(setting: Setting, db: Database) -> Figure:
    """What a call of submit costs, against a committed INSERT."""
    count = setting.count(CALLS)
    ours, reference = [], []
    for _ in range(setting.repeat):
        reference.append(1e6 / setting.pgbench(db, PLAIN_SCRIPT, clients=1, transactions=count, options=PREPARED))
        ours.append(1e6 / setting.pgbench(db, SUBMIT_SCRIPT, clients=1, transactions=count, options=PREPARED))
    return compare("submit, autonomous, from SQL", "us/call", ours, reference, "committed INSERT", "<= 1.3")


def by_sixteen(setting: Setting, db: Database) -> list[Figure]:
    """Sixteen sessions against one, and how bare INSERTs do."""
    count = setting.count(CALLS)
    rates: dict[tuple[str, int], list[float]] = {}
    for _ in range(setting.repeat):
        for name, script in (("enqueue", ENQUEUE_SCRIPT), ("bare INSERT", PLAIN_SCRIPT)):
            for clients in (1, 16):
                done = setting.pgbench(
                    db, script, clients=clients, transactions=count * (1 if clients == 1 else 4), options=PREPARED
                )
                rates.setdefault((name, clients), []).append(done)
    return [
        compare(f"{name}, 16 sessions", "tx/s", rates[name, 16], rates[name, 1], "1 session", target)
        for name, target in (("enqueue", ">= 5"), ("bare INSERT", ""))
    ]


def run(setting: Setting) -> list[Figure]:
    """Handing in without a worker: nobody takes what is measured away."""
    with setting.database() as db:
        db.execute("create table sink (n int)")
        return [from_python(setting, db), *in_bulk(setting, db), autonomously(setting, db), *by_sixteen(setting, db)]
