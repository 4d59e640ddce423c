"""Opens the sessions of executors: as the submitter of a job, with whatever credentials libpq finds for that role.

Remembers for a moment which roles were refused, so that a thousand jobs of a role without credentials are not a
thousand refused logins.
"""

from __future__ import annotations

import re
import threading
from time import monotonic
from typing import TYPE_CHECKING

import psycopg

from .session import Session

if TYPE_CHECKING:
    from ..database import Database

_REMEMBERED_SECONDS = 5.0
_TOO_MANY = re.compile("too many (connections|clients)|connection slots are reserved")
_MORE_CONNECTIONS = "raise max_connections or the role's CONNECTION LIMIT, or give the workers fewer executors"
_CREDENTIALS = "give the worker credentials for it: add it to the worker's password file, or use a certificate or peer"


class LoginRefused(Exception):
    """The server is there, but lets this worker not log in as the role; the message says why and what to do."""


class Credentials:
    """Logs in as any role, for all executors of the worker."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._own_role: str | None = None
        self._refusals: dict[str, tuple[float, str]] = {}
        self._lock = threading.Lock()

    def log_in(self, role: str, application_name: str) -> Session:
        """Open a session of `role`.

        Raises:
            LoginRefused: the role has no credentials here, does not exist or may not log in.
            psycopg.OperationalError: the server is away, for the worker's own login as well.
        """
        with self._lock:
            until, note = self._refusals.get(role, (0.0, ""))
        if monotonic() < until:
            raise LoginRefused(note)
        try:
            return self._try(role, application_name)
        except psycopg.OperationalError:
            # How a refusal reads depends on the server's language. If the worker itself gets in and the role still
            # does not, it was one. (A server that is starting up refuses everybody for a moment.)
            self._database.fetch("do_nothing")
        try:
            return self._try(role, application_name)
        except psycopg.OperationalError as error:
            note = self._describe(role, error)
            self._remember(role, note)
            raise LoginRefused(note) from error

    def blame(self, role: str, error: Exception) -> str:
        """Take note that sessions of a role do not last, and return that as a note.

        A role may set what it likes for its own logins (ALTER ROLE ... SET transaction_timeout, say).

        Raises:
            psycopg.OperationalError: the role is not to blame; the server is away for the worker's own login too.
        """
        self._database.fetch("do_nothing")
        note = f'a session of role "{role}" did not last until its job began: {" ".join(str(error).split())}'
        self._remember(role, note)
        return note

    def find_unenrolled(self, role: str) -> str | None:
        """Return a note if the role may hand in nothing any more: its jobs wait until it is enrolled again.

        Raises:
            psycopg.Error: as the server said it.
        """
        if self._database.fetch("may_hand_in", role=role)[0][0]:
            return None
        note = f'role "{role}" is not enrolled in pgqueue any more'
        self._remember(role, note)
        return note

    def _remember(self, role: str, note: str) -> None:
        with self._lock:
            self._refusals[role] = (monotonic() + _REMEMBERED_SECONDS, note)

    def log_in_as_worker(self, application_name: str, options: str) -> Session:
        """Open a session of the worker's own role, with command-line options for the server.

        Raises:
            psycopg.OperationalError: the server is away.
        """
        return self._try(self._find_own_role(), application_name, options)

    def _try(self, role: str, application_name: str, options: str = "") -> Session:
        return Session.log_in(self._database.listen_conninfo, self._find_own_role(), role, application_name, options)

    def _find_own_role(self) -> str:
        if self._own_role is None:
            with self._database.session() as session:
                self._own_role = session.info.user
        return self._own_role

    def _describe(self, role: str, error: psycopg.OperationalError) -> str:
        reason = " ".join(str(error).split())
        # Refused for its number: in English at least. Elsewhere the advice is the usual one.
        remedy = _MORE_CONNECTIONS if _TOO_MANY.search(reason) else _CREDENTIALS
        return f'cannot log in as role "{role}": {reason}; {remedy}'
