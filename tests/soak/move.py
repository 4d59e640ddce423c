"""A live system moves from RabbitMQ to pgqueue and back, while tasks flow: none is lost.

    .venv/bin/python -m tests.soak.move [--rate 167] [--seconds 60]

The steps are those of docs/how-to/relay.md. So many tasks a second are published all the time, one in ten with a due
time some seconds ahead, and for `--seconds` before, during and after each move. Each task writes its number into a
table. The exit code is 1 if a number is missing, and 2 without Debian's package rabbitmq-server.
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import NamedTuple

from celery import Celery
from kombu import Connection

from benchmarks.brokers import RabbitMQ, rabbitmq_program
from pgqueue.config import to_conninfo, to_url
from tests.harness.database import Database
from tests.harness.eventually import eventually
from tests.harness.processes import Processes
from tests.harness.servers import temporary_server

QUEUE = "moved"
#: One task in so many has a due time, so many seconds ahead.
DELAYED, DELAY_SECONDS = 10, 3
_END_SECONDS = 300.0


class Outcome(NamedTuple):
    """What was published, and how often each number ran where."""

    published: int
    missing: int
    repeated: int
    ran: dict[str, int]


class Publishers:
    """Publish numbers at a rate, to the broker that is current."""

    def __init__(self, brokers: dict[str, str], rate: float) -> None:
        self._apps = {name: Celery(name, broker=url, set_as_current=False) for name, url in brokers.items()}
        self._rate = rate
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._publish)
        self.current = "rabbitmq"
        self.published = 0
        self.failure: BaseException | None = None

    def __enter__(self) -> Publishers:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()
        for app in self._apps.values():
            app.close()

    def stop(self) -> None:
        """Publish no more."""
        self._is_over.set()
        self._thread.join()

    def _publish(self) -> None:
        began = time.monotonic()
        try:
            while not self._is_over.is_set():
                behind = self.published / self._rate - (time.monotonic() - began)
                if behind > 0:
                    self._is_over.wait(behind)
                options = {"countdown": DELAY_SECONDS} if self.published % DELAYED == 0 else {}
                self._apps[self.current].send_task("moved.record", [self.published], queue=QUEUE, **options)
                self.published += 1
        except BaseException as failure:  # noqa: BLE001 - the one who stops it looks at it
            self.failure = failure


class System:
    """The processes of the live system."""

    def __init__(self, db: Database, rabbitmq: RabbitMQ, processes: Processes) -> None:
        self.db, self.rabbitmq = db, rabbitmq
        self._processes = processes
        self._worker_dsn = db.dsn_for(db.worker_role())
        db.execute("select pgqueue.enroll(quote_ident(current_user)::regrole)")
        db.execute("create table moved (number int, place text)")

    @property
    def brokers(self) -> dict[str, str]:
        return {"rabbitmq": self.rabbitmq.url, "pgqueue": self.db.url}

    def start_worker(self, place: str) -> subprocess.Popen[bytes]:
        """Start a worker of the application on a broker, and wait until it consumes."""
        broker = self.rabbitmq.url if place == "rabbitmq" else to_url(to_conninfo(self._worker_dsn), "pgqueue")
        ran = self.count(place)
        worker = self._processes.start(
            "celery", "-A", "tests.harness.moved_app", "worker", "--pool=threads", "--concurrency=4",
            f"--hostname={place}@localhost", "--without-gossip", "--without-mingle", "--loglevel=INFO",
            MOVED_BROKER=broker, MOVED_TABLE=self.db.dsn, MOVED_NAME=place,
        )  # fmt: skip
        read_log = partial(self._processes.read_log, worker)
        eventually(lambda: "ready." in read_log() or self.count(place) > ran, what=f"the worker on {place}")
        return worker

    def start_relay(self, *arguments: str, **environment: str) -> subprocess.Popen[bytes]:
        """Start a relay, and wait until it has a connection there."""
        relay = self._processes.start("pgqueue", "relay", *arguments, "--dsn", self._worker_dsn, **environment)
        read_log = partial(self._processes.read_log, relay)
        eventually(lambda: "connected to" in read_log() or "taking in from" in read_log(), what="the relay")
        return relay

    def stop(self, process: subprocess.Popen[bytes]) -> None:
        """Stop a process warmly."""
        process.terminate()
        process.wait(60)

    def count(self, place: str) -> int:
        return int(self.db.fetch_value("select count(*) from moved where place = %s", [place]))

    def left_in_rabbitmq(self) -> int:
        with Connection(self.rabbitmq.url) as connection:
            return int(connection.channel().queue_declare(QUEUE, passive=True).message_count)

    def left_in_pgqueue(self) -> int:
        return int(self.db.fetch_value("select count(*) from pgqueue.message where queue = %s", [QUEUE]))


def move_there_and_back(system: System, rate: float, seconds: float) -> Outcome:
    """Move the live system from RabbitMQ to pgqueue, and back."""
    old = system.start_worker("rabbitmq")
    with Publishers(system.brokers, rate) as publishers:
        eventually(lambda: system.count("rabbitmq") > 0, what="a task on RabbitMQ")
        time.sleep(seconds)

        # To pgqueue: workers here first, then publishers, then the rest of what lies there.
        new = system.start_worker("pgqueue")
        publishers.current = "pgqueue"
        system.stop(old)
        relay = system.start_relay("--queue", QUEUE, PGQUEUE_RELAY_FROM=system.rabbitmq.url)
        eventually(lambda: system.left_in_rabbitmq() == 0, _END_SECONDS, what="RabbitMQ is empty")
        system.stop(relay)
        assert system.left_in_rabbitmq() == 0
        time.sleep(seconds)
        assert system.count("pgqueue") > 0

        # And back: workers there first, then the relay, then the publishers.
        before = system.count("rabbitmq")
        old = system.start_worker("rabbitmq")
        relay = system.start_relay("--queue", QUEUE, PGQUEUE_RELAY_TO=system.rabbitmq.url)
        system.stop(new)
        time.sleep(seconds)
        publishers.current = "rabbitmq"
        eventually(lambda: system.left_in_pgqueue() == 0, _END_SECONDS, what="pgqueue is empty")
        system.stop(relay)
        time.sleep(seconds)
        publishers.stop()
        assert publishers.failure is None, publishers.failure
        assert system.count("rabbitmq") > before

        found = "select count(distinct number) from moved"
        with contextlib.suppress(AssertionError):  # The outcome says what is missing.
            eventually(lambda: system.db.fetch_value(found) == publishers.published, _END_SECONDS)
    numbers = Counter(number for (number,) in system.db.execute("select number from moved"))
    return Outcome(
        publishers.published,
        len(set(range(publishers.published)) - set(numbers)),
        sum(numbers.values()) - len(numbers),
        {place: system.count(place) for place in ("rabbitmq", "pgqueue")},
    )


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak.move", description=__doc__)
    parser.add_argument("--rate", type=float, default=167.0, help="tasks a second; 167 are 10,000 a minute")
    parser.add_argument("--seconds", type=float, default=60.0)
    options = parser.parse_args(arguments)
    if rabbitmq_program() is None:
        print("rabbitmq-server is not installed")
        return 2
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name, temporary_server() as server:
        folder = Path(name)
        with RabbitMQ(folder / "rabbitmq") as rabbitmq:
            db, processes = Database(server), Processes(folder)
            system = System(db, rabbitmq, processes)
            began = time.monotonic()
            try:
                outcome = move_there_and_back(system, options.rate, options.seconds)
            except BaseException:
                print(processes.read_ends_of_logs())
                raise
            finally:
                processes.end()
            took = time.monotonic() - began
            db.close()
    print(
        f"{outcome.published} tasks in {took:.0f} s, {outcome.published / took * 60:.0f} a minute; missing"
        f" {outcome.missing}, run again {outcome.repeated}; where they ran: {outcome.ran}"
    )
    return int(outcome.missing > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
