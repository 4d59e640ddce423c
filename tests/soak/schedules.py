"""Schedules while workers, the server and clocks fail, how late they are fired, and what they cost. Each part is a command.

    .venv/bin/python -m tests.soak.schedules slots [--slots 10000] [--schedules 200] [--workers 3] [--seed N]
    .venv/bin/python -m tests.soak.schedules outage
    .venv/bin/python -m tests.soak.schedules clock [--seconds 15]
    .venv/bin/python -m tests.soak.schedules precision [--runs 200] [--idle 30]
    .venv/bin/python -m tests.soak.schedules burst [--schedules 10000] [--ahead 150]

slots: the worker that is firing is killed (SIGKILL) once in a second, each second time its session too, so that the transaction rolls back.
Each run puts its schedule and instant into a table with a unique key. Exactly the instants that were due must stand there.
outage: of all workers, then of the server, an hour under each `catch_up`. The hour passes by moving the schedules back in the table.
clock: two minutes back and an hour forward by libfaketime (Debian's package faketime; without it the exit code is 2), first the
clock of the worker's process, then that of the server.
precision: how late an idle worker fires, and its transactions with 1,000 schedules that are not due beside those with none.
burst: daily schedules that are all due in the same minute.

The exit code is 1 if an instant was fired twice or not at all, or a bound was missed.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import random
import re
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

from tests.harness.celery_app import TRACES
from tests.harness.database import Connection, Database
from tests.harness.eventually import eventually
from tests.harness.servers import temporary_server
from tests.harness.worker import Worker

LIBFAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")
ONE_WORKER = ("--concurrency=1", "--executors=1")
CATCH_UPS = ("none", "last", "all")
#: What each schedule of the outage is written as, and the seconds between its instants.
OUTAGE_FORMS = {"* * * * *": 60, "*/20 * * * *": 1200, "5 minutes": 300}
LONGEST_LATENESS = 0.5
MOST_IDLE_TRANSACTIONS = 0.1

NOTE_RUN = """
create table noted (schedule text, instant timestamptz, primary key (schedule, instant));
create index on pgqueue.schedule_run (message_id);
create function note_run() returns void language sql security definer as $$
  insert into public.noted select name, due_at from pgqueue.schedule_run where message_id = current_setting('pgqueue.job_id')::bigint
$$;
"""
FIRING = """
select substr(a.application_name, length('pgqueue broker ') + 1), a.pid
from pg_locks l join pg_stat_activity a on a.pid = l.pid
where l.relation = 'pgqueue.schedule_run'::regclass and l.mode = 'RowExclusiveLock' and a.query ~ '_tick' limit 1
"""
SLOTS = """
with expected as (
  select 's' || n as schedule, %(begins)s + make_interval(secs => k) as instant
  from generate_series(1, %(schedules)s) n, generate_series(0, %(each)s - 1) k
)
select (select count(*) from expected),
       (select count(*) from (table expected except select schedule, instant from noted) d),
       (select count(*) from (select schedule, instant from noted except table expected) d),
       (select count(*) from noted),
       (select count(*) from pgqueue.schedule_run),
       (select count(*) from (select distinct name, due_at from pgqueue.schedule_run where outcome = 'enqueued') d),
       (select count(*) from (table expected except select name, due_at from pgqueue.schedule_run) d)
"""
LEFT = (
    "select (select count(*) from pgqueue.schedule where next_at is not null) + (select count(*) from pgqueue.message)"
)
JOBS = "select state::text, sqlstate, count(*) from pgqueue.jobs group by 1, 2 order by 1, 2"
UNSETTLED = """
select count(*) from pgqueue.schedule s where s.next_at is null or s.next_at <= clock_timestamp() or s.planned_until <= clock_timestamp()
"""
MOVE_BACK = """
update pgqueue.schedule
set anchor_at = anchor_at - %(by)s, consumed_until = consumed_until - %(by)s, next_at = next_at - %(by)s,
    later_at = array(select i - %(by)s from unnest(later_at) i), planned_until = planned_until - %(by)s
returning id, name, consumed_until, case when every is not null then anchor_at end
"""
RUNS_SINCE = """
select due_at, fired_at, outcome, missed from pgqueue.schedule_run where schedule_id = %s and id > %s order by id
"""
LAST_RUN = "select coalesce(max(id), 0) from pgqueue.schedule_run"
TWICE = """
select count(*) filter (where before >= due_at), count(*) from (
  select due_at, lag(due_at) over (partition by schedule_id order by id) as before from pgqueue.schedule_run where outcome = 'enqueued') r
"""
LATENESS = """
select count(*), min(late), percentile_cont(0.5) within group (order by late), percentile_cont(0.99) within group (order by late), max(late)
from (select extract(epoch from fired_at - due_at)::float8 as late from pgqueue.schedule_run where outcome = 'enqueued') r
"""


@contextlib.contextmanager
def installation(*, autovacuum: str = "on") -> Iterator[tuple[Database, Path]]:
    """Run a server with a database, and give a directory for the logs of workers."""
    with (
        tempfile.TemporaryDirectory() as place,
        temporary_server(max_connections="300", autovacuum=autovacuum) as server,
    ):
        db = Database(server)
        try:
            yield db, Path(place)
        finally:
            db.close()


def jobs_of(db: Database) -> str:
    """Say how the jobs ended."""
    return ", ".join(f"{count} {state} {sqlstate or ''}".strip() for state, sqlstate, count in db.execute(JOBS))


# -- slots --


def slots(arguments: argparse.Namespace) -> int:
    each = arguments.slots // arguments.schedules
    chance = random.Random(arguments.seed)
    with installation() as (db, place):
        db.execute(NOTE_RUN)
        alice = db.connect(db.create_role("alice"))
        crew = Crew(db, place, arguments.workers)
        begins = db.fetch_value("select date_trunc('second', clock_timestamp()) + interval '5 s'")
        alice.execute(
            "select pgqueue.schedule('s' || n, '1 second', 'select public.note_run()', starts_at => %(a)s, ends_at => %(z)s,"
            " overlap => 'queue', catch_up => 'all') from generate_series(1, %(n)s) n",
            {"a": begins, "z": begins + timedelta(seconds=each - 1), "n": arguments.schedules},
        )
        begun = time.monotonic()
        crew.kill_who_fires(chance, until=begun + 900)
        eventually(lambda: db.fetch_value(LEFT) == 0, timeout=300, what="no slot and no job left")
        ran_for = time.monotonic() - begun
        expected, missing, others, noted, rows, distinct, unfired = db.execute(
            SLOTS, {"begins": begins, "each": each, "schedules": arguments.schedules}
        )[0]
        jobs = jobs_of(db)
    print(f"{expected} slots of {arguments.schedules} schedules, {arguments.workers} workers, {ran_for:.0f} s")
    print(f"killed while firing: {crew.killed} workers, of {crew.rolled_back} the session as well")
    print(f"runs noted: {noted}; slots without a run {missing}, runs without a slot {others}")
    print(f"rows of schedule_run: {rows}, distinct slots {distinct}, slots without a row {unfired}")
    print(f"jobs: {jobs}")
    is_right = (missing, others, unfired) == (0, 0, 0) and noted == rows == distinct == expected
    return int(not is_right or jobs != f"{expected} succeeded" or crew.killed == 0)


class Crew:
    """So many workers; one that is killed is replaced."""

    def __init__(self, db: Database, place: Path, size: int) -> None:
        self._db, self._place, self._number = db, place, 0
        self._workers: dict[str, Worker] = {}
        self.killed = self.rolled_back = 0
        for _ in range(size):
            self._add()
        for worker in self._workers.values():
            worker.wait_online()

    def kill_who_fires(self, chance: random.Random, until: float) -> None:
        """Kill the worker that is in the midst of firing, again and again, until no schedule has an instant left."""
        watcher = self._db.connect()
        while (
            time.monotonic() < until
            and watcher.execute("select from pgqueue.schedule where next_at is not null limit 1").fetchall()
        ):
            pause_until = time.monotonic() + chance.uniform(0.5, 1.5)
            while time.monotonic() < pause_until:
                time.sleep(0.05)
            if (found := self._find(watcher, time.monotonic() + 5)) is None:
                continue
            name, pid = found
            self._workers.pop(name).kill()
            self.killed += 1
            if self.killed % 2 and watcher.execute("select pg_terminate_backend(%s)", [pid]).fetchall() == [(True,)]:
                self.rolled_back += 1
            self._add()

    def _find(self, watcher: Connection, until: float) -> tuple[str, int] | None:
        while time.monotonic() < until:
            if (found := watcher.execute(FIRING).fetchone()) and found[0] in self._workers:
                return found[0], found[1]
        return None

    def _add(self) -> None:
        self._number += 1
        name = f"w{self._number}"
        worker = Worker(
            self._db,
            self._place / f"{name}.log",
            name=name,
            arguments=("--concurrency=1", "--executors=2"),
            preloaded=True,
        )
        self._workers[worker.name] = worker


# -- outage --


def outage(_arguments: argparse.Namespace) -> int:
    hour = timedelta(hours=1)
    faults = 0
    with installation() as (db, place):
        alice = db.connect(db.create_role("alice"))
        for catch_up in CATCH_UPS:
            for form in OUTAGE_FORMS:
                alice.execute(
                    "select pgqueue.schedule(%s, %s, 'select 1', overlap => 'queue', catch_up => %s)",
                    [f"{catch_up}: {form}", form, catch_up],
                )
        alice.close()
        worker = Worker(db, place / "w1.log", arguments=ONE_WORKER).wait_online()
        settle(db)
        worker.kill()
        last_run, begins = db.fetch_value(LAST_RUN), db.execute(MOVE_BACK, {"by": hour})
        worker = Worker(db, place / "w2.log", name="w2", arguments=ONE_WORKER).wait_online()
        faults += account(db, "an hour without workers", last_run, begins)

        # Frozen, not ended: they come back with sessions that the server has forgotten.
        os.killpg(worker.pid, signal.SIGSTOP)
        db.server.embedded.stop()
        db.server.embedded.start()
        last_run, begins = db.fetch_value(LAST_RUN), db.execute(MOVE_BACK, {"by": hour})
        os.killpg(worker.pid, signal.SIGCONT)
        faults += account(db, "an hour without the server", last_run, begins)
        eventually(
            lambda: db.fetch_value("select count(*) from pgqueue.message") == 0, timeout=60, what="all jobs ended"
        )
        enqueued = db.fetch_value("select count(*) from pgqueue.schedule_run where outcome = 'enqueued'")
        jobs = jobs_of(db)
    print(f"runs enqueued: {enqueued}; jobs: {jobs}")
    return int(faults > 0 or jobs != f"{enqueued} succeeded")


def settle(db: Database) -> None:
    """Wait until everything that is due has been fired and what comes next is known."""
    eventually(lambda: db.fetch_value(UNSETTLED) == 0, timeout=120, what="every schedule planned and fired")


def account(db: Database, what: str, last_run: int, begins: list[tuple[int, str, datetime, datetime | None]]) -> int:
    """Print what became of the instants since the outage began; return of how many schedules that is wrong."""
    settle(db)
    print(f"{what}:")
    faults = 0
    for id_, name, consumed_until, anchor in sorted(begins, key=lambda begin: begin[0]):
        catch_up, form = name.split(": ")
        runs = db.execute(RUNS_SINCE, [id_, last_run])
        step = timedelta(seconds=OUTAGE_FORMS[form])
        # In UTC these cron fields are multiples since 1970.
        instant = anchor or datetime.fromtimestamp(0, timezone.utc)
        instant += ((consumed_until - instant) // step + 1) * step
        due = []
        while runs and instant <= runs[-1][0]:
            due.append(instant)
            instant += step
        is_right = check_runs(catch_up, due, step, runs)
        faults += not is_right
        counts = ", ".join(f"{sum(run[2] == outcome for run in runs)} {outcome}" for outcome in ("enqueued", "missed"))
        print(
            f"  {name:22} {len(due):3} due: {counts}, {sum(run[3] for run in runs)} passed over{'' if is_right else ' WRONG'}"
        )
    return faults


def check_runs(
    catch_up: str, due: list[datetime], step: timedelta, runs: list[tuple[datetime, datetime, str, int]]
) -> bool:
    """Tell whether these runs are what is promised for the instants that were due."""
    instants = [run[0] for run in runs]
    if catch_up == "all":
        return instants == due and {run[2:] for run in runs} == {("enqueued", 0)}
    if len(set(instants)) != len(runs) or sum(run[3] + (run[2] == "enqueued") for run in runs) != len(due) or not due:
        return False
    if any(instant not in due or fired_at >= instant + step for instant, fired_at, *_ in runs):
        return False  # not the last of what was due
    late = {instant: fired_at - instant > timedelta(minutes=1) for instant, fired_at, *_ in runs}
    return all(
        outcome == ("missed" if catch_up == "none" and late[instant] else "enqueued") for instant, _, outcome, _ in runs
    )


# -- clock --


class Clock:
    """The clock of processes that start with `environment`; the monotonic clock stays, as it does in reality."""

    def __init__(self, place: Path) -> None:
        place.chmod(0o711)  # for root the server is another user
        self._file = place / "clock"
        self.step(0)
        self.environment = {
            "LD_PRELOAD": str(LIBFAKETIME),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def step(self, seconds: int) -> None:
        """Let the clock differ by so much from now on."""
        # In one step: a reader would take a file that is empty for a moment for no offset.
        new = self._file.with_suffix(".new")
        new.write_text(f"{seconds:+d}\n")
        new.chmod(0o644)
        new.replace(self._file)


def clock(arguments: argparse.Namespace) -> int:
    if not LIBFAKETIME.exists():
        print(f"{LIBFAKETIME} is missing: apt install faketime", file=sys.stderr)
        return 2
    return int(clock_of_the_worker(arguments.seconds) + clock_of_the_server(arguments.seconds) > 0)


def clock_of_the_worker(seconds: float) -> int:
    """The worker's clock must not matter."""
    with installation() as (db, place):
        steps = Clock(place)
        db.execute(TRACES)
        alice = db.connect(db.create_role("alice"))
        worker = Worker(
            db, place / "w1.log", command="celery", app="tests.harness.celery_app", environment=steps.environment
        ).wait_online()
        alice.execute(
            "select pgqueue.schedule_task('task', '1 second', 'leave_trace', to_jsonb('{x}'::text[]), queue => 'celery')"
        )
        alice.execute("select pgqueue.schedule('cron', '* * * * *', 'select 1')")
        for step in (-120, 3600, 0):
            time.sleep(seconds)
            steps.step(step)
        time.sleep(seconds)
        twice, fired = db.execute(TWICE)[0]
        late = db.execute(LATENESS)[0][4]
        holes = db.fetch_value(
            "select count(*) from (select due_at - lag(due_at) over (order by due_at) as gap, missed from pgqueue.schedule_run where name = 'task') g"
            " where gap <> interval '1 s' or missed > 0"
        )
        written = [
            datetime.fromisoformat(at) for at in re.findall(r"\[(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)", worker.read_log())
        ]
        jumps = [(after - before).total_seconds() for before, after in itertools.pairwise(written)]
    print("the clock of the worker, 2 min back, then an hour and 2 min forward, then an hour back:")
    print(f"  in its log it jumps by {min(jumps):.0f} s and {max(jumps):.0f} s")
    print(f"  fired {fired}, twice {twice}, holes {holes}, at most {late:.2f} s late by the server's clock")
    return int(twice > 0 or holes > 0 or late > 5 or min(jumps) > -3500 or max(jumps) < 3600)


def clock_of_the_server(seconds: float) -> int:
    """The server's clock counts: what it has passed does not come again, and what it leaps over is caught up with."""
    with tempfile.TemporaryDirectory() as directory:
        steps = Clock(Path(directory))
        os.environ.update(steps.environment)
        with installation(autovacuum="off") as (db, place):
            for name in steps.environment:
                del os.environ[name]
            alice = db.connect(db.create_role("alice"))
            Worker(db, place / "w1.log", arguments=ONE_WORKER).wait_online()
            for catch_up in ("last", "all"):
                alice.execute(
                    "select pgqueue.schedule(%s, '2 seconds', 'select 1', overlap => 'queue', catch_up => %s)",
                    [catch_up, catch_up],
                )
            counts, ends = [], []
            for step in (0, -120, 0, 3600, 3480):
                steps.step(step)
                time.sleep(seconds)
                if step == 3600:
                    settle(db)
                counts.append(db.fetch_value("select count(*) from pgqueue.schedule_run"))
                ends.append(db.fetch_value("select extract(epoch from clock_timestamp())::float8"))
            twice, fired = db.execute(TWICE)[0]
            accounts = db.execute(
                "select r.name, sum(r.missed + 1), round(extract(epoch from max(r.due_at) - min(s.anchor_at)) / 2)"
                " from pgqueue.schedule_run r join pgqueue.schedule s on s.id = r.schedule_id group by 1 order by 1"
            )
    new = [count - before for before, count in zip([0, *counts], counts, strict=False)]
    print("the clock of the server (libfaketime in all its processes):")
    print(
        f"  moved by {ends[1] - ends[0]:.0f} s, {ends[2] - ends[1]:.0f} s, {ends[3] - ends[2]:.0f} s, {ends[4] - ends[3]:.0f} s"
    )
    print(
        f"  fired {new[0]} before, {new[1]} while 2 min back, {new[2]} after that, {new[3]} an hour on, {new[4]} while 2 min back again"
    )
    print("  instants accounted for: " + ", ".join(f"{name} {noted} of {due}" for name, noted, due in accounts))
    print(f"  fired {fired}, twice {twice}")
    are_all = len(accounts) == 2 and all(noted == due for _, noted, due in accounts)
    return int(twice > 0 or new[1] > 0 or new[4] > 0 or not new[0] or not new[3] or not are_all or ends[1] > ends[0])


# -- precision --


def precision(arguments: argparse.Namespace) -> int:
    # The server's own upkeep would count as transactions of the database.
    with installation(autovacuum="off") as (db, place):
        alice = db.connect(db.create_role("alice"))
        Worker(db, place / "w1.log", arguments=ONE_WORKER).wait_online()
        none = idle_transactions(db, arguments.idle)
        alice.execute(
            "select pgqueue.schedule('day ' || n, case when n % 2 = 0 then '1 day' else to_char((now() + interval '12 h') at time zone 'UTC', 'MI HH24 * * *') end, 'select 1')"
            " from generate_series(1, 1000) n"
        )
        settle(db)
        thousand = idle_transactions(db, arguments.idle)
        alice.execute("select count(pgqueue.unschedule(name)) from pgqueue.schedules")
        alice.execute(
            "select pgqueue.schedule(n::text, '1 second', 'select 1', starts_at => now() + interval '1 s' + n * interval '0.5 s') from generate_series(0, 1) n"
        )
        fired = "select count(*) from pgqueue.schedule_run"
        eventually(lambda: db.fetch_value(fired) >= arguments.runs, timeout=60 + arguments.runs, what="all runs")
        count, least, median, p99, longest = db.execute(LATENESS)[0]
    print(
        f"transactions a second of an idle worker, {arguments.idle} s each: {none:.3f} without schedules, {thousand:.3f} with 1,000 that are not due"
    )
    print(
        f"{count} runs of an idle worker: late by p50 {median * 1000:.0f} ms, p99 {p99 * 1000:.0f} ms, at most {longest * 1000:.0f} ms"
    )
    return int(least < 0 or p99 > LONGEST_LATENESS or thousand - none > MOST_IDLE_TRANSACTIONS)


def idle_transactions(db: Database, seconds: int) -> float:
    """Return how many transactions a second the database has while nobody but the worker does anything."""
    counted = "select xact_commit + xact_rollback from pg_stat_database where datname = %s"
    time.sleep(11)  # sessions that are idle tell their last figures after 10 s
    before = db.server.admin.execute(counted, [db.name]).fetchall()[0][0]
    time.sleep(seconds)
    return float(db.server.admin.execute(counted, [db.name]).fetchall()[0][0] - before) / seconds


# -- burst --


def burst(arguments: argparse.Namespace) -> int:
    count = arguments.schedules
    with installation() as (db, place):
        db.execute(f'alter database "{db.name}" set pgqueue.max_schedules = 0')
        alice = db.connect(db.create_role("alice"))
        Worker(db, place / "w1.log", arguments=("--concurrency=1", "--executors=2")).wait_online()
        instant = db.fetch_value(
            "select date_trunc('minute', clock_timestamp() + make_interval(secs => %s)) + interval '1 min'",
            [arguments.ahead],
        )
        cron = instant.astimezone(timezone.utc).strftime("%M %H * * *")
        begun = time.monotonic()
        alice.execute(
            "select count(pgqueue.schedule('s' || n, %s, 'select 1')) from generate_series(1, %s) n", [cron, count]
        )
        made = time.monotonic() - begun
        eventually(lambda: db.fetch_value(UNSETTLED) == 0, timeout=arguments.ahead + 300, what="all planned")
        planned = time.monotonic() - begun - made
        is_in_time = db.fetch_value("select clock_timestamp() < %s", [instant])
        fired = "select count(*) from pgqueue.schedule_run"
        eventually(lambda: db.fetch_value(fired) >= count, timeout=arguments.ahead + 300, what="all fired")
        rows, distinct, seconds, statements = db.execute(
            "select count(*), count(distinct (schedule_id, due_at)), extract(epoch from max(fired_at - due_at))::float8, count(distinct xmin::text) from pgqueue.schedule_run"
        )[0]
        eventually(
            lambda: db.fetch_value("select count(*) from pgqueue.message") == 0, timeout=600, what="all jobs ended"
        )
        ran = db.fetch_value("select extract(epoch from clock_timestamp() - %s)::float8", [instant])
        jobs = jobs_of(db)
    print(
        f"{count} daily schedules made in {made:.1f} s, planned by one worker in {planned:.1f} s more{'' if is_in_time else ', too late'}"
    )
    print(
        f"{rows} runs of {distinct} slots enqueued within {seconds:.1f} s of the instant, in {statements} statements; all jobs ended after {ran:.1f} s"
    )
    print(f"jobs: {jobs}")
    return int(
        rows != count or distinct != count or seconds > 60 or statements > count / 100 or jobs != f"{count} succeeded"
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak.schedules", description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("slots")
    command.set_defaults(run=slots)
    command.add_argument("--slots", type=int, default=10_000)
    command.add_argument("--schedules", type=int, default=200)
    command.add_argument("--workers", type=int, default=3)
    command.add_argument("--seed", type=int)
    commands.add_parser("outage").set_defaults(run=outage)
    command = commands.add_parser("clock")
    command.set_defaults(run=clock)
    command.add_argument("--seconds", type=float, default=15, help="between two steps")
    command = commands.add_parser("precision")
    command.set_defaults(run=precision)
    command.add_argument("--runs", type=int, default=200)
    command.add_argument("--idle", type=int, default=30, help="seconds of each count of transactions")
    command = commands.add_parser("burst")
    command.set_defaults(run=burst)
    command.add_argument("--schedules", type=int, default=10_000)
    command.add_argument("--ahead", type=int, default=150, help="seconds for making and planning them")
    arguments = parser.parse_args()
    status: int = arguments.run(arguments)
    return status


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main())
