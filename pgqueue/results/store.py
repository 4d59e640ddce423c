"""Named queries about results that do no harm when they are run twice: repeated after a lost session."""

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
        retry_policy: says how often and for how long a lost session is tried again, as kombu has it.
    """

    def __init__(self, database: Database, retry_policy: Callable[[], Mapping[str, Any]]) -> None:
        self.database = database
        self._retry_policy = retry_policy

    @staticmethod
    def is_lost_session(error: BaseException) -> bool:
        """Tell whether an error says that the session was lost."""
        return isinstance(error, _LOST)

    def retry(self, call: Callable[[], Any]) -> Any:
        """Call, and again after a lost session.

        Raises:
            psycopg.Error: the server is away for longer, or refuses.
        """
        return retry_over_time(call, _LOST, **self._retry_policy())

    def fetch(self, query_name: str, **params: object) -> list[tuple[Any, ...]]:
        """Run a named query; again after a lost session, outside of a transaction.

        Raises:
            psycopg.Error: the server is away for longer, or refuses.
        """
        if self.database.is_in_transaction:
            return self.database.fetch(query_name, **params)
        rows: list[tuple[Any, ...]] = self.retry(lambda: self.database.fetch(query_name, **params))
        return rows


def to_bytes(encoded: object) -> bytes:
    """Write what a serializer made as it is stored."""
    return encoded if isinstance(encoded, bytes) else str(encoded).encode()
