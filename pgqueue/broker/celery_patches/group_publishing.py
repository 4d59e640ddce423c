"""Send the messages of a Celery group in one statement: all or none, with one commit instead of one for each task.

Celery publishes the tasks of a group one by one, including the groups of chords and chunks. `group.apply_async` is
therefore a block in which publishers collect messages, and which sends them at its end. Tasks that come slowly, from a
generator that waits, are sent as they come, so that workers begin with the first ones.
"""

from __future__ import annotations

import functools
import math
from contextlib import contextmanager
from contextvars import ContextVar
from time import monotonic
from typing import TYPE_CHECKING, Any

import psycopg
from celery.utils.functional import _regen
from kombu.exceptions import OperationalError
from kombu.utils.functional import retry_over_time

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import ModuleType
    from typing import TypeAlias

    from ...db.database import Database
    from ..outgoing_message import OutgoingMessage

    PublishMany: TypeAlias = Callable[[list[OutgoingMessage]], object]

#: A group may be endless: at this size the collected messages are sent, and the rest follows.
MOST_MESSAGES = 10_000
MOST_CHARS = 16 * 1024 * 1024
#: A task that comes so long after the one before is sent at once, with those that were kept.
SLOW_SECONDS = 0.5
_TIMING = ("max_retries", "interval_start", "interval_step", "interval_max")
_LOST = (psycopg.OperationalError, psycopg.InterfaceError)


class GroupBatch:
    """Messages of the publishers that this thread or asyncio task uses in a block, in order.

    Args:
        is_lazy: the tasks come from a generator.
    """

    def __init__(self, retry_policy: Mapping[str, Any] | None, *, is_lazy: bool = False) -> None:
        #: Threads and asyncio tasks that start inside a block still see it after its end.
        self.is_over = False
        self._retry_policy = retry_policy
        self._messages: dict[Database, list[OutgoingMessage]] = {}
        #: The publisher for each database: any of its publishers can send.
        self._senders: dict[Database, PublishMany] = {}
        self._count = self._chars = 0
        self._last_at = math.inf
        self._is_lazy = is_lazy

    def add(self, database: Database, publish_many: PublishMany, outgoing: OutgoingMessage) -> None:
        """Keep a message; send all kept messages when they are many, or this one has come late.

        Raises:
            kombu.exceptions.OperationalError, psycopg.Error: as `send`.
        """
        self._senders.setdefault(database, publish_many)
        self._messages.setdefault(database, []).append(outgoing)
        self._count += 1
        self._chars += len(outgoing.message)
        now = monotonic()
        is_late, self._last_at = self._is_lazy and now > self._last_at + SLOW_SECONDS, now
        if is_late or self._count >= MOST_MESSAGES or self._chars >= MOST_CHARS:
            self.send()

    def send(self) -> None:
        """Send the kept messages.

        Raises:
            kombu.exceptions.OperationalError: the connection was lost; all messages were sent, or none.
            psycopg.Error: the server refused all of them.
        """
        kept, self._messages, self._count, self._chars = self._messages, {}, 0, 0
        for database, messages in kept.items():
            self._send_with(self._senders[database], messages)

    def _send_with(self, publish_many: PublishMany, messages: list[OutgoingMessage]) -> None:
        try:
            if self._retry_policy is None:
                publish_many(messages)
            else:
                retry_over_time(publish_many, _LOST, (messages,), **self._retry_policy)
        except _LOST as failure:
            raise OperationalError(str(failure)) from failure


_current: ContextVar[GroupBatch | None] = ContextVar("pgqueue_group_batch", default=None)


def current() -> GroupBatch | None:
    """Return the open block around this call, if any."""
    found = _current.get()
    return None if found is None or found.is_over else found


@contextmanager
def gathered(retry_policy: Mapping[str, Any] | None, *, is_lazy: bool = False) -> Iterator[None]:
    """Send what is published inside at the end, or nothing if the block fails. A nested block joins the outer one."""
    if current() is not None:
        yield
        return
    batch = GroupBatch(retry_policy, is_lazy=is_lazy)
    token = _current.set(batch)
    try:
        yield
    finally:
        batch.is_over = True
        _current.reset(token)
    batch.send()


def batch_groups(celery_canvas: ModuleType) -> None:
    """Make Celery's groups publish in one statement. With another broker this changes nothing."""
    if hasattr(celery_canvas, "group"):
        celery_canvas.group.apply_async = _batching(celery_canvas.group.apply_async)


def _batching(apply_async: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(apply_async)
    def apply_async_batched(self: Any, *args: Any, **kwargs: Any) -> Any:
        conf = self.app.conf
        # A task that runs eagerly would wait for messages that are not sent yet.
        if conf.task_always_eager:
            return apply_async(self, *args, **kwargs)
        does_retry = kwargs.get("retry", conf.task_publish_retry)
        policy = {**(conf.task_publish_retry_policy or {}), **(kwargs.get("retry_policy") or {})}
        # Another broker may return more.
        timing = {name: value for name, value in policy.items() if name in _TIMING}
        with gathered(timing if does_retry else None, is_lazy=isinstance(self.tasks, _regen)):
            return apply_async(self, *args, **kwargs)

    return apply_async_batched
