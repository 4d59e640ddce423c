"""What ends the wait of the thread that drains a transport: its worker session, and other threads."""

from __future__ import annotations

import select
import threading

from .self_pipe import SelfPipe


class Waker:
    """A descriptor that any thread can make readable, watched together with those of others."""

    def __init__(self, fileno: int) -> None:
        self._pipe = SelfPipe()
        self._thread: int | None = None
        #: What is readable when there is something to do.
        self.filenos = (fileno, self._pipe.fileno())
        self._poll = select.poll()
        for watched in self.filenos:
            self._poll.register(watched, select.POLLIN)

    @property
    def is_own_thread(self) -> bool:
        """Whether this is the thread that drained it last: it looks before it waits."""
        return threading.get_ident() == self._thread

    def wake(self) -> None:
        """End the wait, unless this is the thread that would wait."""
        if not self.is_own_thread:
            self.interrupt()

    def interrupt(self) -> None:
        """End the wait; or the next one, if nobody waits."""
        self._pipe.write()

    def wait(self, seconds: float, beside: int | None = None) -> bool:
        """Sleep until something is readable, or for so long; return whether the descriptor `beside` is."""
        if beside is not None:
            self._poll.register(beside, select.POLLIN)
        try:
            return any(fileno == beside for fileno, _event in self._poll.poll(max(seconds, 0.0) * 1000))
        finally:
            if beside is not None:
                self._poll.unregister(beside)

    def drain(self) -> bool:
        """Take note that this thread looks now; return whether something was readable."""
        self._thread = threading.get_ident()
        readable = self._poll.poll(0)
        if any(fileno == self.filenos[1] for fileno, _event in readable):
            self._pipe.drain()
        return bool(readable)

    def close(self) -> None:
        """Let go of the descriptors."""
        self._pipe.close()
