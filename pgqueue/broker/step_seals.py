"""Seal the SQL steps in a message over the connection that publishes it: they run as the role that sends them."""

from __future__ import annotations

import json
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import psycopg

from .. import errors
from ..db.caller_transaction import driver_connection
from ..db.named_query import run
from ..encryption import SERIALIZER
from ..errors import InvalidArgument, NotSupported
from ..sql_signature import canonical, find_unsealed, seal_body
from .recorded_messages import RecordedMessages

if TYPE_CHECKING:
    from ..db.caller_transaction import CallerConnection
    from ..db.database import Database
    from ..sql_signature import Step

#: The header of each part of a chord has its body. So seals are kept for a moment, for the login of a connection.
_KEPT_SECONDS = 60.0
_MOST_KEPT = 1000
_kept: OrderedDict[tuple[str, str], tuple[float, Step]] = OrderedDict()


def seal(channel: Any, body: Any, serializer: str | None) -> Any:
    """Return the body of a task with all SQL steps sealed that this process has made.

    Raises:
        InvalidArgument: the message would be encrypted, or a step has options that are not known.
        NotSupported: the broker is not pgqueue.
        NotPermitted: the role is not enrolled.
        psycopg.OperationalError: the server could not be reached.
    """
    if not find_unsealed(body):
        return body
    refuse_encrypted(serializer == SERIALIZER)
    if not hasattr(channel, "seal_steps"):
        raise NotSupported(
            "an SQL step needs pgqueue as the broker of its application", hint="Set broker_url to a pgqueue:// URL."
        )
    return seal_body(body, channel.seal_steps)


def refuse_encrypted(is_encrypted: bool) -> None:
    """Say that steps and encryption do not go together.

    Raises:
        InvalidArgument: `is_encrypted`.
    """
    if is_encrypted:
        raise InvalidArgument(
            "an SQL step cannot be encrypted: PostgreSQL has to read its statement and its parameters",
            hint="Send canvases with SQL from an application whose task_serializer does not encrypt.",
        )


def seal_steps(database: Database, caller: CallerConnection | RecordedMessages | None, steps: list[Step]) -> list[Step]:
    """Return the steps as the current role of the session that publishes has sealed them.

    Args:
        caller: whose transaction the message joins. The jobs inherit the settings of that session.

    Raises:
        psycopg.OperationalError: the server could not be reached.
        PgQueueError: a step is refused.
    """
    if isinstance(caller, RecordedMessages):
        return [caller.find_sealed(step) for step in steps]
    try:
        if caller is not None:
            return _read(run(driver_connection(caller), "seal_steps", to_query(steps, captures=True), prepare=False))
        return _seal_as_login(database, steps)
    except psycopg.DatabaseError as failure:
        if isinstance(failure, psycopg.OperationalError) and caller is None:
            raise
        raise errors.from_driver(failure) from failure


def to_query(steps: list[Step], *, captures: bool) -> dict[str, object]:
    """Return the parameters of the query `seal_steps`."""
    return {"steps": json.dumps(steps), "captures": captures}


def _seal_as_login(database: Database, steps: list[Step]) -> list[Step]:
    keys = [(database.conninfo, canonical(step)) for step in steps]
    now = time.monotonic()
    if any(key not in _kept or _kept[key][0] < now for key in keys):
        sealed = _read(database.fetch("seal_steps", **to_query(steps, captures=False)))
        for key, step in zip(keys, sealed, strict=True):
            _kept[key] = (now + _KEPT_SECONDS, step)
        while len(_kept) > _MOST_KEPT:
            _kept.popitem(last=False)
        return sealed
    return [_kept[key][1] for key in keys]


def _read(rows: list[tuple[Any, ...]]) -> list[Step]:
    return [json.loads(sealed) for (sealed,) in rows]
