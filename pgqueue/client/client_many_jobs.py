"""The methods of the client that run failed jobs again and change many jobs at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..db.caller_transaction import current
from . import job_calls, many_jobs
from .job import Job
from .many_jobs import BATCH

if TYPE_CHECKING:
    from datetime import timedelta

    from typing_extensions import Unpack

    from ..db.caller_transaction import CallerConnection
    from ..handle import Handle
    from .many_jobs import JobFilters
    from .runner import Runner


class ClientManyJobs:
    """Jobs by filters, and whole queues: a part of `Client`, in a file of its own because of its length."""

    _runner: Runner

    def batch(
        self,
        label: str | None = None,
        *,
        on_success: str | None = None,
        on_failure: str | None = None,
        on_end: str | None = None,
        connection: CallerConnection | None = None,
    ) -> int:
        """Make a batch of jobs and return its number, for the option `batch` of jobs; in a transaction as `enqueue`.

        When its last job has ended, `on_success` is enqueued if all have succeeded, else `on_failure`, and `on_end` in
        both cases; they are SQL statements. Add its jobs in the transaction that makes it, or from its own jobs.

        Args:
            connection: as for `enqueue`.

        Raises:
            PgQueueError: the server refused it, or could not be reached.
        """
        callbacks = {"on_success": on_success, "on_failure": on_failure, "on_end": on_end}
        given = connection or current(self._runner.session.conninfo)
        return self._runner.run(many_jobs.make_batch(label, callbacks), given)

    def retry(self, job: Handle | str | int, *, connection: CallerConnection | None = None) -> Job:
        """Run a job again that failed, as its submitter and with all that it had, and return the new job.

        Args:
            job: as for `job`; administrators give the number of any job.
            connection: as for `enqueue`.

        Raises:
            NotPermitted: it is another role's, or its role may submit no jobs now.
            PgQueueError: it has not failed, was retried or discarded before, or is not known.
        """
        handle = job_calls.to_handle(job)
        return Job(
            self._runner,
            self._runner.run(many_jobs.retry(handle), connection or current(self._runner.session.conninfo)),
        )

    def retry_task(self, task_id: str, *, connection: CallerConnection | None = None) -> str:
        """Send a Celery task again that failed or was revoked, and return the id of the new one.

        The application needs `result_extended`, which keeps the name and the arguments of a task with its result.

        Raises:
            WrongState: it did not fail, or its result does not say how it was called.
            PgQueueError: no result of it is known, or the server could not be asked.
        """
        return self._runner.run(many_jobs.retry_task(task_id), connection or current(self._runner.session.conninfo))

    def retry_jobs(
        self,
        *,
        max_count: int | None = None,
        batch: int = BATCH,
        dry_run: bool = False,
        connection: CallerConnection | None = None,
        **filters: Unpack[JobFilters],
    ) -> int:
        """Run the failed jobs again that match all filters, the oldest failure first, and return how many.

        Args:
            batch: how many jobs one transaction takes. With a `connection` all are a part of its transaction.
            dry_run: change nothing, and count those that would be retried.

        Raises:
            InvalidArgument: a filter is invalid, or there is none.
            PgQueueError: the server could not be asked; the batches before are committed.
        """
        return self._change_many("retry_jobs", filters, max_count, batch, dry_run, connection)

    def discard_jobs(
        self,
        *,
        max_count: int | None = None,
        batch: int = BATCH,
        dry_run: bool = False,
        connection: CallerConnection | None = None,
        **filters: Unpack[JobFilters],
    ) -> int:
        """Delete what runs the failed jobs again that match, with their parameters; otherwise as `retry_jobs`.

        Raises:
            PgQueueError: as `retry_jobs`.
        """
        return self._change_many("discard_jobs", filters, max_count, batch, dry_run, connection)

    def cancel_jobs(
        self,
        *,
        max_count: int | None = None,
        batch: int = BATCH,
        dry_run: bool = False,
        connection: CallerConnection | None = None,
        **filters: Unpack[JobFilters],
    ) -> int:
        """Cancel the queued and running jobs that match; otherwise as `retry_jobs`.

        A running job that ends at that moment may still succeed.

        Raises:
            PgQueueError: as `retry_jobs`.
        """
        return self._change_many("cancel_jobs", filters, max_count, batch, dry_run, connection)

    def purge(self, queue: str) -> int:
        """Empty a queue, except for what workers have, and return how many jobs and tasks that were.

        Raises:
            NotPermitted: the role is no administrator.
        """
        return self._runner.run(many_jobs.purge(queue))

    def drain(self, queue: str, timeout: timedelta | float | None = None) -> bool:
        """Wait until a queue is empty, of delayed messages too; return False when `timeout` passed first.

        Monitors, workers and administrators wait for the messages of all roles. Any other role waits for its own and
        those of roles that it is a member of: the queue may have more.

        Raises:
            PgQueueError: the server could not be asked.
        """
        return self._runner.run(many_jobs.drain(queue, timeout)).messages == 0

    def _change_many(
        self,
        act: str,
        filters: JobFilters,
        max_count: int | None,
        batch: int,
        is_dry_run: bool,
        connection: CallerConnection | None,
    ) -> int:
        given = connection or current(self._runner.session.conninfo)
        call = many_jobs.change_jobs(
            act, filters, max_count=max_count, batch=batch, is_dry_run=is_dry_run, is_own=given is None
        )
        return self._runner.run(call, given)
