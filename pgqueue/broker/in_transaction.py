"""Publish in the caller's own transaction, as a block and as Celery's `connection=`. A rollback sends nothing."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from kombu.connection import Connection
from psycopg.conninfo import make_conninfo

from ..config import URL_SCHEME, to_url
from ..db.caller_transaction import driver_connection, entered
from ..db.named_query import run
from ..tracing import current_traceparent

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from ..db.caller_transaction import CallerConnection

_declared: dict[str, set[int]] = {}


def declared_on(url: str) -> set[int]:
    """Return the declarations made on a database: connections for one call live too briefly to remember them."""
    return _declared.setdefault(url, set())


class in_transaction(Connection):  # noqa: N801 - it is written as a block
    """Send tasks in the transaction of `connection`, so that they are sent only if it commits.

    As a block: everything that this thread or asyncio task, and each asyncio task that it starts inside, publishes or
    enqueues before the block ends. As Celery's `connection=`: that one call. The messages go to the database of
    `connection`. Queues that a task needs are declared at once, on another connection.

    Args:
        connection: a psycopg connection; SQLAlchemy's Connection or Session on psycopg 3; Django's `connection`.

    Raises:
        TypeError: `connection` is none of these, or uses another driver.
    """

    def __init__(self, connection: CallerConnection, **_options: Any) -> None:
        info = driver_connection(connection).info
        url = to_url(make_conninfo(info.dsn, **({"password": info.password} if info.password else {})), URL_SCHEME)
        super().__init__(url, transport_options={"in_transaction_of": connection})
        self._given = connection
        self._blocks = contextlib.ExitStack()
        self.connect()
        self.declared_entities = declared_on(url)

    def clone(self, **_kwargs: Any) -> in_transaction:
        """Return another connection in the same transaction."""
        return in_transaction(self._given)

    def __enter__(self) -> Self:
        if (traceparent := current_traceparent()) is not None:
            # Triggers in the transaction pass it on.
            run(driver_connection(self._given), "set_traceparent", {"traceparent": traceparent}, prepare=False)
        self._blocks.enter_context(entered(self._given))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._blocks.close()
