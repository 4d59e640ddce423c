"""Celery tasks that do nothing, results ignored and stored, in the best of three pools: beside RabbitMQ where it is installed.

`python -m benchmarks.celery_noop` has all brokers and pools.
"""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

from benchmarks.brokers import rabbitmq_program, running_rabbitmq
from benchmarks.celery_noop import POOLS, Round, run_round
from benchmarks.figure import Figure, compare, median
from benchmarks.setting import Setting
from pgqueue.config import to_url

TASKS = 2_000


def run(setting: Setting) -> list[Figure]:
    """Tasks a second, in turn on pgqueue and RabbitMQ."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = to_url(stack.enter_context(setting.database()).dsn, "pgqueue")
        brokers = {"pgqueue": (url, url)}
        if rabbitmq_program() is not None:
            port = stack.enter_context(running_rabbitmq(folder / "rabbitmq"))
            brokers["rabbitmq"] = (f"amqp://guest:guest@127.0.0.1:{port}//", "rpc://")
        return [
            figure for is_stored in (False, True) for figure in compare_brokers(setting, folder, brokers, is_stored)
        ]


def compare_brokers(
    setting: Setting, folder: Path, brokers: dict[str, tuple[str, str]], is_stored: bool
) -> list[Figure]:
    """Measure all brokers in turn; compare the best pool of each, which the first repetition finds out of all."""
    count = setting.count(TASKS)
    rounds: dict[str, dict[str, list[Round]]] = {name: {} for name in brokers}

    def run_once(name: str, pool: str) -> None:
        broker, backend = brokers[name]
        # Publishing in batches takes less time, and is not what is measured here.
        ran = run_round(folder, broker, backend if is_stored else "", POOLS[pool], count, "--batch")
        rounds[name].setdefault(pool, []).append(ran)

    for pool in POOLS:
        for name in brokers:
            run_once(name, pool)
    best = {name: max((runs[0].ran, pool) for pool, runs in pools.items())[1] for name, pools in rounds.items()}
    for _ in range(setting.repeat - 1):
        for name, pool in best.items():
            run_once(name, pool)
    rates = {name: [each.ran for each in rounds[name][pool]] for name, pool in best.items()}
    cpu = {name: [each.worker + each.server for each in rounds[name][pool]] for name, pool in best.items()}
    what = f"Celery no-op tasks, results {'stored' if is_stored else 'ignored'} ({best['pgqueue']})"
    same = "the same, CPU of worker and server"
    if "rabbitmq" not in best:
        return [
            Figure(name, median(runs["pgqueue"]), unit, runs={"ours": runs["pgqueue"]})
            for name, runs, unit in ((what, rates, "tasks/s"), (same, cpu, "us/task"))
        ]
    told = f"RabbitMQ ({best['rabbitmq']})"
    return [
        compare(what, "tasks/s", rates["pgqueue"], rates["rabbitmq"], told, ">= 1.0"),
        compare(same, "us/task", cpu["pgqueue"], cpu["rabbitmq"], told),
    ]
