"""Runs what the test's open transaction has enqueued, in savepoints of that transaction.

Each job runs in the session of the test, with the code of a worker's top-level lane. It keeps nothing: the test's
rollback takes back the jobs, their effects and their ends. A job that needs a transaction of its own cannot run here.
"""

from __future__ import annotations

import contextlib
import json
import weakref
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import pq

from ..db.named_query import run
from ..errors import NotTestable
from ..worker.cancellation import CancelGuard
from ..worker.claimed_job import ClaimedJob, Ending
from ..worker.running.error_fields import SqlstateError, fields_of, needs_own_transaction
from ..worker.running.job_session import JobSession
from ..worker.running.job_transaction import Boundaries, JobTransaction, NotToBegin
from .committed import Claim, outcome_of
from .helpers import call, make_due
from .values import Enqueued

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from ..worker.running.error_fields import Fields
    from .values import Outcome

    Connection = psycopg.Connection[Any]

_SAVEPOINTS = Boundaries(begin="begin_savepoint", commit="release_savepoint", clean=None)
#: The settings that a run changes in any case.
_CHANGED = (
    "application_name",
    "pgqueue.job_id",
    "role",
    "statement_timeout",
    "lock_timeout",
    "standard_conforming_strings",
)
_WHERE = (
    "Test it with the fixture pgqueue_database, or with Django's TransactionTestCase: there everything is committed."
)
_sessions: weakref.WeakKeyDictionary[Connection, JobSession] = weakref.WeakKeyDictionary()


class TransactionRuns:
    """The worker of the kit inside one open transaction.

    Raises:
        NotTestable: jobs are committed that have not ended, or the helpers cannot be added.
    """

    is_in_transaction = True

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        if connection not in _sessions:
            _sessions[connection] = JobSession(connection, connection.info.dsn)
        self._session = _sessions[connection]
        _refuse_committed(self.waiting())
        [(self._worker_id,)] = call(connection, "register")

    def close(self) -> None:
        """End the worker."""
        if self._connection.info.transaction_status == pq.TransactionStatus.INTRANS:
            call(self._connection, "unregister", worker_id=self._worker_id)

    def waiting(self) -> list[Enqueued]:
        """Return what this transaction sees that has not ended."""
        return [Enqueued.from_row(row) for row in call(self._connection, "waiting")]

    def make_due(self, until: datetime | None, queues: list[str]) -> datetime | None:
        """Make those delayed messages of this transaction ready that are due next, up to an instant."""
        return make_due(self._connection, until, queues, own_only=True)

    def claim(self, kind: str, queues: list[str]) -> Claim | None:
        """Claim one message."""
        rows = call(self._connection, "claim", worker_id=self._worker_id, wanted=kind, queues=queues)
        return Claim(*rows[0]) if rows else None

    def run_job(self, claim: Claim) -> Outcome | None:
        """Run a job in a savepoint.

        Raises:
            NotTestable: it is another role's, or needs a transaction of its own.
        """
        job = ClaimedJob.from_document(claim.document)
        if job.submitter != self._connection.info.user:
            raise NotTestable(
                f"job {job.id} is of the role {job.submitter}, and this session is of {self._connection.info.user}",
                hint=_WHERE,
            )
        with self._settings_restored(job):
            ending, fields = self._run(job)
        return outcome_of(claim, ending, fields)

    def settle(self, claim: Claim, verdict: str) -> None:
        """End the claim of a task: `ack`, `fail`, `reject` or `requeue`."""
        call(self._connection, "settle", id=claim.id, token=claim.token, verdict=verdict)

    @contextlib.contextmanager
    def task(self) -> Iterator[None]:
        """Run a task in a savepoint, so that an error of the database in it does not end the test's transaction.

        Raises:
            NotTestable: the task has ended the transaction.
        """
        with self._connection.transaction() as savepoint:
            yield
            status = self._connection.info.transaction_status
            if status == pq.TransactionStatus.IDLE:
                raise NotTestable("a task has ended the transaction of the test", hint=_WHERE)
            if status == pq.TransactionStatus.INERROR:
                raise psycopg.Rollback(savepoint)

    def _run(self, job: ClaimedJob) -> tuple[Ending, Fields]:
        transaction = JobTransaction(self._session, job, CancelGuard(), boundaries=_SAVEPOINTS)
        try:
            # After any error the transaction is where it was before the job.
            with self._connection.transaction():
                transaction.run()
            return transaction.ending, {}
        except NotToBegin as ended:
            (ending,) = (ended.ending,) if ended.ending else self._session.call("begin_job", **job.key)
            return Ending(ending), {}
        except (SqlstateError, psycopg.Error) as error:
            fields = fields_of(error)
            if needs_own_transaction(fields):
                raise NotTestable(
                    f"job {job.id} cannot run inside the open transaction of a test: {fields.get('message')}",
                    hint=_WHERE,
                ) from error
            (ending,) = self._session.call("fail_job", **job.key, error=json.dumps(fields), run_s=0.0)
            return Ending(ending), fields

    @contextlib.contextmanager
    def _settings_restored(self, job: ClaimedJob) -> Iterator[None]:
        names = list(dict.fromkeys([*_CHANGED, *job.settings]))
        before = run(self._connection, "read_settings", {"names": names})
        try:
            yield
        finally:
            if self._connection.info.transaction_status == pq.TransactionStatus.INTRANS:
                values = [value or "" for _name, value in before]
                self._session.call("apply_settings", names=[name for name, _value in before], values=values)


def _refuse_committed(waiting: list[Enqueued]) -> None:
    """Refuse to go on where jobs are committed: no rollback of the test would take them back."""
    committed = [each for each in waiting if not each.is_own]
    if committed:
        listed = "\n".join(f"  {each}" for each in committed[:20])
        raise NotTestable(
            f"{len(committed)} committed jobs or tasks cannot run in the open transaction of a test:\n{listed}",
            detail="launch and submit commit a job at once, apart from the transaction of the caller; "
            "so does everything that another test has committed.",
            hint=f"Use enqueue and send_task where the transaction decides. {_WHERE}",
        )
