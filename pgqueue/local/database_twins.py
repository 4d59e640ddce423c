"""Databases that are given more than once, by different names of the same server.

`localhost` and `127.0.0.1`, a socket and TCP, a server and its pooler are one place. Only the server can tell: two
sessions are in the same database if the server was started at the same time, to the microsecond, and the database has
the same oid there. Any role may ask for both.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

from psycopg.conninfo import make_conninfo

from ..config import to_conninfo
from ..db.client_session import ClientSession
from ..errors import PgQueueError

if TYPE_CHECKING:
    from collections.abc import Sequence

#: For the login, and for the first answer after it.
_CONNECT_SECONDS, _ANSWER_SECONDS = 3, 3.0
_AGAIN_FROM, _AGAIN_TO = 2.0, 60.0


class Twin(NamedTuple):
    """A database that was given before under another name. Both are numbers in the order of the command line."""

    number: int
    first: int


class Comparison(NamedTuple):
    """The findings of a look at all databases."""

    twins: Sequence[Twin]
    #: Whether each has answered. One that is away cannot be compared.
    is_complete: bool


def compare(dsns: Sequence[str]) -> Comparison:
    """Ask each database which one it is, all at the same time."""
    with ThreadPoolExecutor(len(dsns)) as pool:
        found = list(pool.map(_identify, dsns))
    twins = [
        Twin(number, found.index(identity))
        for number, identity in enumerate(found)
        if identity is not None and found.index(identity) < number
    ]
    return Comparison(twins, None not in found)


class TwinWatch:
    """Compares databases in the background until all have answered in the same look."""

    def __init__(self, dsns: Sequence[str]) -> None:
        self._dsns = dsns
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._look, name="pgqueue-twin-watch", daemon=True)
        #: Those that were found by now.
        self.twins: Sequence[Twin] = ()

    def start(self) -> None:
        """Begin, some seconds from now."""
        self._thread.start()

    def stop(self) -> None:
        """End after the look that has begun. Does not wait for it."""
        self._is_over.set()

    def _look(self) -> None:
        delay = _AGAIN_FROM
        while not self._is_over.wait(delay):
            delay = min(delay * 2, _AGAIN_TO)
            found = compare(self._dsns)
            self.twins = found.twins or self.twins
            if found.is_complete:
                return


def _identify(dsn: str) -> object:
    """Return which database it is, None if it does not answer."""
    try:
        conninfo = make_conninfo(to_conninfo(dsn), connect_timeout=_CONNECT_SECONDS)
        with ClientSession(conninfo, application_name="pgqueue databases", answer_seconds=_ANSWER_SECONDS) as session:
            return session.fetch("database_identity")[0]
    except PgQueueError:
        return None
