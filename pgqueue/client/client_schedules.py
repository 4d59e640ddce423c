"""The methods of the client about schedules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..db.caller_transaction import current
from . import schedule_calls

if TYPE_CHECKING:
    from collections.abc import Sequence

    from typing_extensions import Unpack

    from ..db.caller_transaction import CallerConnection
    from .runner import Runner
    from .schedule_arguments import ScheduleChanges, SqlScheduleOptions, TaskScheduleOptions
    from .values import Schedule, ScheduleRun


class ClientSchedules:
    """SQL and tasks by the clock: a part of `Client`, in a file of its own because of its length."""

    _runner: Runner

    def schedule(
        self,
        name: str,
        schedule: str,
        sql: str,
        /,
        *values: object,
        params: Sequence[object] | None = None,
        connection: CallerConnection | None = None,
        **options: Unpack[SqlScheduleOptions],
    ) -> int:
        """Run SQL by the clock, and return the number of the schedule. One of that name is replaced.

        Args:
            schedule: five fields of cron, `@daily` and the like, or an interval such as `30 seconds`.
            values: bound to `$1`, `$2`, ... of the statement; or give them as one sequence in `params`.
            connection: as for `enqueue`; the schedule is there when its transaction commits.

        Raises:
            InvalidArgument: it would never run, or an option is out of range.
            PgQueueError: as `launch`.
        """
        return self._runner.run(
            schedule_calls.schedule(name, schedule, sql, values, params, options),
            connection or current(self._runner.session.conninfo),
        )

    def schedule_task(
        self,
        name: str,
        schedule: str,
        task: str,
        /,
        args: Sequence[object] = (),
        kwargs: dict[str, object] | None = None,
        *,
        connection: CallerConnection | None = None,
        **options: Unpack[TaskScheduleOptions],
    ) -> int:
        """Send a Celery task by the clock, and return the number of the schedule. One of that name is replaced.

        Args:
            schedule: as for `schedule`.
            connection: as for `schedule`.

        Raises:
            PgQueueError: as `schedule`.
        """
        return self._runner.run(
            schedule_calls.schedule_task(name, schedule, task, args, kwargs, options),
            connection or current(self._runner.session.conninfo),
        )

    def alter_schedule(
        self,
        name: str,
        /,
        *,
        params: Sequence[object] | None = None,
        connection: CallerConnection | None = None,
        **changes: Unpack[ScheduleChanges],
    ) -> None:
        """Change what is given of a schedule, and leave the rest as it is.

        Raises:
            PgQueueError: as `schedule`; or there is no such schedule.
        """
        self._runner.run(
            schedule_calls.alter_schedule(name, params, changes), connection or current(self._runner.session.conninfo)
        )

    def unschedule(self, name: str, *, owner: str | None = None, connection: CallerConnection | None = None) -> None:
        """Remove a schedule; what it has enqueued stays.

        Args:
            owner: for administrators, whose it is.

        Raises:
            PgQueueError: there is none, or it is another role's.
        """
        self._runner.run(schedule_calls.unschedule(name, owner), connection or current(self._runner.session.conninfo))

    def pause_schedule(
        self, name: str, *, owner: str | None = None, connection: CallerConnection | None = None
    ) -> bool:
        """Stop a schedule until it is resumed; return False if it was paused already.

        Raises:
            PgQueueError: as `unschedule`.
        """
        return self._runner.run(schedule_calls.pause(name, owner), connection or current(self._runner.session.conninfo))

    def resume_schedule(
        self, name: str, *, owner: str | None = None, connection: CallerConnection | None = None
    ) -> bool:
        """Let a paused schedule go on with its next instant; return False if it was not paused.

        Raises:
            PgQueueError: as `unschedule`.
        """
        return self._runner.run(
            schedule_calls.resume(name, owner), connection or current(self._runner.session.conninfo)
        )

    def run_schedule(
        self, name: str, *, owner: str | None = None, connection: CallerConnection | None = None
    ) -> int | None:
        """Enqueue what a schedule runs now, beside its instants; return the number of its job or message.

        None: the last run has not ended, and runs must not overlap.

        Raises:
            PgQueueError: as `unschedule`.
        """
        return self._runner.run(schedule_calls.run(name, owner), connection or current(self._runner.session.conninfo))

    def schedules(self, name: str | None = None) -> list[Schedule]:
        """Return the schedules that this role may see, or those of that name.

        Raises:
            PgQueueError: the server could not be asked.
        """
        return self._runner.run(schedule_calls.list_schedules(name))

    def schedule_runs(self, name: str | None = None, *, limit: int = 50) -> list[ScheduleRun]:
        """Return what became of the last due instants, newest first: of all schedules, or of those of that name.

        Raises:
            PgQueueError: the server could not be asked.
        """
        return self._runner.run(schedule_calls.list_runs(name, limit))
