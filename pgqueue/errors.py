"""Every error that pgqueue raises, as one tree, and which one a SQLSTATE stands for.

PgQueueError
  InvalidDsn                what was given is no connection string
  ConnectionFailed          the server cannot be reached or refuses the login
    NoAnswer                the server accepts the login and answers no query
  ClientClosed              a client was used after its end
  SessionShared             a pooler lends the session that must be a worker's own to others
  InstallationError
    NotInstalled            the database has no pgqueue
    SchemaTooOld            the database waits for `pgqueue upgrade`
    SchemaTooNew            the database was upgraded by a newer pgqueue
    SchemaOccupied          a schema named pgqueue exists and is not ours
    ServerTooOld            PostgreSQL before the oldest that is supported
    ServerInRecovery        a standby: nothing can be installed there
    MissingPrivilege        the hint is what to grant
    LoopbackUnreachable     the server cannot connect to itself
    DatabaseInUse           workers hold what is to be dropped
    HasDependents           others have made something on what is to be dropped
  EmbeddedError
    EmbeddedUnavailable     no server binaries on this machine
    DataDirectoryInUse      another server runs on the data directory
    DataDirectoryUnusable   of another PostgreSQL version, not one at all, or not writable
    PortInUse               somebody else listens there
    EmbeddedStartFailed     the server did not come up
  ServiceFailed             the worker or Flower did not start, or keeps dying
  DemoFailed                something that the demo shows is not true here
  EncryptionError           keys are missing or malformed, or none of them decrypts a text
  NotTestable               the test kit cannot do there what a test asks
  WaitTimeout               a job has not ended in time; it goes on
  ServerError               PostgreSQL refused a call; has all the fields of its report
    NotPermitted, UnknownJob, InvalidArgument, WrongState, NotSupported, ResultMismatch, TooManyJobs,
    ClaimLost, WorkerUnknown, DefinitionConflict
  JobError                  a job ended otherwise than well; has all the fields of its report
    JobFailed               its statement raised an error
      StepFailed            of an SQL step of a Celery canvas
    JobCanceled, JobExpired
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

import psycopg

if TYPE_CHECKING:
    from typing import TypeGuard

SCHEMA = "pgqueue"


class PgQueueError(Exception):
    """The root of pgqueue's errors: one line that says what is wrong, a detail, and a hint that says what to do."""

    def __init__(self, message: str, *, detail: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.detail = detail
        self.hint = hint


class InvalidDsn(PgQueueError, ValueError):
    """The connection string is neither a PostgreSQL URL nor key=value pairs."""


class ConnectionFailed(PgQueueError):
    """The server cannot be reached, or refuses the login."""

    def __init__(
        self, message: str, *, sqlstate: str | None = None, detail: str | None = None, hint: str | None = None
    ) -> None:
        super().__init__(message, detail=detail, hint=hint)
        self.sqlstate = sqlstate


class NoAnswer(ConnectionFailed):
    """The server accepts the login, but answers no query: it hangs, or a pooler has no session left for it."""


class ClientClosed(PgQueueError):
    """A client was used after it had been closed."""


class SessionShared(PgQueueError):
    """A pooler lends the server's end of a session to others that must stay the same for as long as it lives."""


class InstallationError(PgQueueError):
    """The database is not ready for pgqueue, or cannot be made so."""


class NotInstalled(InstallationError):
    """The database has no pgqueue."""


class SchemaTooOld(InstallationError):
    """The database lacks migrations or functions of this version of the package."""


class SchemaTooNew(InstallationError):
    """The database was upgraded by a newer pgqueue than this one."""


class SchemaOccupied(InstallationError):
    """The database has a schema named pgqueue that pgqueue did not make."""


class ServerTooOld(InstallationError):
    """PostgreSQL is older than the oldest supported version."""


class ServerInRecovery(InstallationError):
    """The server is a standby or still recovers: nothing can be written to it."""


class MissingPrivilege(InstallationError):
    """The role may not do what an installation needs; the hint holds the statements that let it."""


class LoopbackUnreachable(InstallationError):
    """The server cannot open a connection to itself, which launch needs."""


class DatabaseInUse(InstallationError):
    """Others hold locks on what is to be dropped."""


class HasDependents(InstallationError):
    """Others have made something on what is to be dropped; the detail names it."""


class EmbeddedError(PgQueueError):
    """The embedded server cannot do what was asked."""


class EmbeddedUnavailable(EmbeddedError):
    """There are no PostgreSQL server binaries that could be started."""


class DataDirectoryInUse(EmbeddedError):
    """A server runs on the data directory already."""

    def __init__(self, message: str, *, pid: int | None = None, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.pid = pid


class DataDirectoryUnusable(EmbeddedError):
    """The directory belongs to another PostgreSQL version, holds something else, or cannot be written."""


class PortInUse(EmbeddedError):
    """Another program listens on the port."""


class EmbeddedStartFailed(EmbeddedError):
    """The server did not come up; the detail is what it logged."""


class ServiceFailed(PgQueueError):
    """A worker or Flower did not start, or keeps dying; the detail is the end of its log."""


class DemoFailed(PgQueueError):
    """Something that the demo claims is not true here."""


class EncryptionError(PgQueueError):
    """Encryption keys are missing or malformed, or none of them decrypts a text."""


class NotTestable(PgQueueError):
    """The test kit cannot do there what a test asks; the hint says where it can."""


class WaitTimeout(PgQueueError):
    """A job has not ended within the time given; it goes on."""

    def __init__(self, message: str, *, handle: tuple[int, int | None] | None = None, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.handle = handle


class ReportedError(PgQueueError):
    """An error as PostgreSQL reports it, with every field that it has."""

    def __init__(
        self,
        message: str,
        *,
        sqlstate: str | None = None,
        detail: str | None = None,
        hint: str | None = None,
        context: str | None = None,
        schema: str | None = None,
        table: str | None = None,
        column: str | None = None,
        datatype: str | None = None,
        constraint: str | None = None,
        handle: tuple[int, int | None] | None = None,
    ) -> None:
        super().__init__(message, detail=detail, hint=hint)
        self.sqlstate = sqlstate
        self.context = context
        self.schema = schema
        self.table = table
        self.column = column
        self.datatype = datatype
        self.constraint = constraint
        self.handle = handle


class ServerError(ReportedError):
    """PostgreSQL refused a call."""


class NotPermitted(ServerError):
    """The role may not do that."""


class UnknownJob(ServerError):
    """There is no such job, its handle is not of this job, or its result was consumed."""


class InvalidArgument(ServerError):
    """An argument is missing or out of range."""


class WrongState(ServerError):
    """The job, or the caller's transaction, is not in a state in which this can be asked."""


class NotSupported(ServerError):
    """It cannot be done with that job or that statement."""


class ResultMismatch(ServerError):
    """The rows are not of the types that the caller listed."""


class TooManyJobs(ServerError):
    """The session has as many jobs as it may have."""


class ClaimLost(ServerError):
    """Another worker has the message, or it has ended."""


class WorkerUnknown(ServerError):
    """The server gave the worker up; it has to register again."""


class DefinitionConflict(ServerError):
    """An exchange or a queue exists with other attributes."""


class JobError(ReportedError):
    """A job ended otherwise than well; the fields are those of its own error."""


class JobFailed(JobError):
    """The job's statement raised an error."""


class StepFailed(JobFailed):
    """The statement of an SQL step of a Celery canvas raised an error: what `AsyncResult.get` raises.

    Result backends make an exception again from its `args`, so these have what the server reported.
    """

    def __init__(
        self, message: str, sqlstate: str | None = None, detail: str | None = None, hint: str | None = None
    ) -> None:
        super().__init__(message, sqlstate=sqlstate, detail=detail, hint=hint)
        self.args = (message, sqlstate, detail, hint)

    def __str__(self) -> str:
        return str(self.args[0])


class JobCanceled(JobError):
    """The job was canceled, before or while it ran."""


class JobExpired(JobError):
    """The job's `expires` passed before the job, or its next attempt, began."""


BY_SQLSTATE: Mapping[str, type[ServerError]] = {
    "0A000": NotSupported,
    "22001": InvalidArgument,
    "22004": InvalidArgument,
    "22023": InvalidArgument,
    "42501": NotPermitted,
    "42704": UnknownJob,
    "42804": ResultMismatch,
    "53400": TooManyJobs,
    "55000": WrongState,
    "PQ002": ClaimLost,
    "PQ003": WorkerUnknown,
    "PQ004": DefinitionConflict,
}

BY_STATE: Mapping[str, type[JobError]] = {"failed": JobFailed, "canceled": JobCanceled, "expired": JobExpired}
_ENDED = {"failed": "not successful", "canceled": "canceled", "expired": "not started before it expired"}

# Connection exceptions, refused logins, no free session, shutting down, starting up, a database that is not there.
_CONNECTION_SQLSTATES = ("08", "28", "53300", "57P01", "57P02", "57P03", "3D000")
# These SQLSTATEs are ours only where a function raised them: by 42704 the server itself means a role or a type, by
# 22023 a setting, by 55000 an object in another state. Permissions (42501) are ours and the server's to refuse.
_RAISED_BY_FUNCTIONS = ("exec_stmt_raise", "dblink_res_error")
_ENROLL = "Let an administrator run: select pgqueue.enroll('this_role')"
# The server itself refuses these to roles without the group role, and gives no hint.
_DENIED = re.compile(
    "permission denied for (?:view (?:job_order|limiting|configuring|schedule_order)"
    "|function (?P<function>purge|pause|resume|set_durability|redrive|enroll|unenroll|reset_stats))"
)
_GRANT_ADMIN = "Let an administrator run: grant pgqueue_admin to this_role"
_MEMBERS_MAY = f"Enrolled roles may do it with what is their own, members of pgqueue_admin with all. {_GRANT_ADMIN}"
_ADMINISTRATORS_MAY = f"Members of pgqueue_admin may do it. {_GRANT_ADMIN}"
_REPORT_FIELDS = ("sqlstate", "detail", "hint", "context", "schema", "table", "column", "datatype", "constraint")


def from_driver(failure: psycopg.Error, handle: tuple[int, int | None] | None = None) -> PgQueueError:
    """Return the error of this tree for one of the driver; raise it `from` that one."""
    report = failure.diag
    if failure.sqlstate is None:
        is_about_session = isinstance(failure, (psycopg.OperationalError, psycopg.InterfaceError))
        return _connection_failed(failure) if is_about_session else ServerError(str(failure), handle=handle)
    if failure.sqlstate.startswith(_CONNECTION_SQLSTATES):
        return _connection_failed(failure)
    fields = {
        "detail": report.message_detail,
        "hint": report.message_hint,
        "context": report.context,
        "schema": report.schema_name,
        "table": report.table_name,
        "column": report.column_name,
        "datatype": report.datatype_name,
        "constraint": report.constraint_name,
    }
    message = report.message_primary or str(failure)
    return from_report(failure.sqlstate, message, fields, report.source_function, handle)


def from_report(
    sqlstate: str,
    message: str,
    fields: Mapping[str, str | None],
    source_function: str | None,
    handle: tuple[int, int | None] | None = None,
) -> PgQueueError:
    """Return the error of this tree for a report of the server, whatever driver has read it.

    Args:
        fields: those of `ReportedError`.
        source_function: the function of the server that raised the error.
    """
    if (sqlstate == "3F000" and f'"{SCHEMA}"' in message) or (sqlstate == "42P01" and f'"{SCHEMA}.' in message):
        return NotInstalled("pgqueue is not installed in this database", hint="Run: pgqueue install")
    kind = BY_SQLSTATE.get(sqlstate, ServerError)
    if sqlstate != "42501" and not sqlstate.startswith("PQ") and source_function not in _RAISED_BY_FUNCTIONS:
        kind = ServerError
    hint = fields["hint"] or _find_hint(sqlstate, message)
    return kind(message, sqlstate=sqlstate, handle=handle, **{**fields, "hint": hint})


def is_refusal(failure: Exception) -> TypeGuard[PgQueueError]:
    """Return whether waiting does not help: pgqueue is not there, is of another version, or the login lacks a right."""
    return isinstance(failure, (InstallationError, NotPermitted)) and not isinstance(failure, ServerInRecovery)


def from_job(
    state: str, report: Mapping[str, str | None] | None, handle: tuple[int, int | None] | None = None
) -> JobError:
    """Return the error of a job that ended in `state`, from the fields that the server kept of it."""
    said = report or {}
    fields = {name: said.get(name) for name in _REPORT_FIELDS}
    return BY_STATE[state](said.get("message") or f"the job was {_ENDED[state]}", handle=handle, **fields)


def _find_hint(sqlstate: str, message: str) -> str | None:
    """Return what to do about a refusal of the server itself."""
    if f"schema {SCHEMA}" in message:
        return _ENROLL
    denied = _DENIED.fullmatch(message) if sqlstate == "42501" else None
    if denied is None:
        return None
    return _ADMINISTRATORS_MAY if denied["function"] else _MEMBERS_MAY


def _connection_failed(failure: psycopg.Error) -> ConnectionFailed:
    first, _, rest = str(failure).strip().partition("\n")
    return ConnectionFailed(
        failure.diag.message_primary or first,
        sqlstate=failure.sqlstate,
        detail=failure.diag.message_detail or rest.strip() or None,
        hint=failure.diag.message_hint,
    )
