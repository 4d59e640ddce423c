"""The task `pgqueue.sql`: it hands a statement in as a job and, when the job has ended, tells Celery the outcome.

Its message comes twice. The first time it has a statement, of which the database makes a job; no process waits for
that. The transaction in which the job ends sends the message again, with the outcome: then the task returns the value
or raises the error, and Celery stores the result and sends the next steps of the canvas. Both times everything that
is written to the database is one transaction, so a process that is killed leaves all of it or nothing.
"""

from __future__ import annotations

import json
import uuid
from datetime import date, datetime, timedelta
from datetime import time as time_of_day
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import psycopg
from billiard.einfo import ExceptionInfo
from celery import Task
from celery.app.trace import TraceInfo, trace_ok_t
from celery.exceptions import Ignore, Reject
from celery.states import REJECTED
from celery.utils.log import get_task_logger
from celery.worker.request import Request

from ..broker.step_seals import refuse_encrypted
from ..config import URL_SCHEME, to_conninfo
from ..db.database import Database
from ..encryption import HEADER as ENCRYPTED
from ..errors import InvalidArgument, NotSupported, StepFailed, from_driver
from ..sql_signature import TASK_NAME, without_secrets

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

logger = get_task_logger(__name__)

#: The header with the outcome of the job, which only the second message has.
OUTCOME = "pgqueue_outcome"
#: In Celery's request: the keyword arguments with the seal, which results and `celery inspect` must not show.
_STEP = "pgqueue_step"


class SqlRequest(Request):
    """A message of the task, in the main process of a worker."""

    def __init__(self, message: Any, **options: Any) -> None:
        super().__init__(message, **options)
        # Results with `result_extended` and `celery inspect` show these. The process that runs the task has the body.
        shown: dict[str, Any] = without_secrets(self.kwargs)
        self._kwargs = self._request_dict["kwargs"] = shown

    def revoked(self) -> bool:
        """Whether the task is revoked or has expired: not if its job has ended, which is what the message tells."""
        return OUTCOME not in self._request_dict and bool(super().revoked())

    def terminate(self, pool: object, signal: object = None) -> None:
        """Do nothing: the job is canceled, and the process of the pool is busy with it for a moment only."""


class SqlTask(Task):
    """Runs in the processes of the pool, twice for each task and for a moment each time."""

    name = TASK_NAME
    Request = f"{__name__}:SqlRequest"
    acks_late = True
    reject_on_worker_lost = True
    # Other workers that are asked to revoke the task must see that it is no longer theirs to end.
    track_started = True
    _tracer: Callable[..., Any] | None = None
    #: The broker of the application as it was asked last, and its database.
    _known: tuple[object, Database] | None = None

    @property
    def __trace__(self) -> Callable[..., Any] | None:
        # Celery keeps here what runs a task in a worker.
        return None if self._tracer is None else self._trace

    @__trace__.setter
    def __trace__(self, tracer: Callable[..., Any] | None) -> None:
        self._tracer = tracer

    def run(self, *args: Any, **_shown: Any) -> Any:
        """Hand the statement in, or return what it returned.

        Raises:
            StepFailed: the statement failed.
            PgQueueError: the step is refused.
            Ignore: the job is on its way, or another copy of the message has done this.
        """
        request = self.request
        if request.called_directly or request.is_eager:
            raise NotSupported(
                "an SQL step cannot run eagerly: it is a job of the database",
                hint="Send it, without task_always_eager, and let a worker run it.",
            )
        outcome = getattr(request, OUTCOME, None)
        if outcome is None:
            self._hand_in(args, getattr(request, _STEP), is_encrypted=bool(getattr(request, ENCRYPTED, False)))
        assert outcome is not None  # _hand_in raises
        self._go_on("tell_sql_task", seal=outcome.get("seal"))
        return self._return(outcome)

    def _hand_in(self, args: tuple[Any, ...], step: Mapping[str, Any], *, is_encrypted: bool) -> None:
        try:
            refuse_encrypted(is_encrypted)
            message_id, token = self.request.properties["delivery_tag"].split(":")
            previous = _to_previous(args) if step.get("with_result") else None
            # A savepoint: what refuses the step must not undo that Celery learns it.
            with self._database().transaction():
                answer = self._fetch(
                    "start_sql_task", id=int(message_id), token=int(token), step=json.dumps(step), previous=previous
                )
        except psycopg.OperationalError:
            raise
        except psycopg.DatabaseError as failure:
            self._go_on("refuse_sql_task")
            raise from_driver(failure) from failure
        except Exception:
            self._go_on("refuse_sql_task")
            raise
        raise Ignore(f"SQL job {answer}")

    def _go_on(self, query: str, **params: Any) -> None:
        """Go on only if the database says that this message may tell Celery the outcome, and that none has done so.

        Any program can send a message with the id of another task, and with an outcome in its headers.

        Raises:
            Ignore: the message has no effect.
        """
        answer = self._fetch(query, task_id=self.request.id, is_counted=bool(self.request.chord), **params)
        if answer == "forged":
            logger.warning(
                "task %s[%s] is ignored: its message names an outcome, which no job of it has had",
                TASK_NAME,
                self.request.id,
            )
            raise Ignore("the outcome is not of a job")
        if answer == "known":
            raise Ignore("Celery has the outcome")

    def _return(self, outcome: Mapping[str, Any]) -> Any:
        error = outcome.get("error") or {}
        if outcome["state"] == "REVOKED":
            reason = error.get("message") or "revoked"
            self.backend.mark_as_revoked(
                self.request.id, reason, request=self.request, store_result=not self.request.ignore_result
            )
            self.send_event("task-revoked", terminated=True, signum=None, expired=False, retry=False)
            raise Ignore(reason)
        if outcome["state"] == "FAILURE":
            raise StepFailed(error.get("message") or "", error.get("sqlstate"), error.get("detail"), error.get("hint"))
        return outcome["value"]

    def _trace(self, task_id: str, args: Any, kwargs: Any, request: Any = None) -> Any:
        """Run the task as Celery does, in one transaction, and let its message come again if that was not committed."""
        assert self._tracer is not None  # see __trace__
        call = (task_id, args, without_secrets(kwargs), {**(request or {}), _STEP: kwargs})
        if call[3].get("chord"):
            # The last member may join the results of all members, itself among them, over another connection. That
            # would wait for this transaction. The chord has a transaction of its own.
            return self._tracer(*call)
        database = self._database()
        try:
            with database.transaction():
                outcome = self._tracer(*call)
                if database.has_failed:
                    raise Reject("the transaction was rolled back", requeue=True)
                return outcome
        except Exception as failure:  # noqa: BLE001 - whatever it was, nothing was committed
            logger.warning("task %s[%s] is tried again: %r", TASK_NAME, task_id, failure)
            return _rejected(failure)

    def _database(self) -> Database:
        given = self.app.conf.broker_write_url
        if self._known is None or self._known[0] != given:
            # Making a connection of kombu to ask it takes longer than the rest of a run.
            url = str(self.app.connection_for_write().as_uri(include_password=True))
            if not url.startswith(URL_SCHEME):
                raise NotSupported(
                    "an SQL step needs pgqueue as the broker", hint="Set broker_url to a pgqueue:// URL."
                )
            self._known = given, Database.for_dsn(to_conninfo(url))
        return self._known[1]

    def _fetch(self, query: str, **params: Any) -> Any:
        return self._database().fetch(query, **params)[0][0]


def make_sql_task() -> SqlTask:
    """Return the task for one application: Celery keeps what an application configures in the class of a task."""
    return type(SqlTask.__name__, (SqlTask,), {"__module__": __name__, "__doc__": SqlTask.__doc__})()  # type: ignore[no-any-return]


def _rejected(failure: Exception) -> Any:
    reject = failure if isinstance(failure, Reject) else Reject(repr(failure), requeue=True)
    try:
        raise reject
    except Reject:
        return trace_ok_t(ExceptionInfo(internal=True), TraceInfo(REJECTED, reject), None, None)


def _to_previous(args: tuple[Any, ...]) -> str:
    """Write the result of the step before as JSON.

    Raises:
        InvalidArgument: there is none, or JSON cannot hold it.
    """
    if len(args) != 1:
        raise InvalidArgument(
            f"an SQL step with with_result takes the result of one step before, not {len(args)} arguments",
            hint="Put it behind another step in a chain, or call it with a value: delay(value).",
        )
    try:
        return json.dumps(args[0], default=_to_text, allow_nan=False)
    except (TypeError, ValueError) as failure:
        raise InvalidArgument(
            f"the result of the step before cannot be $1 of SQL: {failure}",
            hint="Let that step return what JSON can hold: numbers, text, lists and dicts of them.",
        ) from failure


def _to_text(value: object) -> object:
    if isinstance(value, (datetime, date, time_of_day)):
        return value.isoformat()
    if isinstance(value, (Decimal, uuid.UUID)):
        return str(value)
    if isinstance(value, timedelta):
        return f"{value.total_seconds()} s"
    raise TypeError(f"{type(value).__name__} has no form in JSON")
