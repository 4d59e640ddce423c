"""`pgqueue schedule ...` against a real server."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from pgqueue.cli.commands import run
from tests.harness import Database

Command = Callable[..., str]


@pytest.fixture
def schedule(db: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run a command as an enrolled role and return what it prints; `fails=N` expects that exit code."""
    monkeypatch.setenv("PGQUEUE_DSN", db.dsn_for(db.create_role("alice")))

    def call(*arguments: str, fails: int = 0) -> str:
        code = run(["schedule", *arguments])
        output = capsys.readouterr()
        assert code == fails, output.err
        return output.err if fails else output.out

    return call


def test_a_schedule_is_added_listed_shown_and_removed(schedule: Command) -> None:
    schedule("add", "nightly", "0 2 * * *", "select $1", "-p", "x", "--timezone", "Europe/Berlin", "--label", "l")

    [listed] = json.loads(schedule("list", "--json"))
    shown = json.loads(schedule("show", "nightly", "--json"))

    assert (listed["name"], listed["enabled"], listed["owner"]) == ("nightly", True, "alice")
    assert (shown["runs"], shown["timezone"], shown["label"], shown["kind"]) == (
        "select $1",
        "Europe/Berlin",
        "l",
        "job",
    )
    assert "nightly" in schedule("list")
    assert schedule("remove", "nightly") == "schedule nightly removed\n"
    assert json.loads(schedule("list", "--json")) == []


def test_a_task_is_added_with_its_arguments(schedule: Command) -> None:
    schedule("add", "digest", "@hourly", "--task", "shop.digest", "--args", '["eu"]', "--jitter", "30s")

    shown = json.loads(schedule("show", "digest", "--json"))

    assert (shown["kind"], shown["runs"], shown["queue"], shown["cron"]) == (
        "task",
        "shop.digest",
        "celery",
        "0 * * * *",
    )


def test_next_prints_the_instants_in_the_zone_and_in_utc(schedule: Command) -> None:
    schedule("add", "nightly", "30 2 * * *", "select 1", "--timezone", "Asia/Tokyo")

    instants = json.loads(schedule("next", "nightly", "3", "--json"))

    utc = [datetime.fromisoformat(at["utc"]) for at in instants]
    assert [later - earlier for earlier, later in itertools.pairwise(utc)] == [timedelta(days=1)] * 2
    assert {at["local"][11:] for at in instants} == {"02:30:00+09:00"}
    assert {at["utc"][11:] for at in instants} == {"17:30:00+00:00"}
    assert len(schedule("next", "nightly").splitlines()) == 5
    schedule("add", "often", "90 seconds", "select 1")
    assert len(json.loads(schedule("next", "often", "4", "--json"))) == 4


def test_pause_resume_and_run_say_whether_they_did_it(schedule: Command) -> None:
    schedule("add", "a", "@daily", "select 1")

    assert schedule("pause", "a") == "schedule a paused\n"
    assert schedule("pause", "a") == "schedule a was paused already\n"
    assert json.loads(schedule("resume", "a", "--json")) == {"name": "a", "changed": True}
    assert int(schedule("run", "a")) > 0
    assert schedule("run", "a") == "schedule a was not run\n"
    assert [entry["outcome"] for entry in json.loads(schedule("show", "a", "--json"))["runs_so_far"]] == [
        "skipped",
        "enqueued",
    ]


def test_what_is_wrong_is_one_line_and_a_hint(schedule: Command) -> None:
    said = schedule("add", "a", "0 0 31 2 *", "select 1", fails=1)

    assert said.startswith('pgqueue: error: schedule "0 0 31 2 *" has a day that no month of it has (22023)\nhint: ')
    assert 'schedule "a" does not exist' in schedule("show", "a", fails=1)
    assert 'schedule "a" does not exist' in schedule("remove", "a", fails=1)
    schedule("add", "a", "@daily", fails=2)
    schedule("add", "a", "@daily", "--task", "t", "-p", "1", fails=2)
    schedule("add", "a", "@daily", "select 1", "--args", "[1]", fails=2)


def test_runs_of_an_added_schedule_find_what_the_role_finds(schedule: Command, db: Database) -> None:
    db.execute("alter role alice set search_path = shop, public")

    schedule("add", "nightly", "0 2 * * *", "refresh materialized view sales")

    assert db.execute("select settings ->> 'search_path' from pgqueue.schedule") == [("shop, public",)]
