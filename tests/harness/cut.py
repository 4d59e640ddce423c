"""A session whose way to the server is cut: its client finds the end of the line, the server keeps its session."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from typing import Any

import psycopg


@contextlib.contextmanager
def cut_off(connection: psycopg.Connection[Any]) -> Iterator[None]:
    """Let nothing through any more; the server does not learn of it before this ends."""
    kept = os.dup(connection.fileno())
    near, far = socket.socketpair()
    far.close()
    os.dup2(near.fileno(), connection.fileno())
    near.close()
    try:
        yield
    finally:
        os.close(kept)
