"""When a fetcher is to be called again, with a worker session and a server that are played."""

from __future__ import annotations

import math
import socket
import time
from collections.abc import Iterator
from typing import Any
from unittest.mock import Mock

import pytest

from pgqueue.broker.consuming.buffer import ClaimedMessage
from pgqueue.broker.consuming.capacity import JobSupply
from pgqueue.broker.consuming.fetcher import Fetcher
from pgqueue.broker.qos import QoS
from pgqueue.broker.sleep_locks import Rest

_HOUR = 3600.0


class Jobs:
    """A channel of SQL jobs whose executors have room for ten, and claim whatever is announced."""

    kind = "job"
    queues = frozenset({"a", "b"})
    job_supply = JobSupply

    def __init__(self) -> None:
        self.qos = QoS(None, 10)
        self.executors = Mock(own_claims=0, own_claims_left=3)
        self.executors.running_tags.return_value = []
        self.executors.let_claim.return_value = 2

    def room(self, at_most: int) -> int:
        return min(self.qos.can_consume_max_estimate() or 0, at_most)


class Played:
    """A fetcher that leads for both queues, whose polls this answers."""

    def __init__(self, fileno: int) -> None:
        now = time.monotonic()
        session = Mock(worker_id=1)
        session.connection.fileno.return_value = fileno
        session.claims = Mock(
            must_plan=False, needs_reconciling=False, naptime=_HOUR, max_items=100, limit_seconds=None
        )
        session.claims.tick_at = now + _HOUR
        session.sleep_locks.take.side_effect = lambda _member, consumers, _steady: Rest(
            True, None, frozenset(consumers), frozenset()
        )
        self.jobs = Jobs()
        self.fetcher: Fetcher[Any] = Fetcher(session, [self.jobs], Mock())
        self.fetcher._acks = Mock(due_at=math.inf)
        self._query = Mock(is_running=False)
        self._query.start.side_effect = lambda _routine: setattr(self._query, "is_running", True)
        self._query.result.return_value = None
        self.fetcher._query = self._query
        self.fetcher._fallback_at = now + 2 * _HOUR
        self.fetcher._sleep.takes_roles = True

    def poll(self, answer: list[ClaimedMessage] | None = None) -> float:
        """Poll, with the answer to the poll in flight if there is one; return after how many seconds to poll again."""
        if answer is not None:
            self._query.result.side_effect = lambda: (setattr(self._query, "is_running", False), answer)[1]
        at = self.fetcher.poll()
        self._query.result.side_effect = None
        return at - time.monotonic()


@pytest.fixture
def played() -> Iterator[Played]:
    """Asleep for both queues."""
    ours, theirs = socket.socketpair()
    made = Played(ours.fileno())
    made.poll()
    made.poll([])
    made.poll([])
    yield made
    made.fetcher.waker.close()
    ours.close()
    theirs.close()


def test_asleep_it_leaves_an_announced_job_to_an_executor_and_waits_for_the_next_heartbeat(played: Played) -> None:
    played.fetcher.announce(["a"], 5)

    assert played.poll() == pytest.approx(_HOUR, abs=5)
    assert played.jobs.executors.let_claim.call_args.args[0].id == 5


def test_an_answer_that_arrives_beside_an_announced_job_decides_when_to_poll_again(played: Played) -> None:
    """After a full poll it is awake for a queue, for which publishers need not notify."""
    found = [ClaimedMessage("job", n, 1, "b", earlier_deliveries=0, document="1", lane="batch") for n in range(10)]
    played.fetcher._sleep._state._alone_until = math.inf  # No follower can take its place.
    played.fetcher.notify(["b"])
    played.poll()
    played.poll(found)
    while played.fetcher.next():
        pass
    played.poll()

    played.fetcher.announce(["a"], 5)

    assert played.poll([]) < 1
