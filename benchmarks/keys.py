"""What unique keys cost enqueue_many: jobs with keys that are new, that are taken, and that are all the same one.

All as an ordinary role, in one transaction each, in turns with the same jobs without keys. The reference of one key is a
tenth of the jobs: the ratio of the rates is 1 if the time is linear in their number.
"""

from __future__ import annotations

import time

from benchmarks.figure import Figure, compare
from benchmarks.setting import Setting
from tests.harness.database import Connection

ROLE = "app"
JOBS = 10_000
STATEMENTS = "array(select format('insert into sink (n) values (%%s)', g) from generate_series(1, %(count)s) g)"
KEYS = "unique_keys => array(select 'key ' || g from generate_series(1, %(count)s) g)"
ONE_KEY = "unique_keys => array_fill('key'::text, array[%(count)s::int])"
#: What is measured: the options, whether the keys are taken before, and the target. An exchange writes a row and its indexes anew.
WAYS = {
    "new keys": (f", {KEYS}", False, ">= 0.33"),
    "new keys, unique_for": (f", {KEYS}, unique_for => '1 h'", False, ">= 0.33"),
    "taken keys, keep": (f", {KEYS}", True, ">= 0.33"),
    "taken keys, replace": (f", {KEYS}, on_conflict => 'replace'", True, ">= 0.25"),
    "taken keys, debounce": (f", {KEYS}, on_conflict => 'debounce', delay => '1 min'", True, ">= 0.25"),
}


def run(setting: Setting) -> list[Figure]:
    """Jobs a second with keys of each kind, and without."""
    count = setting.count(JOBS)
    without: list[float] = []
    rates: dict[str, list[float]] = {name: [] for name in WAYS}
    one_key: dict[str, tuple[list[float], list[float]]] = {mode: ([], []) for mode in ("keep", "replace", "debounce")}
    with setting.database() as db:
        db.create_role(ROLE)

        def rate(session: Connection, options: str, jobs: int = count) -> float:
            began = time.perf_counter()
            session.execute(f"select count(*) from pgqueue.enqueue_many({STATEMENTS}{options})", {"count": jobs})
            return jobs / (time.perf_counter() - began)

        with db.connect(ROLE) as session:
            for _ in range(setting.repeat):
                db.execute("truncate pgqueue.message, pgqueue.unique_hold")
                without.append(rate(session, ""))
                for name, (options, is_taken, _target) in WAYS.items():
                    if not is_taken:
                        db.execute("truncate pgqueue.message, pgqueue.unique_hold")
                    rates[name].append(rate(session, options))
                for mode, (all_of_them, a_tenth) in one_key.items():
                    option = f", {ONE_KEY}, on_conflict => '{mode}'"
                    a_tenth.append(rate(session, option, count // 10))
                    all_of_them.append(rate(session, option))
    return [
        *(
            compare(f"enqueue_many, {count:,} jobs, {name}", "jobs/s", rates[name], without, "without keys", target)
            for name, (_options, _is_taken, target) in WAYS.items()
        ),
        *(
            compare(f"{count:,} jobs of one key, {mode}", "jobs/s", *each, f"{count // 10:,} jobs", ">= 0.8")
            for mode, each in one_key.items()
        ),
    ]
