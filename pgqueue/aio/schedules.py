"""The methods of the client of asyncio about schedules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..client import schedule_calls
from ..db.async_caller import accept

if TYPE_CHECKING:
    from collections.abc import Sequence

    from typing_extensions import Unpack

    from ..client.schedule_arguments import ScheduleChanges, SqlScheduleOptions, TaskScheduleOptions
    from ..client.values import Schedule, ScheduleRun
    from ..db.async_caller import AsyncCallerConnection
    from .runner import AsyncRunner


class AsyncClientSchedules:
    """SQL and tasks by the clock: a part of `AsyncClient`, in a file of its own because of its length."""

    _runner: AsyncRunner

    async def schedule(
        self,
        name: str,
        schedule: str,
        sql: str,
        /,
        *values: object,
        params: Sequence[object] | None = None,
        connection: AsyncCallerConnection | None = None,
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
        return await self._runner.run(
            schedule_calls.schedule(name, schedule, sql, values, params, options), accept(connection)
        )

    async def schedule_task(
        self,
        name: str,
        schedule: str,
        task: str,
        /,
        args: Sequence[object] = (),
        kwargs: dict[str, object] | None = None,
        *,
        connection: AsyncCallerConnection | None = None,
        **options: Unpack[TaskScheduleOptions],
    ) -> int:
        """Send a Celery task by the clock, and return the number of the schedule. One of that name is replaced.

        Args:
            schedule: as for `schedule`.
            connection: as for `schedule`.

        Raises:
            PgQueueError: as `schedule`.
        """
        return await self._runner.run(
            schedule_calls.schedule_task(name, schedule, task, args, kwargs, options), accept(connection)
        )

    async def alter_schedule(
        self,
        name: str,
        /,
        *,
        params: Sequence[object] | None = None,
        connection: AsyncCallerConnection | None = None,
        **changes: Unpack[ScheduleChanges],
    ) -> None:
        """Change what is given of a schedule, and leave the rest as it is.

        Raises:
            PgQueueError: as `schedule`; or there is no such schedule.
        """
        await self._runner.run(schedule_calls.alter_schedule(name, params, changes), accept(connection))

    async def unschedule(
        self, name: str, *, owner: str | None = None, connection: AsyncCallerConnection | None = None
    ) -> None:
        """Remove a schedule; what it has enqueued stays.

        Args:
            owner: for administrators, whose it is.

        Raises:
            PgQueueError: there is none, or it is another role's.
        """
        await self._runner.run(schedule_calls.unschedule(name, owner), accept(connection))

    async def pause_schedule(
        self, name: str, *, owner: str | None = None, connection: AsyncCallerConnection | None = None
    ) -> bool:
        """Stop a schedule until it is resumed; return False if it was paused already.

        Raises:
            PgQueueError: as `unschedule`.
        """
        return await self._runner.run(schedule_calls.pause(name, owner), accept(connection))

    async def resume_schedule(
        self, name: str, *, owner: str | None = None, connection: AsyncCallerConnection | None = None
    ) -> bool:
        """Let a paused schedule go on with its next instant; return False if it was not paused.

        Raises:
            PgQueueError: as `unschedule`.
        """
        return await self._runner.run(schedule_calls.resume(name, owner), accept(connection))

    async def run_schedule(
        self, name: str, *, owner: str | None = None, connection: AsyncCallerConnection | None = None
    ) -> int | None:
        """Enqueue what a schedule runs now, beside its instants; return the number of its job or message.

        None: the last run has not ended, and runs must not overlap.

        Raises:
            PgQueueError: as `unschedule`.
        """
        return await self._runner.run(schedule_calls.run(name, owner), accept(connection))

    async def schedules(self, name: str | None = None) -> list[Schedule]:
        """Return the schedules that this role may see, or those of that name.

        Raises:
            PgQueueError: the server could not be asked.
        """
        return await self._runner.run(schedule_calls.list_schedules(name))

    async def schedule_runs(self, name: str | None = None, *, limit: int = 50) -> list[ScheduleRun]:
        """Return what became of the last due instants, newest first: of all schedules, or of those of that name.

        Raises:
            PgQueueError: the server could not be asked.
        """
        return await self._runner.run(schedule_calls.list_runs(name, limit))
