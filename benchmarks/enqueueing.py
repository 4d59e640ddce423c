"""Handing in: one a transaction from Python, many at once, autonomously, and by 16 sessions at once.

As an ordinary role, and without a worker: nobody takes what is measured away. Beside each rate stands the CPU time of the
server for one job, which other work on the machine disturbs least.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import psycopg

import pgqueue
from benchmarks.figure import Figure, compare, median
from benchmarks.setting import Setting
from tests.harness.database import Connection, Database

ROLE = "app"
STATEMENT = "insert into sink (n) values (1)"
CALLS = 2_000
BULK = 50_000
PLAIN_SCRIPT = f"{STATEMENT};\n"
ENQUEUE_SCRIPT = f"select pgqueue.enqueue('{STATEMENT}');\n"
SUBMIT_SCRIPT = f"select pgqueue.submit('{STATEMENT}');\n"
PREPARED = ("--protocol=prepared",)
STATEMENTS = "array(select format('insert into sink (n) values (%%s)', g) from generate_series(1, %s) g)"
# What a row of the queue holds, in a table with its primary key and nothing else.
WIDE = """create table wide (
    id bigint generated always as identity primary key, cookie bigint, session_id bigint, submitter oid,
    launched_at timestamptz default clock_timestamp(), queue text, sql text, settings jsonb)"""
PLAIN_BULK = f"""insert into wide (cookie, session_id, submitter, queue, sql, settings)
    select 1, 1, 10, 'default', s, '{{"search_path": "\\"$user\\", public"}}' from unnest({STATEMENTS}) s"""


def cpu_of(session: psycopg.Connection[object]) -> float:
    """Return the seconds of CPU that the server's process of a session has used."""
    return int(Path(f"/proc/{session.info.backend_pid}/schedstat").read_text().split()[0]) / 1e9


def measure(session: psycopg.Connection[object], call: Callable[[], object], count: int) -> tuple[float, float]:
    """Return how many calls a second there are, and the microseconds of the server's CPU for each."""
    for _ in range(20):
        call()
    cpu, began = cpu_of(session), time.perf_counter()
    for _ in range(count):
        call()
    return count / (time.perf_counter() - began), (cpu_of(session) - cpu) / count * 1e6


def from_python(setting: Setting, db: Database) -> list[Figure]:
    """One committed enqueue against one committed INSERT, both over psycopg."""
    count = setting.count(CALLS)
    ours, reference = [], []
    session = db.connect(ROLE)
    with pgqueue.connect(db.dsn_for(ROLE)) as client:
        client.enqueue(STATEMENT)
        for _ in range(setting.repeat):
            reference.append(measure(session, lambda: session.execute(STATEMENT), count))
            ours.append(measure(client._session.connection, lambda: client.enqueue(STATEMENT), count))
    rates, cpu = ([run[n] for run in ours] for n in (0, 1))
    plain_rates, plain_cpu = ([run[n] for run in reference] for n in (0, 1))
    return [
        compare("enqueue, one a transaction, Python", "jobs/s", rates, plain_rates, "committed INSERT", ">= 0.8"),
        compare("the same, the server's CPU", "us/job", cpu, plain_cpu, "committed INSERT"),
    ]


def in_bulk(setting: Setting, db: Database) -> list[Figure]:
    """enqueue_many in one transaction, from Python, from SQL and with unique keys; and a bare INSERT ... SELECT."""
    count = setting.count(BULK)
    statements = [f"insert into sink (n) values ({n})" for n in range(count)]
    keys = "unique_keys => array(select 'key ' || g from generate_series(1, %s) g)"
    runs: dict[str, list[tuple[float, float]]] = {}
    with pgqueue.connect(db.dsn_for(ROLE)) as client, db.connect(ROLE) as session:
        client.enqueue(STATEMENT)

        def ask(statement: str) -> Callable[[], object]:
            return lambda: session.execute(statement, [count] * statement.count("%s) g"))

        ways: dict[str, tuple[Connection, Callable[[], object]]] = {
            "Python": (client._session.connection, lambda: client.enqueue_many(statements)),
            "SQL": (session, ask(f"select count(*) from pgqueue.enqueue_many({STATEMENTS})")),
            "SQL, unique keys": (session, ask(f"select count(*) from pgqueue.enqueue_many({STATEMENTS}, {keys})")),
            "bare": (session, ask(PLAIN_BULK)),
        }
        for _ in range(setting.repeat):
            for name, (server, call) in ways.items():
                db.execute("truncate pgqueue.message, wide")
                cpu, began = cpu_of(server), time.perf_counter()
                call()
                runs.setdefault(name, []).append(
                    (count / (time.perf_counter() - began), (cpu_of(server) - cpu) / count * 1e6)
                )
    plain = runs.pop("bare")
    bare = [median([run[n] for run in plain]) for n in (0, 1)]
    return [
        Figure(
            f"enqueue_many, {count:,} at once, {name}" if unit == "jobs/s" else "the same, the server's CPU",
            *(median([run[n] for run in each]), unit, target, bare[n], "INSERT ... SELECT"),
            runs={"ours": [run[n] for run in each]},
        )
        for name, each in runs.items()
        for n, unit, target in ((0, "jobs/s", "" if "keys" in name else ">= 100000"), (1, "us/job", ""))
    ]


def autonomously(setting: Setting, db: Database) -> Figure:
    """What a call of submit costs, against a committed INSERT."""
    count = setting.count(CALLS)
    ours, reference = [], []
    for _ in range(setting.repeat):
        reference.append(1e6 / bench(setting, db, PLAIN_SCRIPT, 1, count))
        ours.append(1e6 / bench(setting, db, SUBMIT_SCRIPT, 1, count))
    return compare("submit, autonomous, from SQL", "us/call", ours, reference, "committed INSERT", "<= 1.3")


def by_sixteen(setting: Setting, db: Database) -> list[Figure]:
    """Sixteen sessions against one, and how bare INSERTs do."""
    count = setting.count(CALLS)
    rates: dict[tuple[str, int], list[float]] = {}
    for _ in range(setting.repeat):
        for name, script in (("enqueue", ENQUEUE_SCRIPT), ("bare INSERT", PLAIN_SCRIPT)):
            for clients in (1, 16):
                done = bench(setting, db, script, clients, count * (1 if clients == 1 else 4))
                rates.setdefault((name, clients), []).append(done)
    return [
        compare(f"{name}, 16 sessions", "tx/s", rates[name, 16], rates[name, 1], "1 session", target)
        for name, target in (("enqueue", ">= 5"), ("bare INSERT", ""))
    ]


def bench(setting: Setting, db: Database, script: str, clients: int, transactions: int) -> float:
    """Return the transactions a second of pgbench with prepared statements."""
    return setting.pgbench(db, script, clients=clients, transactions=transactions, options=PREPARED, role=ROLE)


def run(setting: Setting) -> list[Figure]:
    """All ways in."""
    with setting.database() as db:
        db.create_role(ROLE)
        db.execute(f"create table sink (n int); {WIDE}; grant insert on sink, wide to {ROLE}")
        return [*from_python(setting, db), *in_bulk(setting, db), autonomously(setting, db), *by_sixteen(setting, db)]
