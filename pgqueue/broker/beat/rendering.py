"""The message that beat would send for an entry: Celery makes it, and it is stored instead of published.

So routes, options, headers and serializers are Celery's business. The parts that differ
from one run to the next are left out: the id, the due time and the expiry, which the database fills in when it fires.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from numbers import Real
from typing import TYPE_CHECKING, Any

from ...encryption import CONTENT_TYPE
from ...errors import InvalidArgument
from ..envelope import ETA_HEADER, to_row

if TYPE_CHECKING:
    from celery import Celery
    from celery.beat import ScheduleEntry

#: In the place of the id of each run: pgqueue._message_to_send looks for it.
_NO_ID = "00000000-0000-4000-8000-000000000000"

#: How a scheduler sends an entry with a producer.
Send = Callable[["ScheduleEntry", Any], object]


def check_app(app: Celery) -> None:
    """Check that what an application sends can be kept.

    Raises:
        InvalidArgument: it would run tasks instead of sending them, or sends them by the old protocol.
    """
    if app.conf.task_always_eager:
        raise InvalidArgument(
            "the application runs its tasks instead of sending them", hint="Set task_always_eager to False."
        )
    if app.conf.task_protocol != 2:
        raise InvalidArgument(
            "messages of Celery's protocol 1 cannot be scheduled", hint="Leave task_protocol as it is: 2."
        )


def render(app: Celery, entry: ScheduleEntry, producer: Any, send: Send) -> dict[str, object]:
    """Return what the database needs to send an entry as beat does: `queue`, `priority` and `sending`.

    Queues are declared as beat does it when it sends.

    Raises:
        InvalidArgument: it cannot be kept.
    """
    from celery.beat import BeatLazyFunc

    if any(isinstance(value, BeatLazyFunc) for value in (*(entry.args or ()), *(entry.kwargs or {}).values())):
        raise InvalidArgument(
            "its arguments are computed when it is sent (BeatLazyFunc)",
            hint="Compute them in the task, or keep beat for this entry.",
        )
    options = dict(entry.options or {})
    sending: dict[str, object] = {}
    if "task_id" in options:
        sending["task_id"] = str(options["task_id"])
    # Copies, since beat writes into the headers of an entry.
    options = {"task_id": _NO_ID, **options, "headers": dict(options.get("headers") or {})}
    taken: list[tuple[Mapping[str, Any], str, str, int]] = []
    channel = producer.channel

    def keep(message: Mapping[str, Any], exchange: str, routing_key: str, **_kwargs: object) -> int:
        taken.append((message, exchange or "", routing_key or "", channel._get_message_priority(message)))
        return 1

    channel.basic_publish = keep
    try:
        send(type(entry)(**dict(entry, options=options)), producer)
    finally:
        del channel.basic_publish
    # Of the events that tasks were sent nothing is true yet.
    tasks = [sent for sent in taken if sent[1] != "celeryev"]
    if len(tasks) != 1:
        raise InvalidArgument(
            f"its task publishes {len(tasks)} messages and not one",
            hint="Schedule a task that sends the others when it runs.",
        )
    message, exchange, routing_key, priority = tasks[0]
    if message.get("content-type") == CONTENT_TYPE:
        raise InvalidArgument(
            "its arguments would be encrypted, and the server that sends it has no key",
            hint='Give the entry the option serializer "json" and arguments that are no secret, or keep beat for it.',
        )
    row = to_row(message, exchange, routing_key)
    kept = json.loads(row.message)
    headers = kept["headers"]
    if options.get("countdown"):
        sending["delay"] = float(options["countdown"])
        headers.pop(ETA_HEADER, None)
    elif row.eta is not None:
        sending["eta"] = row.eta.isoformat()
    expires = options.get("expires", getattr(app.tasks.get(entry.task), "expires", None))
    if isinstance(expires, Real) and headers.get("expires"):
        sending["expires"] = float(expires)
        headers["expires"] = None
    if row.ttl_seconds is not None and headers.get("expires") and "expiration" not in options:
        # Celery has counted it from now to an instant, and it is the instant that stays.
        del kept["properties"]["expiration"]
        sending["until"] = headers["expires"]
    elif row.ttl_seconds is not None:
        sending["ttl"] = row.ttl_seconds
    if exchange:
        sending["exchange"] = exchange
    # These name the process that sends, which is no particular one.
    headers.pop("origin", None)
    kept["properties"]["reply_to"] = ""
    sending["message"] = kept
    return {"queue": routing_key or exchange, "priority": priority, "sending": sending}
