"""Sixteen publishers at once: does group commit carry them, or do they wait for each other?"""

from __future__ import annotations

import subprocess
import sys
import time

from benchmarks.figure import Figure, compare
from benchmarks.publish_process import WAYS
from benchmarks.setting import Setting
from tests.harness.database import Database

PUBLISHERS = 16
SEND = "select pgqueue.send_task('shop.order_placed', '[42, \"an argument\"]');\n"
INSERT = "insert into bare (payload) values (repeat('x', 1100));\n"


def processes(how: str, db: Database, count: int) -> float:
    """Let so many Python processes publish `count` messages together; return how many they did a second."""
    each = max(1, count // PUBLISHERS)
    command = [sys.executable, "-m", "benchmarks.publish_process", how, db.dsn, str(each), str(PUBLISHERS)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdin is not None
        assert running.stdout is not None
        assert running.stdout.readline() == "ready\n"
        began = time.monotonic()
        running.stdin.write("go\n")
        running.stdin.flush()
        assert running.stdout.readline() == "done\n"
        took = time.monotonic() - began
    _empty(db)
    return each * PUBLISHERS / took


def run(setting: Setting) -> list[Figure]:
    """From SQL, with kombu and with Celery; and these two over bare INSERTs, which shows what is their own."""
    count = setting.count(4_800)
    runs: dict[str, list[float]] = {}
    with setting.database() as db:
        db.execute("create table bare (id bigint generated always as identity primary key, payload text)")
        for _ in range(setting.repeat):
            for name, script in (("send_task", SEND), ("insert", INSERT)):
                for clients in (1, PUBLISHERS):
                    rate = setting.pgbench(db, script, clients=clients, transactions=count * clients // PUBLISHERS)
                    runs.setdefault(f"{name} {clients}", []).append(rate)
                    _empty(db)
            for how in WAYS:
                runs.setdefault(f"python {how}", []).append(processes(how, db, count))
    one, many = runs["send_task 1"], runs[f"send_task {PUBLISHERS}"]
    return [
        compare("send_task from 16 pgbench clients", "messages/s", many, one, "from 1", ">= 5"),
        compare("bare INSERTs from 16 pgbench clients", "rows/s", runs["insert 16"], runs["insert 1"], "from 1"),
        *(
            compare(f"16 processes, {name}", "messages/s", runs[f"python {how}"], runs[f"python {to}"], beside, target)
            for how, name, to, beside, target in (
                ("kombu", "kombu", "insert", "16 processes, bare INSERTs", ">= 0.8"),
                ("celery", "Celery", "insert", "16 processes, bare INSERTs", ">= 0.8"),
                ("kombu", "kombu", "kombu_bare", "kombu over bare INSERTs", ""),
                ("celery", "Celery", "celery_bare", "Celery over bare INSERTs", ""),
            )
        ),
    ]


def _empty(db: Database) -> None:
    db.execute("truncate pgqueue.message, bare")
    db.execute("checkpoint")
