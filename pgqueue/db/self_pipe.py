"""What lets one thread end the wait of another: a descriptor that any thread can make readable."""

from __future__ import annotations

import contextlib
import socket
import weakref


class SelfPipe:
    """A pair of sockets. It is closed with the object, at the latest."""

    def __init__(self) -> None:
        self._inside, self._outside = socket.socketpair()
        for end in (self._inside, self._outside):
            end.setblocking(False)
            weakref.finalize(self, end.close)

    def fileno(self) -> int:
        """Return the descriptor to wait for."""
        return self._inside.fileno()

    def write(self) -> None:
        """Make the descriptor readable. From any thread."""
        # Full: it is readable. Closed: nobody waits.
        with contextlib.suppress(OSError):
            self._outside.send(b"\0")

    def drain(self) -> None:
        """Make the descriptor unreadable again, until the next `write`."""
        with contextlib.suppress(BlockingIOError):
            self._inside.recv(4096)

    def close(self) -> None:
        """Let go of the descriptors."""
        self._inside.close()
        self._outside.close()
