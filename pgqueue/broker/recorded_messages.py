"""A connection for Celery that keeps the messages instead of sending them, for a caller that sends them itself."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from kombu.connection import Connection
from psycopg.conninfo import make_conninfo

from ..config import URL_SCHEME, to_url
from ..db.caller_transaction import entered
from ..errors import InvalidArgument
from ..sql_signature import canonical
from .in_transaction import declared_on

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import psycopg

    from ..sql_signature import Step


class RecordedMessages(Connection):
    """Celery's `connection=` for one call. The queues that a task needs are declared at once, on another connection.

    Args:
        app: the Celery application.
        session: the connection over which the messages will be sent, None if it is not psycopg's. Then the queues are
            declared in the database of the application's broker.

    Raises:
        TypeError: there is no such session, and the application's broker is not pgqueue.
    """

    def __init__(self, app: Any, session: psycopg.BaseConnection[Any] | None, **_options: Any) -> None:
        self._app, self._session = app, session
        #: The publishing queries and their parameters, in order.
        self.publications: list[tuple[str, Mapping[str, object]]] = []
        #: SQL steps that were sealed over the connection before the messages were made, by `canonical`.
        self.sealed_steps: dict[str, Step] = {}
        url = _find_url(app, session)
        super().__init__(url, transport_options={"in_transaction_of": self})
        self.connect()
        self.declared_entities = declared_on(url)

    def clone(self, **_kwargs: Any) -> RecordedMessages:
        """Return this connection: what is published over a clone belongs to the same call."""
        return self

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Keep also what Celery publishes without this connection, such as the header of a chord."""
        with entered(cast("Any", self)):
            yield

    def find_sealed(self, step: Step) -> Step:
        """Return an SQL step as the role of the transaction has sealed it.

        Raises:
            InvalidArgument: it was not among what was given to be sent.
        """
        found = self.sealed_steps.get(canonical(step))
        if found is None:
            raise InvalidArgument(
                "an SQL step was made while the call was sent",
                hint="Make all steps before, and send them as one canvas.",
            )
        return found

    def record(self, query_name: str, params: Mapping[str, object]) -> int:
        """Keep a message; return how many queues it has reached as far as its sender needs to know."""
        self.publications.append((query_name, params))
        return 1


def _find_url(app: Any, session: psycopg.BaseConnection[Any] | None) -> str:
    if session is not None:
        info = session.info
        return to_url(make_conninfo(info.dsn, **({"password": info.password} if info.password else {})), URL_SCHEME)
    url = str(app.connection_for_write().as_uri(include_password=True))
    if not url.startswith(URL_SCHEME):
        scheme = url.partition(":")[0]
        raise TypeError(f"the broker of the Celery application is {scheme}, and its transactions are not PostgreSQL's")
    return url
