"""Celery beat without beat: an application's entries as schedules, sent as beat sends them, once, whoever runs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from celery import Celery, beat
from celery.schedules import crontab, schedule, solar
from cryptography.fernet import Fernet

from pgqueue.broker.beat import Imported, Scheduler, import_app
from tests.harness import Database, eventually
from tests.harness.beat_app import lazy, make_app, many_entries
from tests.harness.celery_app import TRACES
from tests.harness.database import Connection
from tests.harness.people import fetch_value

pytestmark = pytest.mark.slow

MakeApp = Callable[..., Celery]


@pytest.fixture
def make(db: Database) -> Iterator[MakeApp]:
    """Make applications with some entries, all of one role and under one name."""
    db.create_role("shop")
    made = []

    def make_one(entries: dict[str, Any], **conf: object) -> Celery:
        app = make_app(db.dsn_for("shop"))
        app.conf.update(beat_schedule=entries, **conf)
        made.append(app)
        return app

    yield make_one
    for app in made:
        app.close()


def outcomes(found: list[Imported]) -> dict[str, str]:
    return {one.name: one.outcome for one in found}


def an_entry(when: Any = 3600, **more: object) -> dict[str, Any]:
    return {"task": "leave_trace", "schedule": when, "args": ("a",), **more}


def comparable(message: dict[str, Any], began_at: float) -> dict[str, Any]:
    """Leave out what differs from one sending to the next, and tell instants from when the task was sent."""
    task_id = message["headers"]["id"]
    text = json.dumps(message).replace(task_id, "ID")
    message = json.loads(text)
    headers, properties = message["headers"], message["properties"]
    for fields, names in ((headers, ("origin",)), (properties, ("delivery_tag", "reply_to"))):
        for name in names:
            fields.pop(name, None)
    if (headers.get("expires") or "").startswith("2099"):
        properties.pop("expiration", None)  # the instant again, counted from when it was sent
    for name in ("expires", "published_eta"):
        if headers.get(name) is not None and not headers[name].startswith("2099"):
            headers[name] = round((datetime.fromisoformat(headers[name]).timestamp() - began_at) / 10)
        elif headers.get(name):
            headers[name] = datetime.fromisoformat(headers[name]).timestamp()
    return message


def sent(owner: Connection) -> list[Any]:
    rows = owner.execute(
        "delete from pgqueue.message returning queue, priority, state::text, due_at > clock_timestamp() + interval '10 min',"
        " round(extract(epoch from expires_at - clock_timestamp()) / 10)::int, payload"
    ).fetchall()
    return [(*row[:-1], comparable(row[-1], time.time())) for row in rows]


@pytest.mark.parametrize("name", list(many_entries()))
def test_a_task_is_sent_as_beat_sends_it(make: MakeApp, db: Database, owner: Connection, name: str) -> None:
    app = make({name: many_entries()[name]})
    app.amqp.queues  # noqa: B018 - declares nothing yet
    scheduler = beat.Scheduler(app)
    with app.connection_for_write() as connection:
        for queue in app.amqp.queues.values():
            queue.bind(connection.default_channel).declare()
    scheduler.apply_async(scheduler.schedule[name], producer=scheduler.producer)
    by_beat = sent(owner)

    assert outcomes(import_app(app)) == {name: "made"}
    assert sent(owner) == []
    with db.connect("shop") as shop:
        assert fetch_value(shop, "select pgqueue.run_schedule(%s)", [name]) is not None

    assert len(by_beat) == 1
    by_schedule = sent(owner)
    assert by_schedule == by_beat, json.dumps([by_schedule, by_beat])
    scheduler.close()


def test_each_run_has_an_id_of_its_own(make: MakeApp, db: Database, owner: Connection) -> None:
    import_app(make({"a": an_entry()}))

    with db.connect("shop") as shop:
        for _ in range(2):
            fetch_value(shop, "select pgqueue.run_schedule('a')")

    ids = owner.execute(
        "select payload #>> '{headers,id}', payload #>> '{headers,root_id}', payload #>> '{properties,correlation_id}' from pgqueue.message"
    ).fetchall()
    assert [len(set(row)) for row in ids] == [1, 1]
    assert len({row[0] for row in ids}) == 2
    assert {row[0] for row in ids} == {
        row[0] for row in owner.execute("select task_id from pgqueue.schedule_run").fetchall()
    }


@pytest.mark.parametrize(
    ("when", "kept", "every"),
    [
        (30, None, timedelta(seconds=30)),
        (timedelta(hours=36), None, timedelta(hours=36)),
        (schedule(90.5), None, timedelta(seconds=90.5)),
        (schedule(timedelta(hours=1), relative=True), "schedule(3600, relative)", None),
        (crontab(), "crontab(* * * * *)", None),
        (crontab(30, 2, day_of_week="mon-fri"), "crontab(30 2 * * mon-fri)", None),
        (
            crontab({15, 45}, "*/2", day_of_month=[1, 15], month_of_year="jan,jul"),
            "crontab(15,45 */2 1,15 jan,jul *)",
            None,
        ),
        (solar("sunset", 52.52, -13.4), "solar(sunset, 52.52, -13.4)", None),
    ],
    ids=str,
)
def test_schedules_of_celery_are_kept_as_text(
    make: MakeApp, db: Database, owner: Connection, when: Any, kept: str | None, every: timedelta | None
) -> None:
    found = import_app(make({"a": an_entry(when)}))

    assert outcomes(found) == {"a": "made"}, found
    assert owner.execute("select cron, every, timezone, overlap, catch_up, source from pgqueue.schedules").fetchone() == (
        kept, every, "Europe/Berlin", "queue", "last", "celery:tests.harness.beat_app",
    )  # fmt: skip


class Weekly(schedule):
    """A schedule of the application's own."""


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        (an_entry(Weekly(3600)), "its schedule is of the class Weekly, which the database cannot keep"),
        (an_entry(crontab(nowfun=datetime.now)), "its schedule has a nowfun, which the database does not know"),
        (an_entry(0.5), 'interval of schedule "@every 0.5 seconds" is out of range'),
        (an_entry(args=(lazy(),)), "its arguments are computed when it is sent (BeatLazyFunc)"),
        (an_entry(kwargs={"at": lazy()}), "its arguments are computed when it is sent (BeatLazyFunc)"),
        (
            an_entry(args=()),
            "Couldn't apply scheduled task bad: leave_trace() missing 1 required positional argument: 'label'",
        ),
        (
            an_entry(args=(object(),)),
            "Couldn't apply scheduled task bad: Object of type object is not JSON serializable",
        ),
        (
            an_entry(options={"queue": "x" * 300}),
            "Couldn't apply scheduled task bad: exchange name has more than 255 bytes",
        ),
        (an_entry(options={"expires": -5}), "expires is out of range"),
        (
            an_entry(options={"serializer": "pgqueue-encrypted+json"}),
            "its arguments would be encrypted, and the server that sends it has no key",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_entry_that_cannot_be_kept_is_refused_and_stops_no_other(
    make: MakeApp, monkeypatch: pytest.MonkeyPatch, entry: dict[str, Any], problem: str
) -> None:
    monkeypatch.setenv("PGQUEUE_ENCRYPTION_KEYS", Fernet.generate_key().decode())
    found = {one.name: one for one in import_app(make({"bad": entry, "good": an_entry()}))}

    assert (found["bad"].outcome, found["bad"].problem, found["good"].outcome) == ("refused", problem, "made")


def test_an_import_makes_replaces_keeps_and_removes(make: MakeApp, db: Database, owner: Connection) -> None:
    first = import_app(make({"same": an_entry(), "other": an_entry(), "gone": an_entry(), "paused": an_entry()}))
    with db.connect("shop") as shop:
        shop.execute("select pgqueue.pause_schedule('paused'), pgqueue.schedule('by hand', '1 hour', 'select 1')")
        before = owner.execute("select xmin::text, next_at from pgqueue.schedule where name = 'same'").fetchone()
    changed = make({"same": an_entry(), "other": an_entry(60), "paused": an_entry(60), "by hand": an_entry()})

    rehearsed = outcomes(import_app(changed, is_dry=True))
    assert fetch_value(owner, "select count(*) from pgqueue.schedules where name = 'gone' or every = '1 min'") == 1
    done = outcomes(import_app(changed))

    assert outcomes(first) == dict.fromkeys(("gone", "other", "paused", "same"), "made")
    assert rehearsed == done
    assert done == {"by hand": "left", "gone": "removed", "other": "replaced", "paused": "replaced", "same": "kept"}
    assert owner.execute("select xmin::text, next_at from pgqueue.schedule where name = 'same'").fetchone() == before
    assert owner.execute("select name, kind, enabled from pgqueue.schedules order by name").fetchall() == [
        ("by hand", "job", True), ("other", "task", True), ("paused", "task", False), ("same", "task", True),
    ]  # fmt: skip
    assert set(outcomes(import_app(changed)).values()) == {"kept", "left"}


def test_what_another_application_or_role_has_stays(make: MakeApp, db: Database, owner: Connection) -> None:
    import_app(make({"a": an_entry()}))
    other = make({"b": an_entry()})
    other.main = "other"
    db.create_role("bob")
    of_bob = make_app(db.dsn_for("bob"))
    of_bob.conf.beat_schedule = {}

    assert outcomes(import_app(other)) == {"b": "made"}
    assert import_app(of_bob) == []
    of_bob.close()

    assert owner.execute("select name from pgqueue.schedules order by name").fetchall() == [("a",), ("b",)]


def test_what_an_import_sends_is_changed_in_the_application_only(make: MakeApp, db: Database) -> None:
    import_app(make({"a": an_entry()}))
    with db.connect("shop") as shop:
        with pytest.raises(Exception, match="was imported"):
            shop.execute("select pgqueue.alter_schedule('a', args => '[1]')")
        shop.execute("select pgqueue.alter_schedule('a', schedule => '2 hours')")
        assert outcomes(import_app(make({"a": an_entry()}))) == {"a": "replaced"}
        shop.execute("select pgqueue.schedule_task('a', '1 hour', 'leave_trace')")
        assert fetch_value(shop, "select source from pgqueue.schedules") is None


def test_what_a_whole_application_cannot_do_is_said(make: MakeApp, db: Database) -> None:
    for conf, told in (({"task_always_eager": True}, "runs its tasks instead"), ({"task_protocol": 1}, "protocol 1")):
        with pytest.raises(Exception, match=told):
            import_app(make({"a": an_entry()}, **conf))
    elsewhere = Celery("shop", broker="memory://", set_as_current=False)
    with pytest.raises(Exception, match="is not pgqueue but memory"):
        import_app(elsewhere)


def test_a_missed_run_is_made_up_for_unless_beat_has_a_deadline(make: MakeApp, owner: Connection) -> None:
    import_app(make({"a": an_entry(crontab())}, beat_cron_starting_deadline=60))

    assert fetch_value(owner, "select catch_up from pgqueue.schedules") == "none"


def test_the_command_says_what_it_does(db: Database, tmp_path: Path) -> None:
    role = db.create_role("shop")
    file = tmp_path / "entries.json"
    file.write_text(json.dumps({"a": {"task": "leave_trace", "args": ["a"], "schedule": "crontab()"},
                                "b": {"task": "leave_trace", "args": ["b"], "schedule": "timedelta(0.000001)"}}))  # fmt: skip

    def call(*arguments: str, app: str = "tests.harness.beat_app") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "pgqueue", "schedule", "import", "-A", app, *arguments],
            env={**os.environ, "PGQUEUE_DSN": db.dsn_for(role), "BEAT_SCHEDULE_FILE": str(file)},
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    rehearsed = call("--dry-run")
    done = call("--json")
    [a, b] = json.loads(done.stdout)

    assert (rehearsed.returncode, done.returncode) == (1, 1)
    assert "What would be done" in rehearsed.stdout
    assert (a["name"], a["outcome"], b["outcome"]) == ("a", "made", "refused")
    assert "is out of range" in b["problem"]
    assert call(app="tests.harness.nothing_here").returncode == 2
    file.write_text("{}")
    assert [one["outcome"] for one in json.loads(call("--json").stdout)] == ["removed"]


# Real processes


class Beat:
    """A `celery beat` of the application."""

    def __init__(self, db: Database, role: str, place: Path, file: Path, number: int) -> None:
        self.log = place / f"beat{number}.log"
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "celery", "-A", "tests.harness.beat_app", "beat", "--loglevel=INFO", f"--pidfile={place}/{number}.pid"],
                env={**os.environ, "PGQUEUE_DSN": db.dsn_for(role), "BEAT_SCHEDULE_FILE": str(file), "PYTHONPATH": str(Path(__file__).parents[2])},
                cwd=place, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            )  # fmt: skip
        db.at_close(self.end)

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


def once_each(owner: Connection) -> tuple[int, int]:
    """Count the instants that were fired twice, and those that were left out."""
    return owner.execute(
        """select count(*) filter (where gap = interval '0'), count(*) filter (where gap > interval '1.001 s')
           from (select due_at - lag(due_at) over (partition by name order by due_at) as gap
                 from pgqueue.schedule_run where outcome = 'enqueued') g"""
    ).fetchone()  # type: ignore[return-value]


def test_two_beats_side_by_side_fire_each_instant_once_and_keep_no_file(
    db: Database, owner: Connection, tmp_path: Path
) -> None:
    role = db.create_role("shop")
    owner.execute("grant pgqueue_worker to shop")
    file = tmp_path / "entries.json"
    file.write_text(
        json.dumps({n: {"task": "leave_trace", "args": [n], "schedule": "timedelta(seconds=1)"} for n in "abcd"})
    )
    beats = [Beat(db, role, tmp_path, file, number) for number in (1, 2)]

    eventually(lambda: fetch_value(owner, "select count(*) >= 20 from pgqueue.schedule_run"), timeout=60)
    beats[0].process.send_signal(signal.SIGKILL)
    eventually(lambda: fetch_value(owner, "select count(*) >= 40 from pgqueue.schedule_run"), timeout=60)

    assert once_each(owner) == (0, 0)
    assert fetch_value(owner, "select max(extract(epoch from fired_at - due_at))::float8 from pgqueue.schedule_run") < 1
    assert fetch_value(owner, "select count(*) from pgqueue.message") == fetch_value(
        owner, "select count(*) from pgqueue.schedule_run where outcome = 'enqueued'"
    )
    assert {path.name for path in tmp_path.iterdir()} <= {"beat1.log", "beat2.log", "1.pid", "2.pid", "entries.json"}


def test_a_beat_takes_over_what_the_application_has_now(make: MakeApp, owner: Connection) -> None:
    app = make({"a": an_entry(), "gone": an_entry()})
    scheduler = Scheduler(app)
    scheduler.tick()
    del scheduler.schedule["gone"]
    scheduler.add(name="new", task="leave_trace", args=("a",), schedule=crontab())

    wait = scheduler.tick()

    assert wait <= scheduler.max_interval
    assert owner.execute("select name from pgqueue.schedules order by name").fetchall() == [("a",), ("new",)]
    scheduler.close()


def test_a_worker_installs_the_schedules_of_its_application_and_runs_them(
    db: Database, owner: Connection, start_worker: Any, tmp_path: Path
) -> None:
    owner.execute(TRACES)
    role = db.create_role("shop")
    owner.execute("grant pgqueue_worker to shop")
    file = tmp_path / "entries.json"
    file.write_text(json.dumps({"a": {"task": "leave_trace", "args": ["a"], "schedule": "timedelta(seconds=1)"},
                                "sun": {"task": "leave_trace", "args": ["b"], "schedule": "solar('sunset', 52.5, 13.4)"},
                                "fields": {"task": "leave_trace", "args": ["c"], "schedule": "crontab(30, 2)"}}))  # fmt: skip
    worker = start_worker(
        db, arguments=("-A", "tests.harness.beat_app", "--schedules", "--concurrency=1"), role=role,
        environment={"BEAT_SCHEDULE_FILE": str(file)},
    )  # fmt: skip

    eventually(lambda: fetch_value(owner, "select count(*) >= 3 from trace where label = 'a'"), timeout=60)
    eventually(
        lambda: fetch_value(owner, "select count(*) = 3 from pgqueue.schedules where next_at is not null"), timeout=30
    )

    assert fetch_value(owner, "select count(*) from pgqueue.schedules where error is not null") == 0
    assert "schedule fields made" in worker.read_log()
    assert (
        fetch_value(
            owner,
            "select extract(hour from next_at at time zone timezone) from pgqueue.schedules where name = 'fields'",
        )
        == 2
    )
