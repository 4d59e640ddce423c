"""The context of the demo: a client on its stack, its own SQL files, and the console to which it prints."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.resources import files
from typing import Any, TypeVar

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..client.client import Client
from ..db.client_session import ClientSession
from ..db.named_query import run_text
from ..errors import DemoFailed

Answer = TypeVar("Answer")

_PATIENCE_SECONDS = 20.0
_POLL_SECONDS = 0.05


@cache
def statement(name: str) -> str:
    """Return one of the demo's statements."""
    return (files(__package__) / "sql" / f"{name}.sql").read_text(encoding="utf-8").strip()


class DemoContext:
    """The objects with which a check of the demo works."""

    def __init__(
        self, client: Client, session: ClientSession, flower_url: str, worker_name: str, console: Console
    ) -> None:
        self.client = client
        self.session = session
        self.flower_url = flower_url
        self.worker_name = worker_name
        self.console = console

    def tell(self, line: str) -> None:
        """Print what happened."""
        self.console.print(Text(f"   {line}"), soft_wrap=True)

    def show(self, sql: str) -> None:
        """Print a statement that is sent."""
        for position, line in enumerate(sql.splitlines()):
            self.console.print(Text(f"   {'>' if position == 0 else ' '} {line}", style="cyan"), soft_wrap=True)

    def show_statement(self, name: str) -> str:
        """Print one of the demo's statements and return it."""
        self.show(statement(name))
        return statement(name)

    def execute(self, name: str) -> None:
        """Print one of the demo's statements and run it."""
        run_text(self.session.connection, self.show_statement(name))

    @contextmanager
    def rolled_back(self) -> Iterator[None]:
        """Put what is done inside into a transaction that is rolled back."""
        self.show("begin")
        with self.session.connection.transaction(force_rollback=True):
            yield
        self.show("rollback")

    def fetch(self, name: str, *, quiet: bool = False) -> list[tuple[Any, ...]]:
        """Run one of the demo's statements and return its rows, printing it unless `quiet`."""
        sql = statement(name) if quiet else self.show_statement(name)
        return run_text(self.session.connection, sql)

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Print a table."""
        table = Table(*columns, box=None, pad_edge=False)
        for row in rows:
            table.add_row(*(str(value) for value in row))
        self.console.print(table)

    def wait_for(self, look: Callable[[], Answer], otherwise: str) -> Answer:
        """Look until there is an answer, and return it.

        Raises:
            DemoFailed: there was none in time.
        """
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < deadline:
            answer = look()
            if answer:
                return answer
            time.sleep(_POLL_SECONDS)
        raise DemoFailed(otherwise)
