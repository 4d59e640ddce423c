"""Send the messages of a Celery group in one statement: all or none, with one commit instead of one for each task.

Celery publishes the tasks of a group one by one, including the groups of chords and chunks. `group.apply_async` is
therefore a block in which publishers collect messages, and which sends them at its end. Tasks that come slowly, from a
generator that waits, are sent as they come, so that workers begin with the first ones.
"""

from __future__ import annotations

import functools
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
        lazy_since: when the first task was asked for (monotonic), if the tasks come from a generator.
    """

    def __init__(self, retry_policy: Mapping[str, Any] | None, *, lazy_since: float | None = None) -> None:
        #: Threads and asyncio tasks that start inside a block still see it after its end.
        self.is_over = False
        self._retry_policy = retry_policy
        self._messages: dict[Database, list[OutgoingMessage]] = {}
        #: The publisher for each database: any of its publishers can send.
        self._senders: dict[Database, PublishMany] = {}
        self._count = self._chars = 0
        # Celery takes several tasks from a generator before it publishes the first.
        self._last_at = lazy_since

    def add(self, database: Database, publish_many: PublishMany, outgoing: OutgoingMessage) -> None:
        """Keep a message; send all kept messages when they are many, or this one has come late.

        Raises:
            kombu.exceptions.OperationalError, psycopg.Error: as `send`.
        """
        self._senders.setdefault(database, publish_many)
        self._messages.setdefault(database, []).append(outgoing)
        self._count += 1
        self._chars += len(outgoing.message)
        is_late = False
        if self._last_at is not None:
            now = monotonic()
            is_late, self._last_at = now > self._last_at + SLOW_SECONDS, now
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
def gathered(retry_policy: Mapping[str, Any] | None, *, lazy_since: float | None = None) -> Iterator[None]:
    """Send what is published inside at the end, or nothing if the block fails. A nested block joins the outer one."""
    if current() is not None:
        yield
        return
    batch = GroupBatch(retry_policy, lazy_since=lazy_since)
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
        for canvas in (celery_canvas.group, celery_canvas._chord):
            canvas.apply_async = _batching(canvas.apply_async)


def _batching(publish: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(publish)
    def publish_batched(self: Any, *args: Any, **kwargs: Any) -> Any:
        # A chord asks the first tasks of its header for the application: a slow generator is known from here on.
        begun_at = monotonic()
        conf = self.app.conf
        # A task that runs eagerly would wait for messages that are not sent yet.
        if conf.task_always_eager:
            return publish(self, *args, **kwargs)
        does_retry = kwargs.get("retry", conf.task_publish_retry)
        policy = {**(conf.task_publish_retry_policy or {}), **(kwargs.get("retry_policy") or {})}
        # Another broker may return more.
        timing = {name: value for name, value in policy.items() if name in _TIMING}
        is_lazy = isinstance(getattr(self.tasks, "tasks", self.tasks), _regen)
        with gathered(timing if does_retry else None, lazy_since=begun_at if is_lazy else None):
            return publish(self, *args, **kwargs)

    return publish_batched
