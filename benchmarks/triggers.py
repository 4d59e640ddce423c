"""What a trigger that enqueues adds to each row of one large statement."""

from __future__ import annotations

import time

from benchmarks.enqueueing import cpu_of
from benchmarks.figure import Figure, median
from benchmarks.setting import Setting
from tests.harness.database import Database

ROWS = 20_000
CALL = "pgqueue.enqueue_trigger('sql', 'insert into audit values ($1::int, $2)', 'id, name')"
TRIGGERS = {
    "row trigger": (f"create trigger fire after insert on item for each row execute function {CALL}", "<= 25"),
    "statement trigger, transition table": (
        f"create trigger fire after insert on item referencing new table as added for each statement execute function {CALL}",
        "<= 6",
    ),
}


def insert(db: Database, rows: int) -> tuple[float, float]:
    """Return the microseconds for each row of one INSERT: by the clock, and of the server's CPU."""
    with db.connect() as session:
        session.execute("truncate item, pgqueue.message")
        session.execute("checkpoint")
        cpu, began = cpu_of(session), time.perf_counter()
        session.execute("insert into item select g, 'row ' || g from generate_series(1, %s) g", [rows])
        return (time.perf_counter() - began) / rows * 1e6, (cpu_of(session) - cpu) / rows * 1e6


def run(setting: Setting) -> list[Figure]:
    """Microseconds for each row over the same INSERT without a trigger."""
    rows, figures = setting.count(ROWS), []
    with setting.database() as db:
        db.execute("create table item (id int, name text)")
        for name, (make, target) in TRIGGERS.items():
            over: list[tuple[float, float]] = []
            for _ in range(setting.repeat):
                plain = insert(db, rows)
                db.execute(make)
                fired = insert(db, rows)
                over.append((fired[0] - plain[0], fired[1] - plain[1]))
                db.execute("drop trigger fire on item")
            for n, what, bound in ((0, f"{name}, {rows:,} rows", target), (1, "the same, the server's CPU", "")):
                runs = [each[n] for each in over]
                figures.append(Figure(what, median(runs), "us/row", bound, runs={"ours": runs}))
    return figures
