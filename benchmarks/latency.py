"""From launch to result in one statement, one at a time, on an idle worker; and a plain committed insert beside it."""

from __future__ import annotations

import statistics
import time

from benchmarks.setting import setting

ROUNDS = 300


def main() -> None:
    with setting() as place, place.database() as db, place.worker(db):
        session = db.connect(prepare_threshold=None)
        session.execute("create table plain (n int)")
        times: dict[str, list[float]] = {}
        for name, statement in (
            ("committed insert", "insert into plain values (1)"),
            ("launch", "select pgqueue.submit('select 42')"),
            ("launch to result", "select * from pgqueue.result(pgqueue.launch('select 42')) as (answer int)"),
        ):
            times[name] = []
            for n in range(-20, ROUNDS):
                time.sleep(0.02)  # the worker is idle again
                started = time.perf_counter()
                session.execute(statement)
                if n >= 0:
                    times[name].append((time.perf_counter() - started) * 1000)
        for name, took in times.items():
            cuts = statistics.quantiles(took, n=100)
            print(
                f"{name:18} p50 {cuts[49]:6.2f} ms   p95 {cuts[94]:6.2f} ms   p99 {cuts[98]:6.2f} ms   ({len(took)} rounds)"
            )
        print(
            f"ratio launch / committed insert: {statistics.median(times['launch']) / statistics.median(times['committed insert']):.2f}"
        )


if __name__ == "__main__":
    main()
