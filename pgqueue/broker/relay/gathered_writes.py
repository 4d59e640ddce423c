"""Frames of AMQP that are written together: py-amqp writes each message by itself, and each write wakes the broker."""

from __future__ import annotations

from typing import Any

from amqp.method_framing import frame_writer

_MOST_BYTES = 65_536


class GatheredWrites:
    """Stands between py-amqp's writer of frames and its transport. For one thread."""

    def __init__(self) -> None:
        self._transport: Any = None
        self._gathered = bytearray()
        #: Whether frames wait for `flush`, or for 64 KiB of them.
        self.is_gathering = False

    def make_writer(self, connection: Any, transport: Any) -> Any:
        """Return the writer of frames for a new connection: the parameter `frame_writer` of py-amqp's connection."""
        self._transport = transport
        self._gathered.clear()
        self.is_gathering = False
        return frame_writer(connection, self)

    def write(self, frames: Any) -> None:
        """Write frames, or keep them.

        Raises:
            OSError: the connection is lost.
        """
        self._gathered += frames
        if not self.is_gathering or len(self._gathered) >= _MOST_BYTES:
            self._flush()

    def flush(self) -> None:
        """Write what was kept, and keep nothing more.

        Raises:
            OSError: the connection is lost.
        """
        self.is_gathering = False
        self._flush()

    def _flush(self) -> None:
        if self._gathered:
            frames, self._gathered = bytes(self._gathered), bytearray()
            self._transport.write(frames)
