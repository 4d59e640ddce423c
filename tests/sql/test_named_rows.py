"""The rows of a named query have the names of its columns: Python reads them by these."""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import pq

import pgqueue
from pgqueue.client import job_calls
from pgqueue.db.named_query import NamedQuery
from pgqueue.sql import numbered
from tests.harness import Database


def _named_queries() -> Iterator[NamedQuery[object]]:
    for module in pkgutil.walk_packages(pgqueue.__path__, "pgqueue."):
        # Django's modules need a project's settings.
        if not module.name.endswith("__main__") and ".django" not in module.name:
            found = vars(importlib.import_module(module.name)).values()
            yield from (value for value in found if isinstance(value, NamedQuery))


QUERIES = {query.name: query for query in _named_queries()}


def _names(query: NamedQuery[object]) -> list[str]:
    if query.row is job_calls._to_status:
        return list(job_calls._STATUS_COLUMNS)
    if dataclasses.is_dataclass(query.row):
        return [field.name for field in dataclasses.fields(query.row)]
    return list(query.row._fields)  # type: ignore[attr-defined]


def _columns(session: psycopg.Connection[object], name: str) -> list[str]:
    pgconn = session.pgconn
    prepared = pgconn.prepare(b"", numbered(name)[0])
    assert prepared.status == pq.ExecStatus.COMMAND_OK, prepared.error_message
    described = pgconn.describe_prepared(b"")
    return [(described.fname(n) or b"").decode() for n in range(described.nfields)]


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
def test_the_rows_of_a_query_are_read_by_the_names_of_its_columns(db: Database, query: NamedQuery[object]) -> None:
    assert _names(query) == _columns(db.connect(), query.name)
