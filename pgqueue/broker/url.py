"""The address of a kombu connection as a conninfo: from its URL, or from kombu's parts of a fail-over URL.

The password is moved out of the URL to the place where kombu has passwords: Celery's `inspect stats`, and therefore
Flower, show the URL as the broker's host name.
"""

from __future__ import annotations

from typing import Any

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from ..config import URL_SCHEME, Settings, to_conninfo, to_url, without_password


def conninfo_of(client: Any) -> str:
    """Return the conninfo of a kombu Connection.

    Raises:
        InvalidDsn: its URL is not one of PostgreSQL.
    """
    if "://" in (client.hostname or ""):
        return make_conninfo(Settings.load(client.hostname).conninfo, **_given(password=client.password))
    parts = _given(
        host=client.hostname,
        port=client.port,
        user=client.userid,
        password=client.password,
        dbname=(client.virtual_host or "").strip("/"),
    )
    return make_conninfo(**parts) if parts else Settings.load().conninfo


def move_password_out(client: Any) -> None:
    """Move the password from a kombu Connection's URL to its `password`.

    Raises:
        InvalidDsn: its URL is not one of PostgreSQL.
    """
    if "://" in (client.hostname or ""):
        conninfo = to_conninfo(client.hostname)
        password = conninfo_to_dict(conninfo).get("password")
        if password:
            client.password = password
            client.hostname = to_url(without_password(conninfo), URL_SCHEME)


def _given(**options: Any) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value}
