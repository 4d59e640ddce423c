"""Named queries of the result store. All may run twice without harm, so they are repeated after a lost connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
from kombu.utils.functional import retry_over_time

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ..db.database import Database

_LOST = (psycopg.OperationalError, psycopg.InterfaceError)


class ResultStore:
    """The results in one database.

    Args:
        retry_policy: how often and for how long a lost connection is tried again, in kombu's form.
    """

    def __init__(self, database: Database, retry_policy: Callable[[], Mapping[str, Any]]) -> None:
        self.database = database
        self._retry_policy = retry_policy

    @staticmethod
    def is_lost_session(error: BaseException) -> bool:
        """Return whether an error reports a lost connection."""
        return isinstance(error, _LOST)

    def retry(self, call: Callable[[], Any]) -> Any:
        """Call a function, and again after a lost connection.

        Raises:
            psycopg.Error: the server stays away beyond the retry policy, or refuses the query.
        """
        return retry_over_time(call, _LOST, **self._retry_policy())

    def fetch(self, query_name: str, **params: object) -> list[tuple[Any, ...]]:
        """Run a named query; outside of a transaction, again after a lost connection.

        Raises:
            psycopg.Error: the server stays away beyond the retry policy, or refuses the query.
        """
        if self.database.is_in_transaction:
            return self.database.fetch(query_name, **params)
        rows: list[tuple[Any, ...]] = self.retry(lambda: self.database.fetch(query_name, **params))
        return rows


def to_bytes(encoded: object) -> bytes:
    """Return the output of a serializer as the bytes to store."""
    return encoded if isinstance(encoded, bytes) else str(encoded).encode()
