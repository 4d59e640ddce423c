"""Convert Python values to PostgreSQL's text form, and back.

Parameters of a job and values of its result travel as text. psycopg's own dumpers and loaders, with the adapters of the
connection at hand, decide what that text is; no type is handled here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.adapt import PyFormat, Transformer
from psycopg.pq import Format

if TYPE_CHECKING:
    from psycopg.abc import LoadFunc


# DateStyle and IntervalStyle change the text of these types; psycopg reads ISO dates and intervals in the style
# `postgres`.
_DATE_TYPES: tuple[str, ...] = ("date", "timestamp", "timestamptz", "daterange", "tsrange", "tstzrange")
_DATE_TYPES += ("datemultirange", "tsmultirange", "tstzmultirange")
_INTERVAL_TYPES = ("interval",)


def to_array(texts: Sequence[str | None]) -> str:
    """Write texts as PostgreSQL prints an array of them. psycopg's own dumper takes five times as long."""
    return "{" + ",".join("NULL" if text is None else _quote(text) for text in texts) + "}"


def to_array_of_arrays(rows: Sequence[Sequence[str | None]]) -> str:
    """Write rows of texts, all of one length, as PostgreSQL prints an array of them."""
    return "{" + ",".join(to_array(row) for row in rows) + "}"


def _quote(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def dump_parameters(values: Sequence[object], connection: psycopg.BaseConnection[Any] | None) -> list[str | None]:
    """Write Python values as PostgreSQL would print them; None stays None, a mapping becomes JSON.

    Args:
        connection: its adapters and its encoding are used; None: psycopg's own adapters.

    Raises:
        TypeError: psycopg has no text form for a value's type.
    """
    if all(value is None or type(value) in (int, str) for value in values):
        # Most parameters are of these types, and a transformer takes longer than the rest of submitting a job.
        return [None if value is None else str(value) for value in values]
    transformer = Transformer(connection)
    encoding = transformer.encoding
    return [_dump_value(value, transformer, encoding) for value in values]


def _dump_value(value: object, transformer: Any, encoding: str) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return json.dumps(value)
    try:
        written = transformer.get_dumper(value, PyFormat.TEXT).dump(value)
    except psycopg.ProgrammingError as failure:
        raise TypeError(f"a parameter of type {type(value).__name__} has no text form: {failure}") from failure
    return None if written is None else bytes(written).decode(encoding)


def load_rows(
    rows: Sequence[Sequence[str | None]],
    type_oids: Sequence[int],
    connection: psycopg.BaseConnection[Any],
    printed_under: Mapping[str, str],
) -> list[tuple[Any, ...]]:
    """Read rows printed by PostgreSQL into Python values.

    A value of a type that psycopg does not know stays text, and so does one that Python's type cannot hold
    (`infinity`, a date before the year 1), and a date or an interval that was not printed in the default style.

    Args:
        printed_under: DateStyle and IntervalStyle of the session that printed them.
    """
    style = connection.info.parameter_status("DateStyle") or "ISO"
    # psycopg reads dates in the style of the connection it is given, and as ISO when it is given none.
    transformer = Transformer(connection if style.startswith("ISO") else None)
    foreign = _foreign_types(printed_under)
    loaders = [None if oid in foreign else transformer.get_loader(oid, Format.TEXT).load for oid in type_oids]
    encoding = transformer.encoding
    return [tuple(_load_value(value, load, encoding) for value, load in zip(row, loaders, strict=True)) for row in rows]


def _foreign_types(printed_under: Mapping[str, str]) -> set[int]:
    names: tuple[str, ...] = ()
    if not printed_under.get("DateStyle", "ISO").startswith("ISO"):
        names += _DATE_TYPES
    if printed_under.get("IntervalStyle", "postgres") != "postgres":
        names += _INTERVAL_TYPES
    found = [psycopg.adapters.types[name] for name in names]
    return {oid for known in found for oid in (known.oid, known.array_oid)}


def _load_value(value: str | None, load: LoadFunc | None, encoding: str) -> Any:
    if value is None or load is None:
        return value
    try:
        return load(value.encode(encoding))
    except psycopg.DataError:
        return value


def to_interval(value: timedelta | float | None, name: str) -> timedelta | None:
    """Read a duration, given as a timedelta or as seconds.

    Raises:
        TypeError: it is neither.
    """
    if value is None or isinstance(value, timedelta):
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return timedelta(seconds=value)
    raise TypeError(f"{name} must be a timedelta or a number of seconds, not {type(value).__name__}")


def to_instant(value: datetime | None, name: str) -> datetime | None:
    """Check that an instant says its time zone.

    Raises:
        TypeError: it is not a datetime.
        ValueError: it has no time zone, so it names no instant.
    """
    if value is None:
        return None
    if not isinstance(value, datetime):
        raise TypeError(f"{name} must be a datetime, not {type(value).__name__}")
    if value.utcoffset() is None:
        raise ValueError(f"{name} must have a time zone, for example datetime.now(timezone.utc)")
    return value
