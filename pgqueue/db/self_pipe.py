"""A file descriptor that any thread can make readable, so that one thread can end the wait of another."""

from __future__ import annotations

import contextlib
import socket
import weakref


class SelfPipe:
    """A pair of sockets. Garbage collection closes it at the latest."""

    def __init__(self) -> None:
        self._inside, self._outside = socket.socketpair()
        for end in (self._inside, self._outside):
            end.setblocking(False)
            weakref.finalize(self, end.close)

    def fileno(self) -> int:
        """Return the descriptor to wait for."""
        return self._inside.fileno()

    def write(self) -> None:
        """Make the descriptor readable. Any thread may call this."""
        # If the pipe is full, it is readable already. If it is closed, no thread waits.
        with contextlib.suppress(OSError):
            self._outside.send(b"\0")

    def drain(self) -> None:
        """Make the descriptor unreadable again, until the next `write`."""
        with contextlib.suppress(BlockingIOError):
            self._inside.recv(4096)

    def close(self) -> None:
        """Close the descriptors."""
        self._inside.close()
        self._outside.close()
