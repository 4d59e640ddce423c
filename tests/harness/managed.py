"""A server as managed services offer it, for `pytest --managed`.

Nobody logs in without a password, all come through TCP, and pgqueue is installed by a role that owns the database, may
create roles and databases, and is no superuser. A superuser has done before what `pgqueue install` asks for.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import psycopg

from pgqueue.local.embedded import EmbeddedServer

INSTALLER = "keeper"
DBLINK_SCHEMA = "dblink"
#: Everybody's, so that one password file serves them all.
PASSWORD = "a password for tests"

_HBA = "host all all 127.0.0.1/32 scram-sha-256\n"


@contextlib.contextmanager
def password_file(place: Path) -> Iterator[None]:
    """Let libpq find the password, in this process and in those it starts."""
    file = place / "pgpass"
    file.touch(mode=0o600)
    file.write_text(f"*:*:*:*:{PASSWORD}\n")
    os.environ["PGPASSFILE"] = str(file)
    try:
        yield
    finally:
        del os.environ["PGPASSFILE"]


def make_managed(embedded: EmbeddedServer) -> None:
    """Make the installing role, and demand passwords from then on."""
    with psycopg.connect(embedded.dsn, autocommit=True) as superuser:
        superuser.execute(f"alter role postgres password '{PASSWORD}'")
        superuser.execute(f"create role {INSTALLER} login createrole createdb password '{PASSWORD}'")
        (embedded.data_dir / "pg_hba.conf").write_text(_HBA)
        superuser.execute("select pg_reload_conf()")


def prepare_database(superuser_dsn: str) -> None:
    """Do what the installing role cannot: what `pgqueue install` asks a superuser for."""
    with psycopg.connect(superuser_dsn, autocommit=True) as superuser:
        superuser.execute(f"create schema {DBLINK_SCHEMA}")
        superuser.execute(f"create extension dblink schema {DBLINK_SCHEMA}")
        superuser.execute(f"grant usage on schema {DBLINK_SCHEMA} to {INSTALLER}")
        superuser.execute(f"grant usage on foreign data wrapper dblink_fdw to {INSTALLER}")
        # Tests give functions there to users. A superuser may without this, and before PostgreSQL 15 everybody.
        superuser.execute("grant create on schema public to public")
