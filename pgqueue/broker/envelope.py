"""Convert a kombu message to a row of the queue, and back.

Columns of the row say when the message is due and when it expires. The rest is one JSON document, with the body as
readable text wherever it is text.
"""

from __future__ import annotations

import base64
import re
import uuid
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any, NamedTuple

from kombu.utils.json import dumps, loads

from ..errors import InvalidArgument
from ..handle import dump_handles

#: The header with the original due time of a message. A Celery task finds it in `request.eta` (eta_header).
ETA_HEADER = "published_eta"
#: The header that counts earlier deliveries, if there were any: as in RabbitMQ's quorum queues.
COUNT_HEADER = "x-delivery-count"
#: The header, in the memory of a worker only, with the claim of a task that may be in a batch, and the id of the task.
CLAIM_HEADER = "pgqueue_claim"
_CLAIM = re.compile(r"(?P<id>\d{1,18}):(?P<token>-?\d{1,19}):(?P<task_id>.*)", re.DOTALL)
#: The options of `apply_async` about jobs to wait for and a batch, which reach this as properties of the message.
DEPENDENCE_OPTIONS = ("after", "on_parent_failure", "batch")
#: How long keys may be, by the header that has them.
_KEY_BYTES = {"limit_key": 255, "unique_key": 1000}
#: The headers with the unique key of a task, for how many seconds it stays taken, and whether a second one replaces it.
UNIQUENESS_HEADERS = ("unique_key", "unique_for", "on_conflict")
_ON_CONFLICT = ("keep", "replace", "debounce", "raise")
_HEADER_IDS = ("id", "root_id", "parent_id", "group")


#: The errors of reading a document that is no message, from any layer.
MALFORMED = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)


class Uniqueness(NamedTuple):
    """The unique key of a task, and what it means."""

    unique_key: str
    unique_for: float | None = None
    on_conflict: str = "keep"


class Dependence(NamedTuple):
    """The jobs that a task waits for, its batch, and the task that it continues."""

    #: The jobs that it waits for, as JSON's handles.
    after: list[dict[str, int | None]] | None = None
    on_parent_failure: str | None = None
    batch: int | None = None
    #: The claim of the task that sends itself again: it goes on in the batch of that.
    continues_id: int | None = None
    continues_token: int | None = None


class Row(NamedTuple):
    """The columns that publishing sends to the server."""

    message: str
    eta: datetime | None
    ttl_seconds: float | None
    is_transient: bool
    limit_key: str | None = None
    uniqueness: Uniqueness | None = None
    task_id: str | None = None
    dependence: Dependence | None = None


def to_row(message: Mapping[str, Any], exchange: str, routing_key: str) -> Row:
    """Write a message for the server, leaving the caller's objects as they are: kombu publishes them again on an error.

    A due time is moved from `headers.eta` to `headers.published_eta`: the broker holds the message until it is due. A
    worker that saw an eta, even one in the past, would take the task through its timer and raise its prefetch count. An
    eta without a UTC offset stays where it is, because only the worker knows its time zone.

    Raises:
        InvalidArgument: every consumer would refuse the message.
    """
    headers = dict(message["headers"] or {})
    _make_ids_text(headers, _HEADER_IDS)
    for name in ("id", "task"):
        if not isinstance(headers.get(name, ""), str):
            raise InvalidArgument(
                f"the header {name} must be a string, not {type(headers[name]).__name__}",
                hint="No consumer would take the message.",
            )
    # A message that a consumer publishes again, with all its headers, counts as never delivered.
    headers.pop(COUNT_HEADER, None)
    claim = headers.pop(CLAIM_HEADER, None)
    eta = _to_instant(headers.get("eta"))
    if eta is not None:
        headers[ETA_HEADER], headers["eta"] = headers["eta"], None
    properties = dict(message["properties"])
    dependence = _take_dependence(properties, claim, headers.get("id"))
    _make_ids_text(properties, ("correlation_id",))
    properties["delivery_info"] = {
        **(properties.get("delivery_info") or {}),
        "exchange": exchange,
        "routing_key": routing_key,
    }
    body, encoding = encode_body(message["body"])
    properties["body_encoding"] = encoding
    expiration = properties.get("expiration")
    document = {**message, "body": body, "headers": headers, "properties": properties}
    try:
        text = dumps(document, allow_nan=False)
    except ValueError as failure:
        raise InvalidArgument(
            f"a message's headers and properties must be JSON: {failure}",
            hint="JSON has no NaN and no infinite numbers: put them into the body, or leave them out.",
        ) from failure
    return Row(
        message=text,
        eta=eta,
        ttl_seconds=None if expiration is None else int(expiration) / 1000,
        is_transient=properties.get("delivery_mode") == 1,
        limit_key=_find_key(headers, "limit_key"),
        uniqueness=_find_uniqueness(headers),
        task_id=headers.get("id"),
        dependence=dependence,
    )


def from_row(document: str, delivery_tag: str, earlier_deliveries: int) -> dict[str, Any]:
    """Convert a claimed message to the form of kombu's virtual transports.

    Raises:
        MALFORMED: the document is no message of kombu. A role that may publish can write any JSON.
    """
    message: dict[str, Any] = loads(document)
    properties = message["properties"]
    properties["delivery_tag"] = delivery_tag
    properties["delivery_info"] = {**(properties.get("delivery_info") or {}), "redelivered": earlier_deliveries > 0}
    for name in ("id", "task"):
        # Celery requires this header, and finds tasks by these.
        if not isinstance((message.get("headers") or {}).get(name, ""), str):
            raise ValueError(f"the header {name} is not a string")
    if earlier_deliveries:
        message["headers"] = {**(message.get("headers") or {}), COUNT_HEADER: earlier_deliveries}
    return message


def encode_body(body: object) -> tuple[object, str | None]:
    """Return the body as text that JSON can hold, and how it is encoded: not at all, or as base64."""
    if isinstance(body, str):
        # PostgreSQL's text type has no NUL character.
        return (body, None) if "\0" not in body else (_to_base64(body.encode()), "base64")
    if isinstance(body, (bytes, bytearray, memoryview)):
        raw = bytes(body)
        try:
            text = raw.decode()
        except UnicodeDecodeError:
            return _to_base64(raw), "base64"
        return (text, None) if "\0" not in text else (_to_base64(raw), "base64")
    return body, None


def _find_key(headers: Mapping[str, Any], name: str) -> str | None:
    value = headers.get(name)
    if value is None:
        return None
    if not isinstance(value, (str, int, uuid.UUID)) or not 1 <= len(str(value).encode()) <= _KEY_BYTES[name]:
        raise InvalidArgument(
            f"the header {name} must be text of 1 to {_KEY_BYTES[name]} bytes",
            hint="It says whose limit counts, or which tasks are the same. Leave it out for none.",
        )
    return str(value)


def _find_uniqueness(headers: Mapping[str, Any]) -> Uniqueness | None:
    key, seconds, on_conflict = (headers.get(name) for name in UNIQUENESS_HEADERS)
    if key is None and seconds is None and on_conflict in (None, "keep"):
        return None
    if key is None:
        name = "unique_for" if seconds is not None else "on_conflict"
        raise InvalidArgument(
            f"the header {name} needs the header unique_key", hint="It says which tasks are the same."
        )
    if seconds is not None and (isinstance(seconds, bool) or not isinstance(seconds, (int, float))):
        raise InvalidArgument("the header unique_for must be a number of seconds", hint="For example 3600 for an hour.")
    if on_conflict not in (None, *_ON_CONFLICT):
        raise InvalidArgument(f"the header on_conflict must be one of {', '.join(_ON_CONFLICT)}")
    if headers.get("group") and on_conflict in (None, "keep"):
        raise InvalidArgument(
            "a task of a group cannot have a unique key with on_conflict keep: the group would wait for another task",
            hint="Send it by itself, or with on_conflict replace or raise.",
        )
    return Uniqueness(str(_find_key(headers, "unique_key")), seconds, on_conflict or "keep")


def _take_dependence(properties: dict[str, Any], claim: object, task_id: object) -> Dependence | None:
    """Take out of a message's properties what `apply_async` was given of jobs to wait for and of a batch."""
    after, mode, batch = (properties.pop(name, None) for name in DEPENDENCE_OPTIONS)
    if mode not in (None, "cancel", "run"):
        raise InvalidArgument(f"on_parent_failure {mode!r} is not known", hint="It is cancel (the default) or run.")
    if batch is not None and (isinstance(batch, bool) or not isinstance(batch, int)):
        raise InvalidArgument(f"batch must be a number, not {batch!r}", hint="It is what pgqueue.batch returns.")
    try:
        parents = None if after is None else dump_handles(after)
    except (TypeError, ValueError) as failure:
        raise InvalidArgument(str(failure), hint="A Celery task is no job: put it into a batch instead.") from failure
    continued = _parse_claim(claim, task_id)
    if not parents and batch is None and continued is None:
        return None
    return Dependence(parents, mode, batch, *(continued or ()))


def to_claim(delivery_tag: str, task_id: object) -> str:
    """Write a claim for the header of its task, by which a retry of the task continues it."""
    return f"{delivery_tag}:{task_id}"


def _parse_claim(claim: object, task_id: object) -> tuple[int, int] | None:
    match = _CLAIM.fullmatch(claim) if isinstance(claim, str) else None
    # Another task that was sent with the headers of this one does not continue it.
    return None if match is None or match["task_id"] != task_id else (int(match["id"]), int(match["token"]))


def _make_ids_text(fields: dict[str, Any], names: tuple[str, ...]) -> None:
    """Convert ids that are given as UUIDs to the text by which messages are found."""
    for name in names:
        if isinstance(fields.get(name), uuid.UUID):
            fields[name] = str(fields[name])


def _to_base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")


def _to_instant(eta: object) -> datetime | None:
    if not isinstance(eta, str):
        return None
    try:
        instant = datetime.fromisoformat(eta[:-1] + "+00:00" if eta.endswith("Z") else eta)
    except ValueError:
        return None
    return None if instant.tzinfo is None else instant.astimezone(timezone.utc)
