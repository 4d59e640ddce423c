"""Celery's `delay` and `apply_async` from a coroutine, also in its own transaction.

kombu publishes with blocking calls, so Celery makes the message in a thread of asyncio's. Outside of a transaction that
thread sends it; inside, the message comes back and is sent over the coroutine's connection.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..db.async_caller import accept, find_transaction
from ..sql_signature import canonical, find_unsealed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..db.async_caller import AsyncCallerConnection


async def delay(task: Any, /, *args: Any, **kwargs: Any) -> Any:
    """Send a Celery task as `task.delay` does, without blocking the event loop, and return its AsyncResult.

    Raises:
        kombu.exceptions.OperationalError: the broker cannot be reached.
    """
    return await apply_async(task, args, kwargs)


async def apply_async(
    task: Any,
    args: Sequence[Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    *,
    connection: AsyncCallerConnection | None = None,
    **options: Any,
) -> Any:
    """Send a Celery task or a canvas as its `apply_async` does, without blocking the event loop; return its result.

    A canceled call may have sent it. With a `task_id` among the options it is known which one.

    Args:
        task: a task, a signature, a chain or a group.
        connection: psycopg's AsyncConnection, SQLAlchemy's AsyncConnection or AsyncSession, or asyncpg's Connection: it
            is sent if and when that transaction commits. Queues that it needs are declared at once, on another
            connection.

    Raises:
        TypeError: `connection` is none of these, or uses another driver.
        kombu.exceptions.OperationalError: the broker cannot be reached.
        PgQueueError: the server refused the message in the transaction of `connection`.
    """
    given = accept(connection)
    if given is None:
        return await asyncio.to_thread(_send, task, args, kwargs, options)
    from ..broker.recorded_messages import RecordedMessages
    from ..broker.step_seals import to_query

    transaction = await find_transaction(given)
    recorded = RecordedMessages(task.app, transaction.session)
    if steps := find_unsealed((task if isinstance(task, Mapping) else None, args, kwargs, options)):
        rows = await transaction.fetch("seal_steps", to_query(steps, captures=True))
        recorded.sealed_steps = {canonical(step): json.loads(row[0]) for step, row in zip(steps, rows, strict=True)}

    def record() -> Any:
        with recorded.recording():
            return _send(task, args, kwargs, {**options, "connection": recorded})

    result = await asyncio.to_thread(record)
    for query, params in recorded.publications:
        await transaction.fetch(query, params)
    return result


def _send(task: Any, args: Sequence[Any] | None, kwargs: Mapping[str, Any] | None, options: Mapping[str, Any]) -> Any:
    return task.apply_async(args, kwargs, **options)
