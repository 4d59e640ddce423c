"""Check whether a worker and Flower answer requests."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import urllib.request
from types import TracebackType

import psycopg
from celery import Celery
from kombu.exceptions import OperationalError

from .. import broker as _registers_the_transport  # noqa: F401
from ..config import URL_SCHEME, to_url

_FLOWER_TIMEOUT_SECONDS = 10.0
#: The errors of a query while the server is away.
UNREACHABLE = (psycopg.Error, OperationalError, OSError)
# The environment may name a proxy, but this machine is not behind it.
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class WorkerProbe:
    """Pings one worker over the broker."""

    def __init__(self, conninfo: str, worker_name: str) -> None:
        self._app = Celery(broker=to_url(conninfo, URL_SCHEME), set_as_current=False)
        self._connection = self._app.connection_for_write()
        self._worker_name = worker_name

    def __enter__(self) -> WorkerProbe:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(*UNREACHABLE):
            self._connection.close()
            self._app.close()

    def answers(self, timeout: float = 1.0) -> bool:
        """Return whether the worker answered within `timeout`."""
        answers = self._app.control.ping([self._worker_name], timeout=timeout, connection=self._connection)
        return bool(answers)


def fetch_page(url: str, data: bytes | None = None, timeout: float = _FLOWER_TIMEOUT_SECONDS) -> str:
    """Return a page of Flower, or with `data` the answer to a POST.

    Raises:
        OSError: no program listens, or the answer is not 200.
    """
    with _direct.open(url, data, timeout=timeout) as answer:
        return str(answer.read().decode())


def flower_answers(url: str) -> bool:
    """Return whether Flower serves its page of workers."""
    try:
        fetch_page(f"{url}/workers")
    except (OSError, http.client.HTTPException):
        return False
    return True


def flower_shows(url: str, worker_name: str) -> bool:
    """Return whether Flower lists the worker as online: it serves pages before it knows any worker."""
    try:
        listed = json.loads(fetch_page(f"{url}/workers?json=1"))["data"]
    except (OSError, http.client.HTTPException):
        return False
    return any(worker["hostname"] == worker_name and worker["status"] for worker in listed)


def is_port_free(address: str, port: int) -> bool:
    """Return whether a server could listen on the port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True


def find_free_port(address: str) -> int:
    """Return a port that is free now; another program may take it before it is used."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])
