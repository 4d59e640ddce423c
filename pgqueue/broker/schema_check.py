"""Whether the schema that a connection finds is of a version that this code can use."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg

from ..sql.compatibility import require_usable

if TYPE_CHECKING:
    from ..db.database import Database


def require_usable_schema(database: Database) -> None:
    """Pass when the schema is of a version that this code can use, or when that cannot be told.

    Raises:
        SchemaTooOld, SchemaTooNew: it is not.
        psycopg.OperationalError: the server cannot be reached.
    """
    try:
        [(version,)] = database.fetch("schema_version")
    except psycopg.ProgrammingError:
        # No schema, or no right to it: what is asked next says so, and what to do.
        return
    require_usable(version)
