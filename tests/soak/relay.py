"""`pgqueue relay` to a real RabbitMQ while relays are killed, sessions are ended and the broker restarts.

    .venv/bin/python -m tests.soak.relay [--committed 200000] [--rolled-back 50000] [--publishers 16] [--relays 3]
        [--cuts] [--seed N]

So many publishers commit and roll back, and each message has an id. The target's quorum queue must have each committed id at least once
and no rolled-back one; of each id, all copies but one must have the header x-pgqueue-may-be-duplicate.
With `--cuts` the connections to RabbitMQ are cut as well, in the middle of frames.
The exit code is 1 if that does not hold. RabbitMQ is Debian's package rabbitmq-server; without it the exit code is 2.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import psycopg
from kombu import Connection, Queue

from benchmarks.brokers import RabbitMQ, rabbitmq_program
from pgqueue.broker.relay.outgoing import DUPLICATE_HEADER
from tests.harness.cut_proxy import CutProxy
from tests.harness.database import Database
from tests.harness.servers import temporary_server

QUEUE = "mail"
#: A publisher commits or rolls back so many messages at once.
BATCH = 25
SEND = f"select pgqueue.send_task(%s, queue => '{QUEUE}', task_id => t) from unnest(%s::text[]) t"


def publish(dsn: str, committed: list[str], rolled_back: list[str], seed: int) -> None:
    """Commit and roll back in a random order."""
    dice = random.Random(seed)
    batches = [(batch, True) for batch in _batches(committed)] + [(batch, False) for batch in _batches(rolled_back)]
    dice.shuffle(batches)
    for ids, commits in batches:
        with psycopg.connect(dsn) as session:
            session.execute(SEND, ["soak.task", ids])
            if not commits:
                session.rollback()


def _batches(ids: list[str]) -> list[list[str]]:
    return [ids[n : n + BATCH] for n in range(0, len(ids), BATCH)]


class Relays:
    """Relay processes, of which one is killed now and then."""

    def __init__(self, db: Database, url: str, count: int, folder: Path) -> None:
        self._command = [
            sys.executable,
            "-m",
            "pgqueue",
            "relay",
            "--queue",
            QUEUE,
            "--dsn",
            db.dsn_for(db.worker_role()),
        ]
        self._environment = {**os.environ, "PGQUEUE_RELAY_TO": url}
        self._log = (folder / "relays.log").open("wb")
        self._running = [self._start() for _ in range(count)]
        self.killed = 0

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(self._command, env=self._environment, stderr=self._log)

    def kill_one(self, dice: random.Random) -> None:
        victim = dice.randrange(len(self._running))
        self._running[victim].kill()
        self._running[victim].wait()
        self._running[victim] = self._start()
        self.killed += 1

    def end(self) -> list[int]:
        """End all by SIGTERM; return their exit codes."""
        for process in self._running:
            process.terminate()
        return [process.wait(60) for process in self._running]


def read_all(url: str) -> tuple[Counter[str], Counter[str]]:
    """Take everything out of the queue; return how often each id came, and how often without the flag."""
    copies: Counter[str] = Counter()
    unflagged: Counter[str] = Counter()
    with Connection(url) as connection:
        channel = connection.channel()
        while (message := channel.basic_get(QUEUE, no_ack=True)) is not None:
            headers = message.properties["application_headers"]
            copies[headers["id"]] += 1
            unflagged[headers["id"]] += not headers.get(DUPLICATE_HEADER, False)
    return copies, unflagged


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak.relay", description=__doc__)
    parser.add_argument("--committed", type=int, default=200_000)
    parser.add_argument("--rolled-back", type=int, default=50_000)
    parser.add_argument("--publishers", type=int, default=16)
    parser.add_argument("--relays", type=int, default=3)
    parser.add_argument("--restarts", type=int, default=2, help="of RabbitMQ")
    parser.add_argument("--cuts", action="store_true", help="cut the relays' connections to RabbitMQ every few seconds")
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    options = parser.parse_args(arguments)
    if rabbitmq_program() is None:
        print("rabbitmq-server is not installed")
        return 2
    print(f"seed {options.seed}")
    dice = random.Random(options.seed)
    committed = [f"c{n}" for n in range(options.committed)]
    rolled_back = [f"r{n}" for n in range(options.rolled_back)]
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name, temporary_server() as server:
        folder = Path(name)
        with RabbitMQ(folder / "rabbitmq") as rabbitmq, CutProxy(rabbitmq.port) as proxy:
            with Connection(rabbitmq.url) as connection:
                Queue(QUEUE, queue_arguments={"x-queue-type": "quorum"}, channel=connection.channel()).declare()
            db = Database(server)
            db.execute("select pgqueue.enroll('postgres')")
            publishers = [
                threading.Thread(
                    target=publish,
                    args=(
                        db.dsn,
                        committed[n :: options.publishers],
                        rolled_back[n :: options.publishers],
                        options.seed + n,
                    ),
                )
                for n in range(options.publishers)
            ]
            url = rabbitmq.url.replace(f":{rabbitmq.port}/", f":{proxy.port}/") if options.cuts else rabbitmq.url
            relays = Relays(db, url, options.relays, folder)
            began = time.monotonic()
            for publisher in publishers:
                publisher.start()
            disturb(db, relays, rabbitmq, publishers, options.restarts, dice, proxy)
            took = time.monotonic() - began
            codes = relays.end()
            copies, unflagged = read_all(rabbitmq.url)
            log = (folder / "relays.log").read_text()
        db.close()
    missing = set(committed) - set(copies)
    wrong = set(copies) & set(rolled_back)
    repeated = sum(copies.values()) - len(copies)
    bad = [each for each, count in unflagged.items() if count > 1]
    print(
        f"{len(committed)} committed, {len(rolled_back)} rolled back in {took:.0f} s; {relays.killed} relays killed,"
        f" {proxy.cuts} connections cut;"
        f" missing {len(missing)}, rolled back but there {len(wrong)}, further copies {repeated}, of them not flagged {len(bad)};"
        f" exit codes of the relays {codes}"
    )
    print(*(line for line in log.splitlines() if "Traceback" in line or "dead letter" in line), sep="\n")
    # One that was started a moment ago has no handler for SIGTERM yet.
    return int(bool(missing or wrong or bad or not set(codes) <= {0, -15}))


def disturb(
    db: Database,
    relays: Relays,
    rabbitmq: RabbitMQ,
    publishers: list[threading.Thread],
    restarts: int,
    dice: random.Random,
    proxy: CutProxy,
) -> None:
    """Kill relays, end their sessions, cut their connections and restart the broker, until all is relayed."""
    restart_at = time.monotonic() + 5
    while True:
        time.sleep(dice.uniform(0.5, 1.5))
        left = db.fetch_value("select count(*) from pgqueue.message")
        if not left and not any(publisher.is_alive() for publisher in publishers):
            return
        if dice.random() < 0.5:
            proxy.cut()
        if dice.random() < 0.5:
            relays.kill_one(dice)
        elif dice.random() < 0.5:
            # The sessions of one relay: the one that listens, and those that claim.
            db.server.admin.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where datname = %s and usename = %s and random() < 0.3",
                [db.name, db.worker_role()],
            )
        if restarts and time.monotonic() > restart_at:
            restarts -= 1
            rabbitmq.stop()
            time.sleep(1)
            rabbitmq.start()
            restart_at = time.monotonic() + 10
        print(f"{left} left", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
