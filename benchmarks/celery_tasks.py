"""Celery tasks that do nothing, results ignored and stored, in the best of three pools: beside RabbitMQ where it is installed.

`python -m benchmarks.celery_noop` has all brokers and pools.
"""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

from benchmarks.brokers import rabbitmq_program, running_rabbitmq
from benchmarks.celery_noop import POOLS, measure
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
        return [compare_brokers(setting, folder, brokers, is_stored=is_stored) for is_stored in (False, True)]


def compare_brokers(setting: Setting, folder: Path, brokers: dict[str, tuple[str, str]], *, is_stored: bool) -> Figure:
    """Measure all brokers and pools in turn; compare the best pool of each."""
    count = setting.count(TASKS)
    rates: dict[str, dict[str, list[float]]] = {name: {} for name in brokers}
    for _ in range(setting.repeat):
        for pool in POOLS:
            for name, (broker, backend) in brokers.items():
                rate = measure(folder, broker, backend if is_stored else "", POOLS[pool], count)
                rates[name].setdefault(pool, []).append(rate)
    best = {name: max(pools.items(), key=lambda each: median(each[1])) for name, pools in rates.items()}
    what = f"Celery no-op tasks, results {'stored' if is_stored else 'ignored'} ({best['pgqueue'][0]})"
    if "rabbitmq" not in best:
        return Figure(what, median(best["pgqueue"][1]), "tasks/s", runs={"ours": best["pgqueue"][1]})
    pool, reference = best["rabbitmq"]
    return compare(what, "tasks/s", best["pgqueue"][1], reference, f"RabbitMQ ({pool})", ">= 1.0")
