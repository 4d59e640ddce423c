"""Handing in a job and seeing how it ended, in a line each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from tests.harness.database import Connection
from tests.harness.eventually import eventually

_TIMEOUT = 60.0


@dataclass(frozen=True)
class LaunchedJob:
    """A job of a session."""

    session: Connection
    id: int
    cookie: int

    @property
    def row(self) -> dict[str, Any]:
        """What pgqueue.jobs shows of it now."""
        with self.session.cursor(row_factory=dict_row) as cursor:
            cursor.execute("select * from pgqueue.jobs where id = %s", [self.id])
            row = cursor.fetchone()
        assert row is not None
        return row

    @property
    def state(self) -> str:
        """Where it stands."""
        return str(self.row["state"])

    def wait_until(self, state: str) -> LaunchedJob:
        """Return when it is in a state."""
        eventually(lambda: self.state == state, _TIMEOUT, what=f"job {self.id} {state}, is {self.row}")
        return self

    def end(self) -> dict[str, Any]:
        """Wait for its end; return what pgqueue.jobs then shows."""
        # Looking, not pgqueue.wait: its snapshot would hold up a job that waits for old snapshots.
        eventually(lambda: self.row["ended_at"] is not None, _TIMEOUT, what=f"the end of job {self.id}, is {self.row}")
        return self.row

    def result(self, columns: str) -> list[tuple[Any, ...]]:
        """Read its result as a column definition list says, or raise its error."""
        return self.session.execute(
            f"select * from pgqueue.result((%s, %s)::pgqueue.handle) as ({columns})",  # type: ignore[arg-type]
            [self.id, self.cookie],
        ).fetchall()

    def error(self) -> psycopg.Error:
        """Return the error that reading its result raises."""
        try:
            self.result("x text")
        except psycopg.Error as error:
            return error
        raise AssertionError(f"job {self.id} has no error: {self.row}")

    def cancel(self, grace: str = "0") -> bool:
        """Cancel it."""
        row = self.session.execute(
            "select pgqueue.cancel((%s, %s)::pgqueue.handle, %s)", [self.id, self.cookie, grace]
        ).fetchone()
        assert row is not None
        return bool(row[0])


def launch(session: Connection, statement: str, **options: object) -> LaunchedJob:
    """Launch a job with the given options."""
    return hand_in(session, "launch", statement, **options)


def submit(session: Connection, statement: str, **options: object) -> LaunchedJob:
    """Submit a job with the given options: the batch lane tries it first."""
    return hand_in(session, "submit", statement, **options)


def hand_in(session: Connection, function: str, statement: str, **options: object) -> LaunchedJob:
    """Call launch, submit or enqueue."""
    given = [sql.SQL("{} => {}").format(sql.Identifier(name), sql.Literal(value)) for name, value in options.items()]
    call = sql.SQL("select (h).id, (h).cookie from pgqueue.{}({}) h").format(
        sql.Identifier(function), sql.SQL(", ").join([sql.Literal(statement), *given])
    )
    row = session.execute(call).fetchone()
    assert row is not None
    return LaunchedJob(session, *row)
