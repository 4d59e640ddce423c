"""Fixtures for those who take part: users with their sessions, the owner, a worker that a test plays."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest

from tests.harness.claimant import Claimant
from tests.harness.database import Connection, Database

Raised = psycopg.Error
Refusal = Callable[..., psycopg.Error]


@pytest.fixture
def owner(db: Database) -> Connection:
    """A session of the role that installed pgqueue: a superuser, unless the server is a managed one."""
    return db.connect()


@pytest.fixture
def superuser(db: Database) -> Connection:
    """A superuser's session, for what the role that installed pgqueue cannot do on every server."""
    return db.connect("postgres")


@pytest.fixture
def alice(db: Database) -> Connection:
    """A session of an enrolled role without other rights."""
    return db.connect(db.create_role("alice"))


@pytest.fixture
def bob(db: Database) -> Connection:
    """A session of another enrolled role."""
    return db.connect(db.create_role("bob"))


@pytest.fixture
def worker(db: Database) -> Claimant:
    """A worker whose steps the test takes."""
    return Claimant(db)


def refused(session: Connection, statement: str, params: object = None) -> psycopg.Error:
    """Run a statement that has to fail; return its error."""
    with pytest.raises(psycopg.Error) as raised:
        session.execute(statement, params)  # type: ignore[arg-type]
    return raised.value


def fetch_one(session: Connection, statement: str, params: object = None) -> tuple:  # type: ignore[type-arg]
    """Return the first row."""
    row = session.execute(statement, params).fetchone()  # type: ignore[arg-type]
    assert row is not None, "no row"
    return row


def fetch_value(session: Connection, statement: str, params: object = None) -> object:
    """Return the first column of the first row."""
    return fetch_one(session, statement, params)[0]
