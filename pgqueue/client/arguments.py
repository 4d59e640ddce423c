"""Convert Python values to the arguments of the SQL functions that submit jobs."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol, TypedDict

from kombu.utils import json as kombu_json

from ..db.text_format import dump_parameters, to_array, to_instant, to_interval
from ..errors import NotSupported
from ..handle import Handle, dump_handles

if TYPE_CHECKING:
    import psycopg


class HasHandle(Protocol):
    """A job of either client."""

    @property
    def handle(self) -> Handle:
        """Return the handle of the job."""


class JobOptions(TypedDict, total=False):
    """The options of launch, submit and enqueue, as in the SQL API; durations are timedelta or seconds."""

    queue: str
    priority: int
    delay: timedelta | float | None
    eta: datetime | None
    expires: datetime | None
    timeout: timedelta | float | None
    max_attempts: int | None
    backoff: timedelta | float | None
    unique_key: str | None
    label: str | None
    durability: str | None
    traceparent: str | None
    limit_key: str | None
    after: Sequence[Handle | HasHandle | str | int] | None
    on_parent_failure: str | None
    batch: int | None
    unique_for: timedelta | float | None
    on_conflict: str


#: Names under which a caller may look for encryption.
_ENCRYPTION_OPTIONS = frozenset({"encrypt", "encrypted", "encryption", "serializer"})


def new_cookie() -> int:
    """Return the secret of a new handle."""
    # 64 unpredictable bits, as pgqueue._random_bigint() returns. On some servers that function takes 20 times as long.
    return int.from_bytes(os.urandom(8), "big", signed=True)


def to_json(value: object) -> str:
    """Write a value of a Celery task as JSON."""
    # The format is Celery's, so instants, decimals and UUIDs arrive in the task with their types.
    return str(kombu_json.dumps(value))  # type: ignore[no-untyped-call]


def job_arguments(
    session: psycopg.BaseConnection[Any] | None, sql: str, values: Sequence[object], options: JobOptions
) -> dict[str, object]:
    """Return the parameters of a query that submits a job.

    Raises:
        TypeError: there is no such option.
        NotSupported: encryption was asked for.
    """
    unknown = options.keys() - JobOptions.__annotations__.keys()
    if unknown:
        if not unknown.isdisjoint(_ENCRYPTION_OPTIONS):
            raise NotSupported(
                "the parameters of an SQL job cannot be encrypted: PostgreSQL runs the job, and has no key",
                sqlstate="0A000",
                hint="Send a Celery task with the serializer pgqueue-encrypted+json, or store the secret encrypted in "
                "a table and pass its key column.",
            )
        raise TypeError(f"unknown option: {', '.join(sorted(unknown))}")
    return {
        "sql": sql,
        "params": to_array(dump_parameters(values, session)) if values else None,
        "queue": options.get("queue", "default"),
        "options": _dump_options({**_DEFAULTS, **options}) if options else _DUMPED_DEFAULTS,
    }


def _dump_options(options: Mapping[str, Any]) -> str:
    """Return options as JSON with the fields of pgqueue.job_options."""
    dumped = dict(options)
    for name in ("delay", "timeout", "backoff", "unique_for"):
        duration = to_interval(options.get(name), name)
        if duration is not None:
            dumped[name] = f"{duration.days} days +{duration.seconds}.{duration.microseconds:06} seconds"
    for name in ("eta", "expires"):
        instant = to_instant(options.get(name), name)
        if instant is not None:
            dumped[name] = instant.isoformat()
    if options.get("after") is not None:
        dumped["after"] = dump_handles(options["after"])
    return json.dumps(dumped, default=str)


_DEFAULTS: Mapping[str, Any] = {"queue": "default", "priority": 0}
#: Most jobs have no options; to write this for each of them would take an eighth of the time of the client.
_DUMPED_DEFAULTS = _dump_options(_DEFAULTS)


def check_many(
    statements: str | Sequence[str], params: Sequence[object] | None, rows: Sequence[Sequence[object]] | None
) -> list[str]:
    """Return the statements; raise an error for mistakes that would otherwise fail each job later."""
    is_one = isinstance(statements, str)
    texts = [statements] if isinstance(statements, str) else list(statements)
    if any(not isinstance(text, str) for text in texts):
        raise TypeError("each statement is a str; for one statement with parameters for each job give rows=")
    if rows is None:
        if is_one:
            raise TypeError("one statement for many jobs needs rows=, the parameters of each job")
        if params and all(isinstance(value, (list, tuple)) for value in params):
            raise TypeError("params is one list for all jobs; for parameters of each job's own give rows=")
        return texts
    if params is not None:
        raise TypeError("give the parameters either once as params= or for each job as rows=, not both")
    if len(texts) != 1:
        raise TypeError(f"rows= are the parameters of one statement, and {len(texts)} are given")
    if any(isinstance(row, str) or not isinstance(row, Sequence) for row in rows):
        raise TypeError("rows= is a list of lists: the parameters of each job")
    if any(len(row) == 0 for row in rows):
        raise TypeError("rows= are the parameters of each job, and one has none")
    if len({len(row) for row in rows}) > 1:
        raise TypeError("rows= must all be of the same length: they are the parameters of one statement")
    return texts
