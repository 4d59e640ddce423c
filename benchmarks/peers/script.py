"""What the script of a peer in Python answers to: `python -m benchmarks.peers.NAME_peer DSN install|enqueue COUNT|work|versions`.

It runs in the interpreter in which the peer is installed, and imports nothing of pgqueue.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version

#: Jobs in one call of the bulk API, and so in one transaction, for each peer alike.
BULK = 1_000


def run(
    packages: Sequence[str],
    install: Callable[[str], object],
    enqueue: Callable[[str, int], object],
    work: Callable[[str], object],
) -> None:
    """Do what the command line asks for.

    Args:
        packages: whose versions are told.
        install: makes an empty database ready, given its URL.
        enqueue: queues jobs that insert 1 to count, by the fastest way that the peer offers, within `measured()`.
        work: runs one worker until it is ended.
    """
    dsn, command, *rest = sys.argv[1:]
    if command == "versions":
        print(json.dumps({package: version(package) for package in packages}))
    elif command == "enqueue":
        enqueue(dsn, int(rest[0]))
    else:
        {"install": install, "work": work}[command](dsn)


def become(command: Sequence[str], **variables: str) -> None:
    """Run a program in place of this one."""
    sys.stdout.flush()
    os.execve(command[0], list(command), {**os.environ, **variables})


@contextlib.contextmanager
def measured() -> Iterator[None]:
    """Print how long the block takes and how much CPU this process uses for it, in seconds."""
    cpu, began = time.process_time(), time.perf_counter()
    yield
    print(json.dumps({"seconds": time.perf_counter() - began, "cpu": time.process_time() - cpu}))


def chunks(count: int) -> Iterator[range]:
    """Yield the numbers from 1 to count, a thousand at a time."""
    for first in range(1, count + 1, BULK):
        yield range(first, min(first + BULK, count + 1))
