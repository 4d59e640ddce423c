"""How many tasks a second a Celery worker runs that do nothing: on pgqueue, Redis and RabbitMQ, side by side in one run.

The queue is filled first; the rate is that from the first completion on, so that starting up does not count. PostgreSQL is durable
(fsync, synchronous_commit), RabbitMQ's queue and messages too; Redis has its defaults, and forgets what it had not saved. Beside each rate: the
CPU time of the worker, with its children, and of the server for one task, which other work on the machine disturbs less.

    .venv/bin/python -m benchmarks.celery_noop [--tasks 5000] [--rounds 3] [--pool prefork] [--broker pgqueue] [--results ignored]
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import psutil

from benchmarks.brokers import running_rabbitmq, running_redis
from benchmarks.noop_app import SLOTS, read_counts
from benchmarks.setting import SETTINGS
from pgqueue.config import to_url
from tests.harness.servers import temporary_server

POOLS = {
    "prefork": ["--pool=prefork", "--concurrency=2"],
    "threads": ["--pool=threads", "--concurrency=2"],
    "solo": ["--pool=solo"],
}
#: What the processes of each server are called, by the scheme of its URL.
SERVERS = {
    "pgqueue": "postgres",
    "redis": "redis-server",
    "amqp": "beam.smp",
    "sqla+postgresql+psycopg": "postgres",
    "pgmq": "postgres",
    "postgresql": "postgres",
}
GIVE_UP_AFTER = 300
#: For the first task, where a worker is not waited for until it has run them all.
START_SECONDS = 30


class Round(NamedTuple):
    """What one publisher and one worker on one broker did: tasks a second, and microseconds of CPU for one task.

    Args:
        worker, server: for running a task.
        publisher, publishing_server: for publishing one.
        done: how many tasks had run at the end.
    """

    published: float
    ran: float
    worker: float
    server: float
    publisher: float
    publishing_server: float
    done: int


@contextlib.contextmanager
def running_brokers(folder: Path, names: list[str]) -> Iterator[dict[str, tuple[str, str]]]:
    """Run these brokers, and yield the broker's and the result backend's URL of each."""
    with contextlib.ExitStack() as stack:
        urls = {}
        if "pgqueue" in names:
            server = stack.enter_context(temporary_server(parent=Path("/var/tmp"), **SETTINGS))
            url = to_url(server.conninfo(server.create_database()), "pgqueue")
            urls["pgqueue"] = (url, url)
        if "redis" in names:
            port = stack.enter_context(running_redis(folder / "redis"))
            urls["redis"] = (f"redis://127.0.0.1:{port}/0", f"redis://127.0.0.1:{port}/1")
        if "rabbitmq" in names:
            port = stack.enter_context(running_rabbitmq(folder / "rabbitmq"))
            urls["rabbitmq"] = (f"amqp://guest:guest@127.0.0.1:{port}//", "rpc://")
        yield {name: urls[name] for name in names}


def run_round(
    folder: Path,
    broker: str,
    backend: str,
    pool: list[str],
    tasks: int,
    *how: str,
    variables: Mapping[str, str] | None = None,
    seconds: float | None = None,
) -> Round:
    """Let one process publish tasks, and then one worker run them.

    Args:
        how: arguments of the publisher.
        variables: of noop_app's environment.
        seconds: how long the worker may take from the first task on; None: until all have run.

    Raises:
        SystemExit: the worker runs none in time, or not all of them where `seconds` is None.
    """
    server = SERVERS[broker.partition(":")[0]]
    count = folder / "count"
    count.write_bytes(bytes(SLOTS * 16))
    environment = {**os.environ, "BENCH_BROKER": broker, "BENCH_BACKEND": backend, "BENCH_COUNT": str(count)}
    environment |= variables or {}
    idle = _cpu_of_server(server)
    publishing = subprocess.run(
        [sys.executable, "-m", "benchmarks.celery_publisher", str(tasks), *how],
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    published, publisher = map(float, publishing.stdout.split())
    filled = _cpu_of_server(server)
    with (folder / "worker.log").open("wb") as log:
        worker = subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "benchmarks.noop_app", "worker", "--loglevel=WARNING", *pool],
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        first, started_at = _wait_for(count, 1, folder, GIVE_UP_AFTER if seconds is None else START_SECONDS)
        before = _cpu_of(worker.pid), _cpu_of_server(server)
        done, ended_at = _wait_for(count, tasks, folder, seconds or GIVE_UP_AFTER, is_partial=seconds is not None)
        spent = [after - was for after, was in zip((_cpu_of(worker.pid), _cpu_of_server(server)), before, strict=True)]
        ran = done - first
        if not ran:
            sys.exit(f"{done} of {tasks} tasks ran in {seconds:.0f} s")
        return Round(
            published,
            ran / (ended_at - started_at),
            1e6 * spent[0] / ran,
            1e6 * spent[1] / ran,
            publisher,
            1e6 * (filled - idle) / tasks,
            done,
        )
    finally:
        if seconds is None:
            worker.terminate()
            worker.wait(60)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()


def _wait_for(count: Path, tasks: int, folder: Path, seconds: float, *, is_partial: bool = False) -> tuple[int, float]:
    deadline = time.monotonic() + seconds
    while True:
        done, at = read_counts(count)
        is_late = time.monotonic() > deadline
        if done >= tasks or (is_late and is_partial):
            return done, at
        if is_late:
            sys.exit(f"{done} of {tasks} tasks ran in {seconds:.0f} seconds:\n{(folder / 'worker.log').read_text()}")
        time.sleep(0.05)


def _cpu_of(pid: int) -> float:
    """Return the seconds of CPU that a process and its children have used."""
    seconds = 0.0
    for process in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            seconds += sum(process.cpu_times()[:2])
    return seconds


def _cpu_of_server(name: str) -> float:
    """Return the seconds of CPU that a server has used. What its ended processes used counts, too: it is their parent's."""
    seconds = 0.0
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.name().startswith(name):
                seconds += sum(process.cpu_times()[:4])
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pool", choices=POOLS, action="append")
    parser.add_argument("--broker", choices=["pgqueue", "redis", "rabbitmq"], action="append")
    parser.add_argument("--results", choices=["ignored", "stored"], action="append")
    arguments = parser.parse_args()
    brokers = arguments.broker or ["pgqueue", "redis", "rabbitmq"]
    with tempfile.TemporaryDirectory() as place, running_brokers(Path(place), brokers) as urls:
        print(f"{arguments.tasks} tasks, medians of {arguments.rounds} rounds, tasks a second")
        for pool in arguments.pool or POOLS:
            for results in arguments.results or ["ignored", "stored"]:
                rounds: dict[str, list[Round]] = {name: [] for name in brokers}
                for _ in range(arguments.rounds):
                    for name, (broker, backend) in urls.items():
                        rounds[name].append(
                            run_round(
                                Path(place),
                                broker,
                                backend if results == "stored" else "",
                                POOLS[pool],
                                arguments.tasks,
                            )
                        )
                for name in brokers:
                    median = Round(*map(statistics.median, zip(*rounds[name], strict=True)))
                    each = " ".join(f"{one.ran:.0f}" for one in rounds[name])
                    print(
                        f"{pool:8} results {results:8} {name:9} {median.ran:6.0f}   ({each}; published {median.published:.0f};"
                        f" CPU a task: worker {median.worker:.0f} us, server {median.server:.0f} us)",
                        flush=True,
                    )


if __name__ == "__main__":
    # Whoever ends this ends what it started, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    main()
