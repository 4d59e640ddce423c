"""The schema as pg_dump sees it: the golden dump, tests/schema.sql.

It holds tables, indexes, types, privileges, and the signatures of functions and views. What is left out is what differs from day
to day, and the bodies and comments of functions and views, which stand in `pgqueue/sql/functions`.
`make schema` writes it. It is compared on PostgreSQL 18 only, since pg_dump's output changes with the version.

It also writes `pgqueue/schema/catalog.tsv`, with a digest of each object, to which `pgqueue doctor` compares a database.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg

from pgqueue.db.client_session import ClientSession
from pgqueue.schema import catalog
from tests.harness.servers import TestServer, temporary_server

GOLDEN = Path(__file__).parents[1] / "schema.sql"
CATALOG = Path(catalog.__file__).with_name(catalog.FILE_NAME)
MAJOR = 18
_DAYS = "pgqueue.*_20??????"  # partitions of days
_NOISE = re.compile(r"--( .*)?|\\(un)?restrict .*")
_OBJECT = re.compile(r"\n--\n-- Name: .*; Type: (.*?); Schema: .*\n--\n")
_BODY = re.compile(r"\n +(AS \$|BEGIN ATOMIC\n)")
_COLUMNS = """
select format('CREATE VIEW pgqueue.%I (%s)%s', c.relname,
              string_agg(format('%I %s', a.attname, format_type(a.atttypid, a.atttypmod)), ', ' order by a.attnum),
              ' WITH (' || array_to_string(c.reloptions, ', ') || ')')
from pg_class c
join pg_attribute a on a.attrelid = c.oid
where c.relnamespace = 'pgqueue'::regnamespace and c.relkind = 'v' and a.attnum > 0
group by c.relname, c.reloptions
order by c.relname
"""


def dump_schema(server: TestServer, database: str) -> str:
    """Return the schema of a database, normalised."""
    command = [
        *(str(server.embedded.bin_dir / "pg_dump"), "--schema-only", "--schema=pgqueue", "--no-owner"),
        *(f"--exclude-table={_DAYS}", f"--dbname={server.conninfo(database)}"),
    ]
    dumped = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    with psycopg.connect(server.conninfo(database)) as connection:
        views = "".join(f"{signature};\n\n" for (signature,) in connection.execute(_COLUMNS))
    objects = "".join(map(_without_body, _objects(dumped))) + "\n" + views
    kept = "\n".join(line for line in objects.splitlines() if not _NOISE.fullmatch(line))
    return re.sub(r"\n{2,}", "\n\n", kept).strip() + "\n"


def _objects(dumped: str) -> Iterator[tuple[str, str]]:
    _, *parts = _OBJECT.split(dumped)
    return zip(parts[::2], parts[1::2], strict=True)


def _without_body(described: tuple[str, str]) -> str:
    kind, text = described
    if kind in ("FUNCTION", "PROCEDURE"):
        return _BODY.split(text)[0] + ";\n"
    if kind == "VIEW" or re.match(r"\n*COMMENT ON (FUNCTION|PROCEDURE|VIEW) ", text):
        return ""
    return text


def dump_catalog(server: TestServer, database: str) -> str:
    """Return the digests of the objects of a database."""
    with ClientSession(server.conninfo(database), application_name="schema dump") as session:
        return catalog.to_text(catalog.installed_catalog(session))


def main() -> None:
    """Write both files, of what an installation makes."""
    with temporary_server() as server:
        if server.major != MAJOR:
            sys.exit(f"the golden dump is of PostgreSQL {MAJOR}, this is {server.major}")
        database = server.create_database()
        written = {GOLDEN: dump_schema(server, database), CATALOG: dump_catalog(server, database)}
    for path, text in written.items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
