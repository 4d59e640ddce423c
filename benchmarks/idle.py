"""How many transactions an idle worker causes."""

from __future__ import annotations

import time

from benchmarks.setting import setting

SECONDS = 60
COUNT = "select xact_commit + xact_rollback from pg_stat_database where datname = current_database()"


def main() -> None:
    with setting() as place, place.database() as db, place.worker(db):
        time.sleep(10)
        session = db.connect()
        before, started = session.execute(COUNT).fetchone(), time.monotonic()
        time.sleep(SECONDS)
        after, took = session.execute(COUNT).fetchone(), time.monotonic() - started
        assert before is not None
        assert after is not None
        # One of them is this program's own.
        print(f"idle worker: {(after[0] - before[0] - 1) / took:.2f} transactions a second over {took:.0f} s")


if __name__ == "__main__":
    main()
