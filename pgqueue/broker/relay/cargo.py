"""A relay sends Celery messages, which are done with when the target has them, and wake-ups for SQL jobs.

A job stays here. The relay keeps its claim, and the target gets a wake-up with the token of the claim. A worker that
gets the wake-up takes the claim over and runs the job. So a second copy of a wake-up finds nothing to take over.
"""

from __future__ import annotations

import json
import math
import os
import socket
from typing import TYPE_CHECKING, NamedTuple, Protocol

from .outgoing import Outgoing, to_outgoing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..job_consumer import ClaimedMessage

#: The Celery task that runs the job of a wake-up.
RUN_JOB = "pgqueue.run_job"
#: How often the relay looks which jobs workers have taken over: that makes room for others.
_LOOK_SECONDS = 0.5
#: A wake-up after which no worker has come for so long is sent again: the target may have lost it.
REPEAT_SECONDS = 600.0
_PERSISTENT = 2


class Keeping(Protocol):
    """Knows the claims of this relay."""

    def find_kept(self, delivery_tags: Sequence[str]) -> dict[str, int]:
        """Return which of these claims are still valid, each with the priority of its message.

        Raises:
            psycopg.Error: the server could not be reached.
        """


class Changes(NamedTuple):
    """News about messages that the target has."""

    #: The delivery tags of claims that the relay has no more.
    ended: Sequence[str] = ()
    #: Messages to be sent again.
    again: Sequence[Outgoing] = ()


class Cargo(Protocol):
    """A kind of what a relay sends to one target. For one thread."""

    #: The kind of message that is claimed: 'task' or 'job'.
    kind: str
    #: Whether a message that the target refuses for good becomes a dead letter. A job would be lost with it.
    may_reject: bool

    def prepare(self, claimed: Sequence[ClaimedMessage]) -> None:
        """Get ready to load these.

        Raises:
            psycopg.Error: the server could not be reached.
        """

    def load(self, claimed: ClaimedMessage) -> Outgoing | None:
        """Return what is sent for a claimed message; None: nothing, the claim is no longer valid.

        Raises:
            MALFORMED, Unsendable: as `to_outgoing`.
        """

    def confirm(self, message: Outgoing, now: float) -> bool:
        """Handle that the target has a message; return whether it is done with, and to be acked."""

    def look(self, now: float) -> Changes:
        """Return the news about messages that the target has, if it is time to look.

        Raises:
            psycopg.Error: the server could not be reached.
        """

    def due_at(self) -> float:
        """Return when to call `look` (monotonic)."""

    def forget(self) -> None:
        """Forget all messages: their claims are lost, or about to be."""


class Tasks:
    """Celery messages."""

    kind = "task"
    may_reject = True

    def prepare(self, claimed: Sequence[ClaimedMessage]) -> None:
        """Do nothing: the message is all there is."""

    def load(self, claimed: ClaimedMessage) -> Outgoing:
        """Return the message as it was published."""
        return to_outgoing(claimed)

    def confirm(self, _message: Outgoing, _now: float) -> bool:
        """Return that it is done with."""
        return True

    def look(self, _now: float) -> Changes:
        """Return that there is no news."""
        return Changes()

    def due_at(self) -> float:
        """Return that there never is any."""
        return math.inf

    def forget(self) -> None:
        """Do nothing: there is no message that the target has and that is not done with."""


class _Sent(NamedTuple):
    message: Outgoing
    at: float


class Jobs:
    """Wake-ups for SQL jobs. One for which no worker has come for `repeat_seconds` is sent again."""

    kind = "job"
    may_reject = False

    def __init__(self, keeping: Keeping, repeat_seconds: float = REPEAT_SECONDS) -> None:
        self._keeping = keeping
        self._repeat_seconds = repeat_seconds
        self._priorities: dict[str, int] = {}
        #: By delivery tag, in the order of their confirms.
        self._sent: dict[str, _Sent] = {}
        self._look_at = math.inf

    def prepare(self, claimed: Sequence[ClaimedMessage]) -> None:
        """Ask for the priorities, which no claim of a job says."""
        self._priorities = self._keeping.find_kept([each.delivery_tag for each in claimed]) if claimed else {}

    def load(self, claimed: ClaimedMessage) -> Outgoing | None:
        """Return the wake-up of a job."""
        priority = self._priorities.get(claimed.delivery_tag)
        return None if priority is None else to_wake_up(claimed, priority)

    def confirm(self, message: Outgoing, now: float) -> bool:
        """Keep the claim until a worker has taken it over."""
        self._sent[message.delivery_tag] = _Sent(message, now)
        self._look_at = min(self._look_at, now + _LOOK_SECONDS)
        return False

    def look(self, now: float) -> Changes:
        """Return which jobs workers have taken over, and which wake-ups are sent again."""
        if now < self._look_at:
            return Changes()
        kept = self._keeping.find_kept(list(self._sent))
        ended = [tag for tag in self._sent if tag not in kept]
        for tag in ended:
            del self._sent[tag]
        late = [tag for tag, sent in self._sent.items() if now - sent.at >= self._repeat_seconds]
        again = [self._sent.pop(tag).message.as_duplicate() for tag in late]
        self._look_at = now + _LOOK_SECONDS if self._sent else math.inf
        return Changes(ended, again)

    def due_at(self) -> float:
        """Return when to look again."""
        return self._look_at

    def forget(self) -> None:
        """Forget all wake-ups. Those that the target has find nothing to take over."""
        self._sent.clear()
        self._priorities.clear()
        self._look_at = math.inf


def to_wake_up(claimed: ClaimedMessage, priority: int) -> Outgoing:
    """Return the message of a Celery task that takes the claim on a job over and runs it. It has nothing of the SQL."""
    task_id = f"job-{claimed.id}"
    headers = {
        "lang": "py",
        "task": RUN_JOB,
        "id": task_id,
        "root_id": task_id,
        "parent_id": None,
        "group": None,
        "shadow": None,
        "eta": None,
        "expires": None,
        "retries": 0,
        "timelimit": [None, None],
        "argsrepr": f"({claimed.id},)",
        "kwargsrepr": "{}",
        "origin": f"{os.getpid()}@{socket.gethostname()}",
        "ignore_result": True,
    }
    canvas = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
    return Outgoing(
        delivery_tag=claimed.delivery_tag,
        queue=claimed.queue,
        body=json.dumps([[claimed.id, claimed.token], {}, canvas]).encode(),
        content_type="application/json",
        content_encoding="utf-8",
        headers=headers,
        properties={
            "correlation_id": task_id,
            "message_id": f"{task_id}.{claimed.token}",
            "delivery_mode": _PERSISTENT,
        },
        priority=min(max(priority, 0), 9),
        # A job counts its runs, and not how often a relay has given it back.
        was_delivered=True,
        header_bytes=len(json.dumps(headers)),
    )
