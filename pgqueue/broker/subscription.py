"""A consumer of a queue, as a channel knows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable


class Subscription(NamedTuple):
    """A consumer of a queue."""

    queue: str
    callback: Callable[[Any], Any]
    no_ack: bool
    #: Of messages: task, or job, which does not go through Celery's pool.
    kind: str
