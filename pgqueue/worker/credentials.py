"""Open the sessions of executors: as the submitter of a job, with the credentials that libpq finds for that role.

It remembers refused roles, so that 1,000 jobs of a role without credentials do not cause 1,000 refused logins. It tries
again at growing intervals of at most 1 min, and logs each cause once.
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING

import psycopg

from .log import get_logger
from .running.job_session import JobSession

if TYPE_CHECKING:
    from ..db.database import Database

logger = get_logger(__name__)

#: How long a refusal is remembered; the time doubles with each refusal.
_REMEMBERED_FROM, _REMEMBERED_TO = 5.0, 60.0
#: After this time a cause is logged again.
_NEWS_SECONDS = 3600.0
_TOO_MANY = re.compile("too many (connections|clients)|connection slots are reserved")
_MORE_CONNECTIONS = "raise max_connections or the role's CONNECTION LIMIT, or give the workers fewer executors"
_EXECUTORS = "let it log in with its password in pg_hba.conf; if the password is wrong, run: pgqueue upgrade"
_CREDENTIALS = "give the worker credentials for it: add it to the worker's password file, or use a certificate or peer"


class LoginRefused(Exception):
    """The server is reachable, but does not let this worker log in as the role; the message says why and what to do."""

    def __init__(self, note: str, seconds: float) -> None:
        super().__init__(note)
        #: When to try again.
        self.seconds = seconds


@dataclass(frozen=True)
class _Refusal:
    note: str
    seconds: float
    until: float
    #: Whether the login itself was refused, and not a later statement of the session.
    is_login: bool


class Credentials:
    """Logs in as any role, for all executors of the worker."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._own_role: str | None = None
        self._refusals: dict[str, _Refusal] = {}
        self._lock = threading.Lock()

    def log_in(self, role: str, application_name: str) -> JobSession:
        """Open a session of `role`.

        Raises:
            LoginRefused: the role has no credentials here, does not exist or may not log in.
            psycopg.OperationalError: the server is away, for the worker's own login as well.
        """
        return self._log_in(role, application_name, remedy=_CREDENTIALS)

    def log_in_as_executor(self, application_name: str, options: str) -> JobSession:
        """Open a session of the executors' login, in which jobs of all roles run, with startup options.

        Raises:
            LoginRefused: the server is reachable, but refuses the executors' login.
            psycopg.OperationalError: the server is away.
            psycopg.Error: this worker may run no jobs; the message says why.
        """
        role, password = self._database.fetch("executor_login")[0]
        session = self._log_in(role, application_name, options, password, remedy=_EXECUTORS)
        session.is_executors = True
        return session

    def _log_in(
        self, role: str, application_name: str, options: str = "", password: str = "", *, remedy: str
    ) -> JobSession:
        refusal = self._find_refusal(role)
        if refusal is not None and (left := refusal.until - monotonic()) > 0:
            raise LoginRefused(refusal.note, left)
        try:
            session = self._try(role, application_name, options, password)
        except psycopg.OperationalError:
            # The text of a refusal depends on the server's language. If the worker itself can log in and the role still
            # cannot, the role was refused. (A starting server refuses every login for a moment.)
            self._database.fetch("do_nothing")
            try:
                session = self._try(role, application_name, options, password)
            except psycopg.OperationalError as error:
                note = self._describe(role, error, remedy)
                is_full = _TOO_MANY.search(str(error)) is not None
                raise LoginRefused(note, self._remember(role, note, is_login=True, is_full=is_full)) from error
        if refusal is not None and refusal.is_login:
            self._forget(role)
        return session

    def blame(self, role: str, error: Exception) -> str:
        """Record that sessions of a role end early, and return that as a note.

        A role may set anything for its own logins (ALTER ROLE ... SET transaction_timeout, for example).

        Raises:
            psycopg.OperationalError: the server is away for the worker's own login too, so the role is not the cause.
        """
        self._database.fetch("do_nothing")
        note = f'a session of role "{role}" did not last until its job began: {" ".join(str(error).split())}'
        self._remember(role, note)
        return note

    def find_unenrolled(self, role: str) -> str | None:
        """Return a note if the role may submit no jobs any more: its jobs wait until it is enrolled again.

        Raises:
            psycopg.Error: the server reported an error.
        """
        if self._database.fetch("may_hand_in", role=role)[0][0]:
            return None
        note = f'role "{role}" is not enrolled in pgqueue any more'
        self._remember(role, note)
        return note

    def _find_refusal(self, role: str) -> _Refusal | None:
        with self._lock:
            return self._refusals.get(role)

    def _remember(self, role: str, note: str, *, is_login: bool = False, is_full: bool = False) -> float:
        """Record a refusal, log it if it is new, and return when to try again."""
        now = monotonic()
        with self._lock:
            known = self._refusals.get(role)
            if known is not None and now < known.until:
                return known.until - now  # Another executor was refused a moment ago.
            is_news = known is None or known.note != note or now > known.until + _NEWS_SECONDS
            seconds = _REMEMBERED_FROM
            # The limit of connections depends on other sessions, and other jobs of the role may run meanwhile.
            if is_login and not is_full and known is not None and known.is_login:
                seconds = min(known.seconds * 2, _REMEMBERED_TO)
            self._refusals[role] = _Refusal(note, seconds, now + seconds, is_login)
        if is_news:
            logger.warning("jobs of role %s wait: %s", role, note)
        return seconds

    def _forget(self, role: str) -> None:
        """Make the jobs ready that have waited until the role could log in."""
        with self._lock:
            if self._refusals.pop(role, None) is None:
                return
        try:
            count = self._database.fetch("retry_deferred", role=role)[0][0]
        except psycopg.Error as error:
            logger.warning("jobs of role %s are tried again one by one: %s", role, error)
        else:
            logger.info("role %s can log in again, %s more of its jobs are ready", role, count)

    def _try(self, role: str, application_name: str, options: str, password: str) -> JobSession:
        conninfo, own_role = self._database.listen_conninfo, self._find_own_role()
        return JobSession.log_in(conninfo, own_role, role, application_name, options, password)

    def _find_own_role(self) -> str:
        if self._own_role is None:
            with self._database.session() as session:
                self._own_role = session.info.user
        return self._own_role

    @staticmethod
    def _describe(role: str, error: psycopg.OperationalError, remedy: str) -> str:
        reason = " ".join(str(error).split())
        # The limit of connections was reached: recognized in English only. In another language the usual advice is
        # given.
        remedy = _MORE_CONNECTIONS if _TOO_MANY.search(reason) else remedy
        return f'cannot log in as role "{role}": {reason}; {remedy}'
