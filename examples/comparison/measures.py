"""What is measured of each library, by running it."""

import subprocess
import time
from collections import Counter
from collections.abc import Sequence
from statistics import median
from typing import Any

import psutil

from .lanes import Lane, Lanes, finish, is_held, receipts, wait_for
from .variants import Variant

SETTLING_SECONDS = 15
IDLE_SECONDS = 60
# Lanes in which the idle worker is measured.
IDLE_LANES = 3
# Processes that enqueue at the same time, so that they do not wait for CPU time.
CALLERS = 4
READY_SECONDS = 240
CONNECTION_SECONDS = 60
# How long the server is down when it is restarted.
DOWN_SECONDS = 4


def summary(seconds: Sequence[float]) -> dict[str, float] | None:
    """Return the least, the median and the most."""
    if not seconds:
        return None
    return {"least": round(min(seconds), 1), "median": round(median(seconds), 1), "most": round(max(seconds), 1)}


def warm_up(lanes: Lanes, variant: Variant, number: int, which: Sequence[Lane] | None = None) -> None:
    """Place an order in each lane, and wait until its job has ended."""
    some = list(lanes.each if which is None else which)
    lanes.call(variant, "place_order", [number], some)
    waiting = set(range(len(some)))

    def are_ready() -> bool:
        waiting.difference_update(
            [at for at in waiting if receipts(some[at], number) and not lanes.unfinished(some[at])]
        )
        return not waiting

    wait_for(are_ready, READY_SECONDS, f"the first receipt in {[some[at].log for at in waiting]}")


def idle(lanes: Lanes) -> dict[str, float]:
    """Return what idle workers take: processes, connections, transactions, CPU time and memory of one."""
    time.sleep(SETTLING_SECONDS)
    some = lanes.each[:IDLE_LANES]
    groups = [lane.processes() for lane in some]
    with lanes.session() as session:
        before = _transactions(session, some), [_cpu(group) for group in groups]
        time.sleep(IDLE_SECONDS)
        after = _transactions(session, some), [_cpu(group) for group in groups]
        connections = [
            session.execute(
                "select count(*) from pg_stat_activity where datname = %s and application_name <> 'comparison'",
                [lane.name],
            ).fetchall()[0][0]
            for lane in some
        ]
    minutes = IDLE_SECONDS / 60
    return {
        "processes": median(len(group) for group in groups),
        "connections": median(connections),
        "transactions_per_minute": round(median(b - a for a, b in zip(before[0], after[0], strict=True)) / minutes),
        "cpu_seconds_per_minute": round(median(b - a for a, b in zip(before[1], after[1], strict=True)) / minutes, 2),
        "megabytes": round(median(sum(each.memory_full_info().pss for each in group) for group in groups) / 1e6),
    }


def _transactions(session: Any, lanes: Sequence[Lane]) -> list[int]:
    query = "select xact_commit + xact_rollback from pg_stat_database where datname = %s"
    return [session.execute(query, [lane.name]).fetchall()[0][0] for lane in lanes]


def _cpu(group: Sequence[psutil.Process]) -> float:
    return sum(sum(each.cpu_times()[:2]) for each in group)


def killed_before_commit(lanes: Lanes, variant: Variant, number: int) -> dict[str, int]:
    """Kill the program that enqueues, between the insertion and the commit; return what is left."""
    lanes.hold(number, "commit")
    rest = list(lanes.each)
    while rest:
        some, rest = rest[:CALLERS], rest[CALLERS:]
        callers = [lanes.caller(variant, "place_order", [number], [lane]) for lane in some]
        processes: list[subprocess.Popen[str]] = [caller.__enter__() for caller in callers]
        try:
            for process in processes:
                assert process.stdin is not None
                process.stdin.write("\n")
                process.stdin.flush()
            wait_for(
                lambda some=some: all(is_held(lane, number, "commit") for lane in some),
                READY_SECONDS,
                "open transactions",
            )
        finally:
            for caller in callers:
                caller.__exit__(None, None, None)
    lanes.release()
    time.sleep(3)
    return {
        "kills": len(lanes.each),
        "orders": sum(
            lane.fetch("select count(*) from orders where number = %s", [number])[0][0] for lane in lanes.each
        ),
        "jobs": sum(lanes.unfinished(lane) for lane in lanes.each),
        "receipts": sum(len(receipts(lane, number)) for lane in lanes.each),
    }


def retry(lanes: Lanes, variant: Variant, number: int) -> dict[str, Any]:
    """Let a job fail that is retried twice; return how often it was tried, and within how many seconds."""
    some = lanes.each[: len(lanes.each) // 2]
    before = [_charges(lane) for lane in some]
    began = time.monotonic()
    lanes.call(variant, "charge_order", [number], some)
    last = dict.fromkeys(range(len(some)), began)
    tried = dict.fromkeys(range(len(some)), 0)

    def have_ended() -> bool:
        for at, lane in enumerate(some):
            now = _charges(lane) - before[at]
            if now != tried[at]:
                tried[at], last[at] = now, time.monotonic()
        return all(tried.values()) and not any(lanes.unfinished(lane) for lane in some)

    ended = wait_for(have_ended, READY_SECONDS)
    return {
        "tries": Counter(map(str, tried.values())),
        "ended": ended,
        "seconds": summary([at - began for at in last.values()]),
    }


def _charges(lane: Lane) -> int:
    value, was_called = lane.fetch("select last_value, is_called from charges")[0]
    return int(value) if was_called else 0


def periodic(lanes: Lanes) -> dict[str, int]:
    """Return in how many lanes the job that is due each minute has run."""
    some = [lane for lane in lanes.each if lanes.counts_often(lane)]
    counted = {lane.name: False for lane in some}

    def have_counted() -> bool:
        for lane in some:
            counted[lane.name] = counted[lane.name] or bool(lane.fetch("select 1 from order_counts limit 1"))
        return all(counted.values())

    wait_for(have_counted, READY_SECONDS)
    return {"lanes": len(some), "ran": sum(counted.values())}


def killed_in_a_job(lanes: Lanes, variant: Variant, first: int, patience: float) -> dict[str, Any]:
    """Kill each worker while it has two jobs, one before its effect and one after it, and start it again at once."""
    numbers = {"before": first, "after": first + 1}
    for point, number in numbers.items():
        lanes.hold(number, point)
    lanes.call(variant, "place_order", list(numbers.values()))
    wait_for(
        lambda: all(is_held(lane, number, point) for lane in lanes.each for point, number in numbers.items()),
        READY_SECONDS,
        "workers in the middle of both jobs",
    )
    killed: dict[str, float] = {}
    for lane in lanes.each:
        killed[lane.name] = time.time()
        lane.kill()
    lanes.release()
    lanes.start(variant)
    ended = _wait_until_ended(lanes, patience)
    found: dict[str, Any] = {"kills": len(lanes.each), "ended": ended, "patience": patience}
    for point, number in numbers.items():
        written = {lane.name: receipts(lane, number) for lane in lanes.each}
        again = [max(times) - killed[name] for name, times in written.items() if times and max(times) > killed[name]]
        found[point] = {"effects": Counter(str(len(times)) for times in written.values()), "seconds": summary(again)}
    return found


def _wait_until_ended(lanes: Lanes, patience: float) -> int:
    waiting = {lane.name: lane for lane in lanes.each}

    def have_ended() -> bool:
        for name, lane in list(waiting.items()):
            if not lanes.unfinished(lane):
                del waiting[name]
        return not waiting

    wait_for(have_ended, patience)
    return len(lanes.each) - len(waiting)


def connections_ended(lanes: Lanes, variant: Variant, number: int) -> dict[str, Any]:
    """End all connections of the workers; return which workers run the next job, and after how many seconds."""
    with lanes.caller(variant, "place_order", [number], lanes.each) as caller:
        with lanes.session() as session:
            session.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where datname = any(%s) and application_name <> 'comparison'",
                [[lane.name for lane in lanes.each]],
            )
        return _see_who_goes_on(lanes, variant, number, caller)


def server_restarted(lanes: Lanes, variant: Variant, number: int) -> dict[str, Any]:
    """Stop the server for some seconds; return which workers run the next job, and after how many seconds."""
    with lanes.caller(variant, "place_order", [number], lanes.each) as caller:
        lanes.server.stop()
        time.sleep(DOWN_SECONDS)
        lanes.server.start()
        return _see_who_goes_on(lanes, variant, number, caller)


def _see_who_goes_on(lanes: Lanes, variant: Variant, number: int, caller: "subprocess.Popen[str]") -> dict[str, Any]:
    since = time.time()
    finish(caller)
    wait_for(lambda: all(receipts(lane, number) for lane in lanes.each), CONNECTION_SECONDS)
    goes_on = [lane for lane in lanes.each if receipts(lane, number)]
    stopped = [lane for lane in lanes.each if lane not in goes_on]
    exited = [lane for lane in stopped if lane.worker is not None and lane.worker.poll() is not None]
    found = {
        "workers": len(lanes.each),
        "go_on": len(goes_on),
        "exited": len(exited),
        "stuck": len(stopped) - len(exited),
        "seconds": summary([receipts(lane, number)[0] - since for lane in goes_on]),
        "waited": CONNECTION_SECONDS,
    }
    for lane in stopped:
        lane.kill()
    if stopped:
        lanes.start(variant, stopped)
        warm_up(lanes, variant, number + 1, stopped)
    return found
