"""Whether a session of a job has ended, and what the server has said of that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .error_fields import ConnectionLost, farewell_of

if TYPE_CHECKING:
    import psycopg

    from .error_fields import Fields


class Farewell:
    """Keeps the notice with which the server has ended a session, which comes before the connection breaks."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection
        self._notice: Fields | None = None
        connection.add_notice_handler(self._hear)

    def raise_if_lost(self, error: psycopg.Error) -> None:
        """Pass unless an error says that the session has ended.

        Raises:
            ConnectionLost: it does.
        """
        if self._connection.closed or error.diag.severity_nonlocalized == "FATAL":
            raise ConnectionLost(error, self._notice) from error

    def _hear(self, notice: psycopg.errors.Diagnostic) -> None:
        self._notice = self._notice or farewell_of(notice)
