"""From Django's `DATABASES` to connection strings, and back to Django's connections."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from ..client.client import Client
from ..config import URL_SCHEME, to_url
from .settings import database_alias, setting

if TYPE_CHECKING:
    from ..db.caller_transaction import DjangoConnection

#: The parameters of libpq that are passed on, among those with which Django connects.
_LIBPQ = frozenset(option.keyword.decode() for option in pq.Conninfo.get_defaults()) - {"client_encoding"}
#: By their conninfo, which changes where a test runner puts another database in the place of the project's.
_clients: dict[str, Client] = {}
_places: dict[tuple[Any, ...], dict[str, str]] = {}
#: The parameters that say which database it is.
_PLACE = {"host": "", "port": "5432", "dbname": "", "service": ""}


def queue_connection(alias: str | None = None) -> Any:
    """Return Django's connection to the database that has the queue.

    Raises:
        ImproperlyConfigured: it is not PostgreSQL with psycopg 3.
    """
    connection = connections[alias or database_alias()]
    if connection.vendor != "postgresql" or not getattr(connection.Database, "__version__", "2").startswith("3"):
        raise ImproperlyConfigured(
            f"the database {connection.alias} is not PostgreSQL with psycopg 3, which pgqueue needs: "
            "use ENGINE django.db.backends.postgresql and install psycopg, or name another in PGQUEUE['database']"
        )
    return connection


def dsn_of(connection: Any) -> str:
    """Return the conninfo with which Django opens a connection."""
    params = connection.get_connection_params()
    return make_conninfo("", **{name: value for name, value in params.items() if name in _LIBPQ and value is not None})


def broker_url() -> str:
    """Return the URL of the queue's database, for the settings of a Celery application.

    Raises:
        ImproperlyConfigured: as `queue_connection`.
    """
    return to_url(dsn_of(queue_connection()), URL_SCHEME)


def client() -> Client:
    """Let this process enqueue into the queue's database. The client connects when it first has to.

    Jobs and tasks that it enqueues inside `transaction.atomic` are sent over Django's connection, and are a part of
    that transaction. `launch`, `submit` and all questions go over a session of its own.

    Raises:
        ImproperlyConfigured: as `queue_connection`.
    """
    dsn = dsn_of(queue_connection())
    if dsn not in _clients:
        _clients[dsn] = Client(dsn)
    return _clients[dsn]


def close_clients() -> None:
    """Close the sessions of the clients; they connect again when they have to."""
    while _clients:
        _clients.popitem()[1].close()


def find_open_transaction(conninfo: str) -> DjangoConnection | None:
    """Return Django's connection if this thread has a transaction open on it, and `conninfo` is the same database."""
    alias = database_alias()
    # A thread that has not used the connection has no transaction on it, and need not make one.
    connection = getattr(connections._connections, alias, None)
    if connection is None or not connection.in_atomic_block or not setting("transactional"):
        return None
    found: DjangoConnection | None = connection if _place(conninfo) == _place_of(connection) else None
    return found


def _place_of(connection: Any) -> dict[str, str]:
    """Return the place of Django's connection. It is computed once for each, because each message asks for it."""
    settings = connection.settings_dict
    key = connection.alias, settings["HOST"], settings["PORT"], settings["NAME"]
    if key not in _places:
        _places[key] = _place(dsn_of(connection))
    return _places[key]


@lru_cache
def _place(conninfo: str) -> dict[str, str]:
    given = conninfo_to_dict(conninfo)
    return {name: str(given.get(name) or default) for name, default in _PLACE.items()}
