"""The adapter to Celery's event loop (kombu's hub): one transport polls and delivers in its rounds.

The hub computes how long it may wait before it calls the tick callbacks, in no particular order. So an instant at which
a tick callback wants to run needs a timer and a request to the hub not to wait in this round. Delivered tasks need the
same: the pool's own callback, which hands them to its processes, may have run already in this round. Jobs do not go
through that pool: another round after them would only delay the threads that run them.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

#: After this many full batches, the hub's other work runs.
_LOOKS_IN_A_ROUND = 4


class Delivered(Protocol):
    """The consumer of a delivered message."""

    @property
    def kind(self) -> str:
        """The kind of its messages: task or job."""


class Drained(Protocol):
    """The part of a transport that the adapter needs."""

    def poll(self) -> float:
        """Poll if a poll is due; return when to call again."""

    def deliver_next(self) -> Delivered | None:
        """Deliver one message, or some jobs; return None if there was none."""

    def interrupt(self) -> None:
        """Make one of the descriptors readable."""


class EventLoopAdapter:
    """Drains a transport on a hub until it is closed."""

    def __init__(self, transport: Drained, hub: Any, filenos: Sequence[int]) -> None:
        self._transport = transport
        self._hub = hub
        self._watched: dict[int, Callable[[], None]] = {}
        self._timer: Any = None
        self._timer_at = math.inf
        for fileno in filenos:
            self.watch(fileno, _go_round)
        hub.on_tick.add(self._round)

    def close(self) -> None:
        """Remove the callbacks from the hub."""
        self._hub.on_tick.discard(self._round)
        self._drop_timer()
        for fileno in tuple(self._watched):
            self.unwatch(fileno)

    def watch(self, fileno: int, on_readable: Callable[[], None]) -> None:
        """Begin a round when this descriptor is readable. The round reads what has arrived."""
        self._watched[fileno] = on_readable
        self._hub.add_reader(fileno, on_readable)

    def unwatch(self, fileno: int) -> None:
        """Forget a descriptor that is closed, or will be. Harmless to repeat."""
        on_readable = self._watched.pop(fileno, None)
        # The thread that notices the loss of a worker session closes it, so the number may belong to another descriptor
        # by now.
        if on_readable is not None and (self._hub.readers.get(fileno) or (None,))[0] is on_readable:
            self._hub.remove_reader(fileno)

    def _round(self) -> None:
        has_tasks = False
        for _ in range(_LOOKS_IN_A_ROUND):
            come_back_at = self._transport.poll()
            if (delivered := self._transport.deliver_next()) is None:
                break
            while delivered is not None:
                has_tasks = has_tasks or delivered.kind != "job"
                delivered = self._transport.deliver_next()
        else:
            come_back_at = time.monotonic()
        self._come_back(time.monotonic() if has_tasks else come_back_at)

    def _come_back(self, at: float) -> None:
        now = time.monotonic()
        if at <= now:
            self._transport.interrupt()
        elif at < self._timer_at or self._timer_at <= now:
            self._drop_timer()
            self._timer_at = at
            self._timer = self._hub.call_later(at - now, _go_round)
            self._transport.interrupt()

    def _drop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._timer_at = None, math.inf


def _go_round() -> None:
    """Do nothing: the call only makes the hub begin its next round."""
