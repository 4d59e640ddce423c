"""pg_background's way: launch, wait and read the result, from four sessions at once."""

from __future__ import annotations

from benchmarks.figure import Figure, median
from benchmarks.setting import Setting

SESSIONS = 4
JOBS = 2_000
SCRIPT = "select * from pgqueue.result(pgqueue.launch('select 42')) as (answer int);\n"


def run(setting: Setting) -> list[Figure]:
    """Results a second. The target is three times what pg_background did on another machine: 289."""
    with setting.database() as db, setting.worker(db):
        setting.pgbench(db, SCRIPT, clients=SESSIONS, transactions=40)
        rates = [
            setting.pgbench(
                db, SCRIPT, clients=SESSIONS, transactions=setting.count(JOBS), options=("--protocol=prepared",)
            )
            for _ in range(setting.repeat)
        ]
    return [Figure("launch, wait, result from 4 sessions", median(rates), "results/s", ">= 867", runs={"ours": rates})]
