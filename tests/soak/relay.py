"""`pgqueue relay` to a real RabbitMQ or Redis while relays are killed, sessions are ended and the broker restarts.

    .venv/bin/python -m tests.soak.relay [--committed 200000] [--rolled-back 50000] [--publishers 16] [--relays 3]
        [--to redis | --nodes 3] [--cuts] [--seed N]

So many publishers commit and roll back, and each message has an id. The target's queue, on RabbitMQ a quorum queue, must have each committed id at least once
and no rolled-back one; of each id, all copies but one must have the header x-pgqueue-may-be-duplicate.
With `--nodes 3` there is a cluster of three nodes in network namespaces, which needs root. One node after the other is
stopped, killed by SIGKILL, or cut off from all others for a while.
With `--cuts` the connections to the broker are cut as well, in the middle of what they carry.
The exit code is 1 if that does not hold. The brokers are Debian's packages rabbitmq-server and redis-server, and Redis needs
the Python package redis; without them, or without namespaces for a cluster, the exit code is 2.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psycopg
from kombu import Connection, Consumer, Queue

from benchmarks.brokers import RabbitMQ, RedisServer, rabbitmq_program
from benchmarks.rabbitmq_cluster import RabbitMQCluster
from pgqueue.broker.relay.outgoing import DUPLICATE_HEADER
from tests.harness import network
from tests.harness.cut_proxy import CutProxy
from tests.harness.database import Database
from tests.harness.servers import temporary_server

QUEUE = "mail"
#: A publisher commits or rolls back so many messages at once.
BATCH = 25
_SILENT_SECONDS = 5.0
BEGUN = "select split_part(worker, '@', 1)::int from pgqueue.workers where relays_to is not null"
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
        self._db = db
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
        """Kill one that has begun: on a loaded machine the others would never begin."""
        begun = {pid for (pid,) in self._db.execute(BEGUN)}
        if not (victims := [n for n, process in enumerate(self._running) if process.pid in begun]):
            return
        victim = dice.choice(victims)
        self._running[victim].kill()
        self._running[victim].wait()
        self._running[victim] = self._start()
        self.killed += 1

    def require_all(self) -> None:
        """Raise if one has ended by itself: nobody would start it again."""
        if codes := [process.returncode for process in self._running if process.poll() is not None]:
            raise RuntimeError(f"relays have ended with {codes}: {Path(self._log.name).read_text()[-2000:]}")

    def __enter__(self) -> Relays:
        return self

    def __exit__(self, *_error: object) -> None:
        for process in self._running:
            process.kill()
            process.wait()
        self._log.close()

    def end(self) -> list[int]:
        """End all by SIGTERM; return their exit codes."""
        for process in self._running:
            process.terminate()
        return [process.wait(60) for process in self._running]


class Broker:
    """The nodes of the target, and what can happen to them."""

    def __init__(
        self, nodes: Sequence[RabbitMQ | RedisServer], cluster: RabbitMQCluster | None, proxies: list[CutProxy]
    ) -> None:
        self._nodes = nodes
        self._cluster = cluster
        self._proxies = proxies
        self.url = ";".join(node.url for node in nodes)
        #: The way by which connections can be cut.
        self.cut_url = ";".join(
            node.url.replace(f"{node.address}:{node.port}/", f"127.0.0.1:{proxy.port}/")
            for node, proxy in zip(nodes, proxies, strict=True)
        )
        self.done: Counter[str] = Counter()

    def cut_connections(self) -> None:
        self.done["connections cut"] += sum(proxy.cut() for proxy in self._proxies)

    def lose_a_node(self, dice: random.Random) -> None:
        """Let a node be away for some seconds."""
        number = dice.randrange(len(self._nodes))
        node = self._nodes[number]
        how = dice.choice(["stopped", "killed"] if self._cluster is None else ["stopped", "killed", "cut off"])
        self.done[f"nodes {how}"] += 1
        if how == "cut off":
            assert self._cluster is not None
            self._cluster.cut(number)
            time.sleep(dice.uniform(5, 30))
            self._cluster.mend(number)
            return
        node.stop() if how == "stopped" else node.kill()
        time.sleep(dice.uniform(0.5, 3))
        node.start()


@contextlib.contextmanager
def running_broker(folder: Path, kind: str, nodes: int) -> Iterator[Broker]:
    """Run a node, or a cluster, and declare the queue there."""
    with contextlib.ExitStack() as until_the_end:
        cluster = None
        running: Sequence[RabbitMQ | RedisServer]
        if kind == "redis":
            running = [until_the_end.enter_context(RedisServer(folder / "redis"))]
        elif nodes == 1:
            running = [until_the_end.enter_context(RabbitMQ(folder / "rabbitmq"))]
        else:
            cluster = until_the_end.enter_context(RabbitMQCluster(folder / "rabbitmq", nodes))
            running = cluster.nodes
        proxies = [until_the_end.enter_context(CutProxy(node.port, node.address)) for node in running]
        if kind == "rabbitmq":
            with Connection(running[0].url) as connection:
                arguments = {"x-queue-type": "quorum", "x-quorum-initial-group-size": nodes}
                Queue(QUEUE, queue_arguments=arguments, channel=connection.channel()).declare()
        yield Broker(running, cluster, proxies)


def read_all(url: str) -> tuple[Counter[str], Counter[str]]:
    """Take everything out of the queue; return how often each id came, and how often without the flag."""
    copies: Counter[str] = Counter()
    unflagged: Counter[str] = Counter()

    def take(message: Any) -> None:
        copies[message.headers["id"]] += 1
        unflagged[message.headers["id"]] += not message.headers.get(DUPLICATE_HEADER, False)

    with Connection(url) as connection:
        channel = connection.channel()
        queue = Queue(QUEUE, exchange=None, no_declare=True)
        consumer = Consumer(channel, [queue], on_message=take, no_ack=True, auto_declare=False, accept=None)
        # A queue that has changed its leader a moment ago may pause.
        with consumer, contextlib.suppress(TimeoutError):
            while True:
                connection.drain_events(timeout=_SILENT_SECONDS)
        left = 0
        # Redis has no lists without elements.
        with contextlib.suppress(*connection.channel_errors):
            left = channel.queue_declare(QUEUE, passive=True).message_count
    if left:
        raise RuntimeError(f"{left} messages do not come out of the queue")
    return copies, unflagged


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak.relay", description=__doc__)
    parser.add_argument("--committed", type=int, default=200_000)
    parser.add_argument("--rolled-back", type=int, default=50_000)
    parser.add_argument("--publishers", type=int, default=16)
    parser.add_argument("--relays", type=int, default=3)
    parser.add_argument("--to", choices=["rabbitmq", "redis"], default="rabbitmq")
    parser.add_argument("--nodes", type=int, choices=[1, 3], default=1, help="of RabbitMQ")
    parser.add_argument("--losses", type=int, default=None, help="of a node [default: 2, of a cluster 6]")
    parser.add_argument("--cuts", action="store_true", help="cut the relays' connections to RabbitMQ every few seconds")
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    options = parser.parse_args(arguments)
    if options.to == "redis" and options.nodes > 1:
        parser.error("--nodes is for RabbitMQ")
    missing_parts = [
        name
        for name, is_there in (
            ("rabbitmq-server", options.to == "redis" or rabbitmq_program() is not None),
            ("redis-server", options.to == "rabbitmq" or shutil.which("redis-server") is not None),
            ("the Python package redis", options.to == "rabbitmq" or importlib.util.find_spec("redis") is not None),
        )
        if not is_there
    ]
    if missing_parts:
        print(f"not installed: {', '.join(missing_parts)}")
        return 2
    if options.nodes > 1 and (reason := network.why_not()):
        print(f"there can be no cluster here: {reason}")
        return 2
    # So that what was started is ended.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    print(f"seed {options.seed}")
    dice = random.Random(options.seed)
    losses = options.losses if options.losses is not None else 2 if options.nodes == 1 else 6
    committed = [f"c{n}" for n in range(options.committed)]
    rolled_back = [f"r{n}" for n in range(options.rolled_back)]
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name, temporary_server() as server:
        folder = Path(name)
        with running_broker(folder, options.to, options.nodes) as broker:
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
                    daemon=True,
                )
                for n in range(options.publishers)
            ]
            began = time.monotonic()
            with Relays(db, broker.cut_url if options.cuts else broker.url, options.relays, folder) as relays:
                for publisher in publishers:
                    publisher.start()
                disturb(db, relays, broker, publishers, losses, dice)
                took = time.monotonic() - began
                codes = relays.end()
            copies, unflagged = read_all(broker.url)
            log = (folder / "relays.log").read_text()
        db.close()
    missing = set(committed) - set(copies)
    wrong = set(copies) & set(rolled_back)
    repeated = sum(copies.values()) - len(copies)
    bad = [each for each, count in unflagged.items() if count > 1]
    done = {"relays killed": relays.killed, **broker.done}
    print(
        f"{len(committed)} committed, {len(rolled_back)} rolled back in {took:.0f} s;"
        f" {', '.join(f'{count} {what}' for what, count in sorted(done.items()))};"
        f" missing {len(missing)}, rolled back but there {len(wrong)}, further copies {repeated}, of them not flagged {len(bad)};"
        f" exit codes of the relays {codes}"
    )
    print(*(line for line in log.splitlines() if "Traceback" in line or "dead letter" in line), sep="\n")
    # One that was started a moment ago has no handler for SIGTERM yet.
    return int(bool(missing or wrong or bad or not set(codes) <= {0, -15}))


def disturb(
    db: Database,
    relays: Relays,
    broker: Broker,
    publishers: list[threading.Thread],
    losses: int,
    dice: random.Random,
) -> None:
    """Kill relays, end their sessions, cut their connections and take nodes away, until all is relayed."""
    lose_at = time.monotonic() + 5
    while True:
        time.sleep(dice.uniform(0.5, 1.5))
        left = db.fetch_value("select count(*) from pgqueue.message")
        if not left and not any(publisher.is_alive() for publisher in publishers):
            return
        relays.require_all()
        if dice.random() < 0.5:
            broker.cut_connections()
        if dice.random() < 0.5:
            relays.kill_one(dice)
        elif dice.random() < 0.5:
            # The sessions of one relay: the one that listens, and those that claim.
            db.server.admin.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where datname = %s and usename = %s and random() < 0.3",
                [db.name, db.worker_role()],
            )
        if losses and time.monotonic() > lose_at:
            losses -= 1
            broker.lose_a_node(dice)
            lose_at = time.monotonic() + 10
        print(f"{left} left", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
