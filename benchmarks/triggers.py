"""What a trigger that enqueues adds to each row of one large statement."""

from __future__ import annotations

import time

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


def insert(db: Database, rows: int) -> float:
    """Return the microseconds for each row of one INSERT."""
    with db.connect() as session:
        session.execute("truncate item, pgqueue.message")
        session.execute("checkpoint")
        began = time.perf_counter()
        session.execute("insert into item select g, 'row ' || g from generate_series(1, %s) g", [rows])
        return (time.perf_counter() - began) / rows * 1e6


def run(setting: Setting) -> list[Figure]:
    """Microseconds for each row over the same INSERT without a trigger."""
    rows, figures = setting.count(ROWS), []
    with setting.database() as db:
        db.execute("create table item (id int, name text)")
        for name, (make, target) in TRIGGERS.items():
            over = []
            for _ in range(setting.repeat):
                plain = insert(db, rows)
                db.execute(make)
                over.append(insert(db, rows) - plain)
                db.execute("drop trigger fire on item")
            figures.append(Figure(f"{name}, {rows:,} rows", median(over), "us/row", target, runs={"ours": over}))
    return figures
