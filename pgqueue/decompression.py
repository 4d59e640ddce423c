"""Decompress messages of others, up to a size: a few megabytes may expand to gigabytes.

This module handles the methods that kombu has by itself. kombu's registry is not changed, because other transports of
the process use it. A method that the application has registered is called without a limit.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from typing import TYPE_CHECKING, Any, Protocol

from kombu import compression

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

#: The default of the transport option `max_decompressed_size`. No larger message is taken without compression.
MAX_BYTES = 64 * 1024 * 1024
OPTION = "max_decompressed_size"
#: xz needs less than this for its largest preset. A header may ask for 4 GB.
_LZMA_MEMORY = 128 * 1024 * 1024
#: brotli before 1.2 knows no limit: it is fed so little that it cannot make much of it at once.
_SIP_BYTES = 16


# Where they are installed.
_brotli: Any = getattr(compression, "brotli", None)
_zstd: Any = getattr(compression, "zstd", None)


class DecompressedTooLarge(ValueError):
    """The message would be larger than is allowed, once it is decompressed."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"it is larger than {limit} bytes when it is decompressed: {OPTION} in broker_transport_options or"
            " result_backend_transport_options allows more"
        )


class _Decompressor(Protocol):
    """The decompressor of one stream, as bz2, lzma and zstd have it."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = ...) -> bytes: ...


def max_bytes(options: Mapping[str, object]) -> int:
    """Return the size that transport options allow.

    Raises:
        ValueError: it is no number of bytes.
    """
    limit = int(str(options.get(OPTION, MAX_BYTES)))
    if limit < 1:
        raise ValueError(f"{OPTION} is a number of bytes, 1 at least")
    return limit


def decompress(body: bytes, method: str, limit: int) -> bytes:
    """Decompress what a method of kombu's has compressed, without ever holding much more than `limit` bytes of it.

    Raises:
        DecompressedTooLarge: it would be larger.
        Exception: what kombu's method raises: no such method, or the body is something else.
    """
    decoder: Callable[[bytes], bytes] = compression.get_decoder(method)  # type: ignore[no-untyped-call]
    bounded = _BOUNDED.get(decoder)
    text = decoder(body) if bounded is None else bounded(bytes(body), limit)
    if len(text) > limit:
        raise DecompressedTooLarge(limit)
    return text


def _inflate(body: bytes, limit: int) -> bytes:
    stream = zlib.decompressobj()
    text = stream.decompress(body, limit + 1)
    if not stream.eof and len(text) <= limit:
        raise zlib.error("incomplete or truncated stream")
    return text


def _in_streams(make: Callable[[], _Decompressor]) -> Callable[[bytes, int], bytes]:
    def decompress_streams(body: bytes, limit: int) -> bytes:
        parts: list[bytes] = []
        room = limit + 1
        while body and room:
            stream = make()
            try:
                part = stream.decompress(body, room)
            except (OSError, lzma.LZMAError):
                if parts:
                    break  # as kombu's methods: what follows a stream and is none is ignored
                raise
            parts.append(part)
            room -= len(part)
            if not stream.eof and room:
                raise EOFError("compressed data ended before the end of the stream")
            body = stream.unused_data if stream.eof else b""
        return b"".join(parts)

    return decompress_streams


def _unbrotli(body: bytes, limit: int) -> bytes:
    stream = _brotli.Decompressor()
    parts: list[bytes] = []
    room = limit + 1
    if hasattr(stream, "can_accept_more_data"):
        while room > 0 and (part := stream.process(body, output_buffer_limit=room)):
            parts.append(part)
            room -= len(part)
            body = b""
    else:
        for place in range(0, len(body), _SIP_BYTES):
            parts.append(stream.process(body[place : place + _SIP_BYTES]))
            room -= len(parts[-1])
            if room <= 0:
                break
    if room > 0 and not stream.is_finished():
        raise EOFError("compressed data ended before the end of the stream")
    return b"".join(parts)


_BOUNDED: dict[object, Callable[[bytes, int], bytes]] = {
    zlib.decompress: _inflate,
    bz2.decompress: _in_streams(bz2.BZ2Decompressor),
    lzma.decompress: _in_streams(lambda: lzma.LZMADecompressor(memlimit=_LZMA_MEMORY)),
}
if _brotli is not None:
    _BOUNDED[_brotli.decompress] = _unbrotli
if _zstd is not None:
    _BOUNDED[_zstd.decompress] = _in_streams(_zstd.ZstdDecompressor)
