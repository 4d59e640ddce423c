"""Jobs that launch another and wait for its result, nested three deep, many more than there are executors: all must end.

    .venv/bin/python -m tests.soak.nested [--jobs 1000] [--depth 3] [--executors 2]

Exit code 1 if one did not succeed within ten minutes, or left other than one line in the log of the innermost.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from pathlib import Path

from tests.harness.database import Database
from tests.harness.servers import temporary_server
from tests.harness.worker import Worker

NESTED = """
create table log (n int); grant all on log to public;
create function nested(depth int, n int) returns void language plpgsql as $$
begin
  if depth = 0 then
    insert into public.log values (n);
    return;
  end if;
  perform * from pgqueue.result(pgqueue.launch(format('select public.nested(%s, %s)', depth - 1, n))) as (x text);
end $$
"""
LEFT = "select count(*) from pgqueue.jobs where state in ('waiting', 'queued', 'running')"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--depth", type=int, default=3)
    parser.add_argument("--executors", type=int, default=2)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place, temporary_server(max_connections="300") as server:
        db = Database(server)
        try:
            db.execute(NESTED)  # type: ignore[arg-type]
            alice = db.connect(db.create_role("alice"))
            options = ["--concurrency=1", f"--executors={arguments.executors}"]
            Worker(db, Path(place) / "w.log", arguments=options).wait_online()
            begun = time.monotonic()
            alice.execute(
                "select pgqueue.launch(format('select nested(%%s, %%s)', %s::int, g)) from generate_series(1, %s) g",
                [arguments.depth - 1, arguments.jobs],
            )
            while (left := db.fetch_value(LEFT)) and time.monotonic() < begun + 600:
                time.sleep(0.5)
            ran_for = time.monotonic() - begun
            ended = db.execute("select state::text, sqlstate, count(*) from pgqueue.jobs group by 1, 2 order by 1, 2")
            lines, distinct = db.execute("select count(*), count(distinct n) from log")[0]
        finally:
            db.close()
    print(f"{arguments.jobs} jobs nested {arguments.depth} deep, {arguments.executors} executors: {ran_for:.0f} s")
    print("jobs: " + ", ".join(f"{count} {state} {sqlstate or ''}".strip() for state, sqlstate, count in ended))
    print(f"{left} have not ended; {lines} lines of {distinct} jobs in the log")
    succeeded = sum(count for state, _sqlstate, count in ended if state == "succeeded")
    return int(succeeded != arguments.jobs * arguments.depth or lines != arguments.jobs or distinct != arguments.jobs)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main())
