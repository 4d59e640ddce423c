"""The adapter to Celery's event loop (kombu's hub): in its rounds one transport polls and delivers.

The hub works out how long it may poll before it calls the tick callbacks, in no particular order. So a time that a
tick callback wants to be woken at needs a timer and a word to the hub not to poll just now; and so do tasks that were
delivered, for the pool's own callback, which hands them to its processes, may have had its turn already. Jobs do not go
through that pool: after them another round would only be in the way of the threads that run them.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

#: After so many full batches the hub's other work gets a turn.
_LOOKS_IN_A_ROUND = 4


class Delivered(Protocol):
    """Who got a message."""

    @property
    def kind(self) -> str:
        """Of its messages: task or job."""


class Drained(Protocol):
    """What the adapter needs of a transport."""

    def poll(self) -> float:
        """Look if it is time to; return when to come back."""

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
        """Leave the hub."""
        self._hub.on_tick.discard(self._round)
        self._drop_timer()
        for fileno in tuple(self._watched):
            self.unwatch(fileno)

    def watch(self, fileno: int, on_readable: Callable[[], None]) -> None:
        """Call back and go round when this is readable. What has arrived is read in the round."""
        self._watched[fileno] = on_readable
        self._hub.add_reader(fileno, on_readable)

    def unwatch(self, fileno: int) -> None:
        """Forget a descriptor that is closed, or will be. Harmless to repeat."""
        on_readable = self._watched.pop(fileno, None)
        # A worker session that is lost is closed in whatever thread noticed it: the number may be another's by now.
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
    """Nothing but a reason for the hub to begin its next round."""
