"""Where the database is, from arguments and the environment, and the two ways to write it.

Celery and SQLAlchemy want a URL, libpq takes a URL or key=value pairs: inside pgqueue it is always libpq's key=value
form. libpq reads its own variables and files (PGHOST, PGSERVICE, the password file, certificates), so there is no
configuration file of our own.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlencode

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from .errors import InvalidDsn

#: How the URLs begin that Celery and kombu are given, and what they call this broker.
URL_SCHEME = "pgqueue"

DSN_VARIABLE = "PGQUEUE_DSN"
#: How `pgqueue worker` logs in where that is not as PGQUEUE_DSN says.
WORKER_DSN_VARIABLE = "PGQUEUE_WORKER_DSN"
LISTEN_DSN_VARIABLE = "PGQUEUE_LISTEN_DSN"
PG_BIN_VARIABLE = "PGQUEUE_PG_BIN"
DATA_VARIABLE = "PGQUEUE_DATA"

# Also SQLAlchemy's `postgresql+psycopg://`.
_URL = re.compile(r"(?:pgqueue|postgres(?:ql)?)(?:\+\w+)?://(?P<rest>.*)", re.DOTALL)
# The URL of a Celery application that has no database of its own in its code.
_UNNAMED = re.compile(r"pgqueue:///?")


@dataclass(frozen=True)
class Settings:
    """Say which database pgqueue works on, and what an embedded server is made of."""

    conninfo: str
    """libpq's key=value form; empty means what libpq's own environment says."""
    is_given: bool = False
    """Whether a database was named at all, by argument or by PGQUEUE_DSN."""
    data_dir: Path | None = None
    pg_bin: Path | None = None

    @classmethod
    def load(
        cls,
        dsn: str | None = None,
        *,
        data_dir: str | os.PathLike[str] | None = None,
        pg_bin: str | os.PathLike[str] | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> Settings:
        """Take what is given, and from the environment what is not. `pgqueue://` alone names nothing.

        Raises:
            InvalidDsn: the DSN is neither a PostgreSQL URL nor key=value pairs.
        """
        variables = os.environ if environ is None else environ
        is_unnamed = dsn is None or _UNNAMED.fullmatch(dsn.strip()) is not None
        named = (None if is_unnamed else dsn) or variables.get(DSN_VARIABLE)
        data = data_dir or variables.get(DATA_VARIABLE)
        binaries = pg_bin or variables.get(PG_BIN_VARIABLE)
        return cls(
            conninfo=to_conninfo(named or ""),
            is_given=bool(named),
            data_dir=Path(data) if data else None,
            pg_bin=Path(binaries) if binaries else None,
        )


def to_conninfo(dsn: str) -> str:
    """Write a URL (pgqueue, postgresql, postgres) or key=value pairs in libpq's key=value form.

    Raises:
        InvalidDsn: it is neither.
    """
    url = _URL.fullmatch(dsn.strip())
    try:
        options = conninfo_to_dict(f"postgresql://{url['rest']}" if url else dsn)
    except psycopg.Error as failure:
        raise InvalidDsn(
            f"not a connection string: {str(failure).strip()}",
            hint="Write a URL, as in postgresql://user@host:5432/database, or pairs, as in host=... dbname=...",
        ) from failure
    if not str(options.get("port") or "").strip(","):
        options.pop("port", None)  # several hosts without ports: libpq reads a list of nothings
    # An empty password says something: take the one of the password file, not PGPASSWORD.
    return make_conninfo("", **{name: value for name, value in options.items() if value or name == "password"})


def to_url(conninfo: str, scheme: str = "postgresql") -> str:
    """Write a connection string as a URL that `to_conninfo` reads back unchanged.

    Raises:
        InvalidDsn: it is not a connection string.
    """
    options = _parse(conninfo)
    user, password, database = (options.pop(name, None) for name in ("user", "password", "dbname"))
    login = "" if user is None else quote(user, safe="")
    if password is not None:
        login += ":" + quote(password, safe="")
    authority = _take_authority(options)
    query = urlencode(options, quote_via=quote)
    return (
        f"{scheme}://{login}{'@' if login else ''}{authority}/{quote(database or '', safe='')}"
        f"{'?' if query else ''}{query}"
    )


def with_defaults(conninfo: str, **defaults: str) -> str:
    """Return the connection string with `defaults` added where it does not say otherwise."""
    return make_conninfo("", **{**defaults, **_parse(conninfo)})


def without_password(conninfo: str) -> str:
    """Return the connection string fit to be shown or logged."""
    secrets = ("password", "sslpassword", "oauth_client_secret")
    return make_conninfo("", **{name: value for name, value in _parse(conninfo).items() if name not in secrets})


def _parse(conninfo: str) -> dict[str, str]:
    return {name: str(value) for name, value in conninfo_to_dict(to_conninfo(conninfo)).items() if value is not None}


def _take_authority(options: dict[str, str]) -> str:
    hosts = options.get("host", "").split(",")
    ports = options.get("port", "").split(",")
    # A socket's directory cannot stand before the path of a URL; libpq then reads host and port from the query.
    if not options.get("host") or any(host.startswith(("/", "@")) or not host for host in hosts):
        return ""
    if len(ports) not in (1, len(hosts)):
        return ""
    options.pop("host")
    options.pop("port", None)
    ports = ports * len(hosts) if len(ports) == 1 else ports
    return ",".join(
        (f"[{host}]" if ":" in host else quote(host, safe="")) + (f":{port}" if port else "")
        for host, port in zip(hosts, ports, strict=True)
    )
