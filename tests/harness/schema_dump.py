"""The schema as pg_dump sees it, without what differs from day to day: the golden dump, tests/schema.sql.

`make schema` writes it. It is compared on PostgreSQL 18 only, since pg_dump's output changes with the version.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.harness.servers import TestServer, temporary_server

GOLDEN = Path(__file__).parents[1] / "schema.sql"
MAJOR = 18
_DAYS = "pgqueue.*_20??????"  # partitions of days
_NOISE = re.compile(r"--( .*)?|\\(un)?restrict .*")


def dump_schema(server: TestServer, database: str) -> str:
    """Return the schema of a database, normalised."""
    command = [
        *(str(server.embedded.bin_dir / "pg_dump"), "--schema-only", "--schema=pgqueue", "--no-owner"),
        *(f"--exclude-table={_DAYS}", f"--dbname={server.conninfo(database)}"),
    ]
    dumped = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    objects = dumped[dumped.index("CREATE SCHEMA") :]
    kept = "\n".join(line for line in objects.splitlines() if not _NOISE.fullmatch(line))
    return re.sub(r"\n{2,}", "\n\n", kept).strip() + "\n"


def main() -> None:
    """Write the dump of what the migrations make to standard output."""
    with temporary_server() as server:
        if server.major != MAJOR:
            sys.exit(f"the golden dump is of PostgreSQL {MAJOR}, this is {server.major}")
        sys.stdout.write(dump_schema(server, server.create_database()))


if __name__ == "__main__":
    main()
