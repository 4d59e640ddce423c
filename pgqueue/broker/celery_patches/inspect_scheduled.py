"""Answer `inspect scheduled` with tasks that wait in the database, which no worker has received.

Celery lists the tasks that wait in the worker's timer. Over this broker tasks with an ETA wait in their queues, so a
worker answers for the queues that it consumes.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from kombu.utils.json import loads

from ...config import URL_SCHEME
from ...db.named_query import NamedQuery

if TYPE_CHECKING:
    from collections.abc import Callable

#: At most this many messages of a worker's queues are shown, the earliest first.
_MOST = 1000


class ScheduledMessage(NamedTuple):
    """A delayed message."""

    queue: str
    eta: str
    priority: int
    document: str


_LIST_SCHEDULED = NamedQuery("list_scheduled", ScheduledMessage)


def answer_for_queues() -> None:
    """Answer `inspect scheduled` from the queues, if this process is a Celery worker. Harmless to repeat."""
    control = sys.modules.get("celery.worker.control")
    if control is None:
        return
    in_timer = control.Panel.data["scheduled"]
    if getattr(in_timer, "__module__", None) == __name__:
        return

    def scheduled(state: Any, **kwargs: Any) -> list[dict[str, Any]]:
        return _scheduled(in_timer, state, **kwargs)

    scheduled.__doc__ = in_timer.__doc__
    scheduled.__module__ = __name__
    control.inspect_command(alias="dump_schedule")(scheduled)


def _scheduled(in_timer: Callable[..., list[dict[str, Any]]], state: Any, **kwargs: Any) -> list[dict[str, Any]]:
    found = in_timer(state, **kwargs)
    consumer = state.consumer
    connection = consumer.connection
    if connection is None or connection.transport.driver_type != URL_SCHEME:
        return found
    names = [queue.name for queue in consumer.task_consumer.queues]
    rows = connection.transport.database.fetch_rows(_LIST_SCHEDULED, queues=names, max_count=_MOST)
    return found + [described for row in rows if (described := _describe(consumer.hostname, row))]


def _describe(hostname: str, row: ScheduledMessage) -> dict[str, Any] | None:
    try:
        return _describe_task(hostname, row, loads(row.document))
    except (AttributeError, LookupError, TypeError, ValueError):
        return None  # A role that may publish can write any JSON; the worker rejects it when it is due.


def _describe_task(hostname: str, row: ScheduledMessage, message: dict[str, Any]) -> dict[str, Any]:
    headers, delivery_info = message["headers"], message["properties"].get("delivery_info") or {}
    args, kwargs = headers.get("argsrepr"), headers.get("kwargsrepr")
    if message.get("content-type") == "application/json" and message.get("content-encoding") == "utf-8":
        args, kwargs = loads(message["body"])[:2]
    return {
        "eta": row.eta,
        # The value that Celery's timer gives to all tasks.
        "priority": 6,
        "request": {
            "id": headers["id"],
            "name": headers.get("shadow") or headers["task"],
            "args": args,
            "kwargs": kwargs,
            "type": headers["task"],
            "hostname": hostname,
            "time_start": None,
            "acknowledged": False,
            "delivery_info": {
                "exchange": delivery_info.get("exchange", ""),
                "routing_key": delivery_info.get("routing_key", row.queue),
                "priority": row.priority,
                "redelivered": False,
            },
            "worker_pid": None,
        },
    }
