"""What a worker costs however few jobs it runs: heartbeats, upkeep, and its looks after long jobs."""

from __future__ import annotations

import time
from dataclasses import dataclass

from benchmarks.capacity.instruments import Meter
from benchmarks.capacity.workloads import EXECUTORS, JOB_WORKER
from benchmarks.setting import NOTHING_LEFT, Setting
from tests.harness.eventually import eventually

#: Each is measured for so long; and so long after jobs began, all that is done once for a long job has been done.
_SECONDS, _SETTLE_SECONDS = 9.0, 2.0
_ASLEEP = """
  select count(*) from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'"""


@dataclass
class Standing:
    """Cores that a worker takes of the server and of its own machine: one without jobs, and one whose executors all have a long one."""

    idle_server: float
    idle_worker: float
    server: float
    worker: float


def standing_costs(setting: Setting) -> Standing:
    """Measure one worker, first without jobs, then while each of its executors waits for a job that sleeps."""
    seconds = max(3.0, _SECONDS * setting.scale)
    with setting.database() as db, setting.worker(db, *JOB_WORKER) as worker:
        meter = Meter(db, [worker.pid])

        def measure() -> tuple[float, float]:
            before = meter.read()
            time.sleep(seconds)
            used = Meter.between(before, meter.read())
            return used.server_cpu / used.seconds, used.worker_cpu / used.seconds

        sleep = f"select pg_sleep({seconds + 2 * _SETTLE_SECONDS})"
        db.execute("select pgqueue.enqueue(%s)", ["select 1"])
        meter.wait_until(NOTHING_LEFT)
        time.sleep(_SETTLE_SECONDS)
        idle = measure()
        db.execute("select count(*) from pgqueue.enqueue_many(array_fill(%s::text, array[%s]))", [sleep, EXECUTORS])
        eventually(lambda: db.fetch_value(_ASLEEP) == EXECUTORS, what="a long job in each executor")
        time.sleep(_SETTLE_SECONDS)
        busy = measure()
        meter.wait_until(NOTHING_LEFT)
    return Standing(*idle, *busy)
