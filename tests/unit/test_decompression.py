"""What is decompressed is bounded, and otherwise what kombu makes of it."""

import bz2
import lzma
import os
import tracemalloc

import pytest
from kombu import compression

from pgqueue.decompression import MAX_BYTES, DecompressedTooLarge, decompress, max_bytes

LIMIT = 1_000_000
METHODS = ("gzip", "bzip2", "lzma", "brotli", "zstd")


def compressed(method, text):
    if method not in compression._aliases:
        pytest.skip(f"kombu has no {method} here")
    return compression.compress(text, method)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("size", [0, 1, 70_000, LIMIT])
def test_what_is_small_enough_is_what_it_was(method, size):
    text = os.urandom(size // 2) + bytes(size - size // 2)
    body, content_type = compressed(method, text)

    assert decompress(body, content_type, LIMIT) == text
    assert decompress(body, method, LIMIT) == text


@pytest.mark.parametrize("method", METHODS)
def test_one_byte_more_is_refused(method):
    body, content_type = compressed(method, bytes(LIMIT + 1))

    with pytest.raises(DecompressedTooLarge, match="larger than 1000000 bytes"):
        decompress(body, content_type, LIMIT)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_a_bomb_takes_no_more_memory_than_what_is_allowed(method):
    body, content_type = compressed(method, bytes(50 * LIMIT))
    tracemalloc.start()
    try:
        with pytest.raises(DecompressedTooLarge):
            decompress(body, content_type, LIMIT)
        _now, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 25 * LIMIT


@pytest.mark.parametrize("method", METHODS)
def test_what_was_cut_off_or_is_none_is_refused(method):
    body, content_type = compressed(method, os.urandom(10_000))

    for each in (body[: len(body) // 2], b"something else"):
        with pytest.raises(Exception, match=r".") as refused:
            decompress(each, content_type, LIMIT)
        assert not isinstance(refused.value, DecompressedTooLarge)


@pytest.mark.parametrize(("method", "compress"), [("bzip2", bz2.compress), ("lzma", lzma.compress)])
def test_streams_that_follow_each_other_are_one_text(method, compress):
    assert decompress(compress(b"a") + compress(b"b") + b"rest", method, LIMIT) == b"ab"

    with pytest.raises(DecompressedTooLarge):
        decompress(compress(bytes(LIMIT)) + compress(b"b"), method, LIMIT)


@pytest.mark.slow
def test_a_stream_that_wants_gigabytes_for_its_dictionary_is_refused():
    body = lzma.compress(b"x", filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 30}])

    with pytest.raises(lzma.LZMAError, match="Memory usage limit"):
        decompress(body, "lzma", LIMIT)


def test_a_method_of_the_applications_own_is_called_as_it_is():
    compression.register(str, lambda text: bytes.fromhex(text.decode()), "application/x-of-the-test", ["of-the-test"])

    assert decompress(b"61", "of-the-test", LIMIT) == b"a"
    with pytest.raises(KeyError):
        decompress(b"a", "of-nobody", LIMIT)


def test_the_size_is_an_option():
    assert max_bytes({}) == MAX_BYTES == 67_108_864
    assert max_bytes({"max_decompressed_size": "1000"}) == 1000
    for nonsense in (0, -1, "64 MB", None):
        with pytest.raises(ValueError, match=r"max_decompressed_size|invalid literal"):
            max_bytes({"max_decompressed_size": nonsense})
