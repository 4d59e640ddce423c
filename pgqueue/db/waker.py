"""Ends the wait of the thread that drains a transport. The worker session and other threads use it."""

from __future__ import annotations

import select
import threading

from .self_pipe import SelfPipe


class Waker:
    """A file descriptor that any thread can make readable, watched together with the descriptors of others."""

    def __init__(self, fileno: int) -> None:
        self._pipe = SelfPipe()
        self._thread: int | None = None
        #: The descriptors that become readable when there is something to do.
        self.filenos = (fileno, self._pipe.fileno())
        self._poll = select.poll()
        for watched in self.filenos:
            self._poll.register(watched, select.POLLIN)

    @property
    def is_own_thread(self) -> bool:
        """Whether this thread drained it last: that thread polls before it waits, so nothing has to wake it."""
        return threading.get_ident() == self._thread

    def wake(self) -> None:
        """End the wait of the draining thread, unless the caller is that thread."""
        if not self.is_own_thread:
            self.interrupt()

    def interrupt(self) -> None:
        """End the current wait; if no thread waits, end the next one."""
        self._pipe.write()

    def wait(self, seconds: float, beside: int | None = None) -> bool:
        """Sleep until a descriptor is readable, for at most `timeout` seconds.

        Return whether the descriptor `beside` is.
        """
        if beside is not None:
            self._poll.register(beside, select.POLLIN)
        try:
            return any(fileno == beside for fileno, _event in self._poll.poll(max(seconds, 0.0) * 1000))
        finally:
            if beside is not None:
                self._poll.unregister(beside)

    def drain(self) -> bool:
        """Record that this thread polls now; return whether a descriptor was readable."""
        self._thread = threading.get_ident()
        readable = self._poll.poll(0)
        if any(fileno == self.filenos[1] for fileno, _event in readable):
            self._pipe.drain()
        return bool(readable)

    def close(self) -> None:
        """Close the descriptors."""
        self._pipe.close()
