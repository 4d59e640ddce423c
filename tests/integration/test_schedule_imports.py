"""`pgqueue schedule import-pg-cron` and `import-crontab` against a real server."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pgqueue.cli.commands import run
from tests.harness import Database

Command = Callable[..., dict[str, Any]]
#: The columns of pg_cron's table.
TABLE = """
  create schema cron;
  create table cron.job (jobid bigint primary key, schedule text not null, command text not null, nodename text not null default 'localhost',
                         nodeport int not null default 5432, database text not null default current_database(), username text not null default 'alice',
                         active boolean not null default true, jobname text);
  insert into cron.job (jobid, jobname, schedule, command) values (1, 'nightly', '0 3 * * *', 'vacuum'), (7, null, '30 seconds', 'select 1');
  insert into cron.job (jobid, jobname, schedule, command, active) values (8, 'last', '0 11 $ * *', 'select 2', false);
  insert into cron.job (jobid, schedule, command, database) values (9, '0 3 * * *', 'select 3', 'elsewhere')"""
MINE = "select name, schedule, timezone, owner::text, enabled, catch_up, overlap from pgqueue.schedules order by id"


@pytest.fixture
def pgqueue(db: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run a command as a superuser and return what it prints as JSON; `fails=N` expects that exit code."""
    db.create_role("alice")
    monkeypatch.setenv("PGQUEUE_DSN", db.dsn_for("postgres"))

    def call(*arguments: str, fails: int = 0, as_role: str = "postgres") -> dict[str, Any]:
        monkeypatch.setenv("PGQUEUE_DSN", db.dsn_for(as_role))
        code = run(["schedule", *arguments, "--json"])
        output = capsys.readouterr()
        assert code == fails, output.err + output.out
        told: dict[str, Any] = json.loads(output.out or output.err)
        return told

    return call


@pytest.fixture
def crontab(tmp_path: Path) -> Callable[[str], str]:
    """Write a crontab and return its path."""

    def write(text: str) -> str:
        path = tmp_path / "crontab"
        path.write_text(text)
        return str(path)

    return write


def outcomes(told: dict[str, Any]) -> list[tuple[str, str]]:
    return [(job["place"], job["outcome"]) for job in told["jobs"]]


def schedules(db: Database) -> list[tuple[Any, ...]]:
    return db.connect("postgres").execute(MINE).fetchall()


def test_pg_crons_jobs_are_copied_for_their_owners(pgqueue: Command, db: Database) -> None:
    db.connect("postgres").execute(TABLE)
    db.connect("postgres").execute("alter role alice set search_path = reports, public")

    tried = pgqueue("import-pg-cron", "--dry-run")
    assert (tried["made"], schedules(db)) == (False, [])
    told = pgqueue("import-pg-cron", "--timezone", "Europe/Berlin")

    assert outcomes(tried) == [
        ("job 1", "possible"),
        ("job 7", "possible"),
        ("job 8", "possible"),
        ("job 9", "skipped"),
    ]
    assert outcomes(told) == [("job 1", "imported"), ("job 7", "imported"), ("job 8", "imported"), ("job 9", "skipped")]
    assert told["jobs"][3]["reason"] == "it runs in the database elsewhere: import it there"
    assert schedules(db) == [
        ("nightly", "0 3 * * *", "Europe/Berlin", "alice", True, "none", "skip"),
        ("pg_cron 7", "30 seconds", "Europe/Berlin", "alice", True, "none", "skip"),
        ("last", "0 11 $ * *", "Europe/Berlin", "alice", False, "none", "skip"),
    ]
    settings = db.fetch_value("select settings ->> 'search_path' from pgqueue.schedule where name = 'nightly'")
    assert settings == "reports, public"
    again = pgqueue("import-pg-cron", "--timezone", "Europe/Berlin")
    assert [job["outcome"] for job in again["jobs"]] == ["replaced", "replaced", "replaced", "skipped"]
    assert len(schedules(db)) == 3


def test_if_one_job_cannot_be_copied_none_is_unless_asked_for(pgqueue: Command, db: Database) -> None:
    db.create_role("stranger", enrolled=False)
    root = db.connect("postgres")
    root.execute(TABLE)
    root.execute(
        """insert into cron.job (jobid, schedule, command, username, nodename) values
             (20, '@reboot', 'select 1', 'alice', 'localhost'), (21, '@daily', 'select 1', 'stranger', 'localhost'),
             (22, '@daily', 'select 1', 'gone', 'localhost'), (23, '0 0 31 2 *', 'select 1', 'alice', 'localhost'),
             (24, '@daily', 'select 1', 'alice', 'far.example')"""
    )

    told = pgqueue("import-pg-cron", fails=1)

    assert (told["made"], schedules(db)) == (False, [])
    reasons = {job["place"]: job["reason"] for job in told["jobs"] if job["outcome"] == "refused"}
    assert reasons == {
        "job 20": 'schedule "@reboot" has no instant',
        "job 21": 'role "stranger" is not enrolled in pgqueue',
        "job 22": 'role "gone" does not exist',
        "job 23": 'schedule "0 0 31 2 *" has a day that no month of it has',
        "job 24": "it runs on the server far.example: import it there",
    }
    assert told["jobs"][5]["hint"] == "Let an administrator run: select pgqueue.enroll('stranger')"
    partly = pgqueue("import-pg-cron", "--partial", fails=1)
    assert partly["made"] is True
    assert [row[0] for row in schedules(db)] == ["nightly", "pg_cron 7", "last"]


def test_a_role_copies_its_own_jobs_and_becomes_no_other(pgqueue: Command, db: Database) -> None:
    db.create_role("bob")
    root = db.connect("postgres")
    root.execute(TABLE + "; grant usage on schema cron to bob, alice; grant select on cron.job to bob, alice")

    told = pgqueue("import-pg-cron", as_role="bob", fails=1)

    assert "permission denied to set role" in told["jobs"][0]["reason"]
    assert told["jobs"][0]["hint"].startswith("Import as a superuser")
    assert schedules(db) == []
    assert pgqueue("import-pg-cron", as_role="alice")["made"] is True


def test_a_database_without_pg_crons_table_is_an_error_with_a_hint(pgqueue: Command, db: Database) -> None:
    told = pgqueue("import-pg-cron", fails=1)
    assert "has no table cron.job" in told["error"]["message"]
    db.execute("select pgqueue.install_pg_cron()")
    told = pgqueue("import-pg-cron", fails=1)
    assert "has pgqueue's own view cron.job" in told["error"]["message"]


def test_the_lines_of_a_crontab_are_imported_and_the_rest_is_told(
    pgqueue: Command, db: Database, crontab: Callable[[str], str]
) -> None:
    path = crontab(
        f"MAILTO=root\n# nightly\n0 3 * * * psql -d {db.name} -c 'vacuum'\nCRON_TZ=Europe/Berlin\n"
        f"@daily psql -d {db.name} -c \"select 'a'\" >> /var/log/x 2>&1\n"
    )

    told = pgqueue("import-crontab", path, "--owner", "alice")

    assert outcomes(told) == [("line 1", "noted"), ("line 3", "imported"), ("line 5", "imported")]
    assert schedules(db) == [
        ("crontab:3", "0 3 * * *", "UTC", "alice", True, "none", "skip"),
        ("crontab:5", "@daily", "Europe/Berlin", "alice", True, "none", "skip"),
    ]
    assert db.fetch_value("select sql from pgqueue.schedule where name = 'crontab:5'") == "select 'a'"


def test_one_line_that_cannot_be_imported_leaves_everything_as_it_was(
    pgqueue: Command, db: Database, crontab: Callable[[str], str]
) -> None:
    path = crontab(
        "0 3 * * * psql -c 'select 1'\n0 4 * * * backup.sh\n70 3 * * * psql -c 'select 2'\n@reboot psql -c 'select 3'\n"
        "0 3 * * * psql -U nobody_here -c 'select 4'\nCRON_TZ=Mars/North\n0 3 * * * psql -c 'select 5'\n"
    )

    told = pgqueue("import-crontab", path, as_role="alice", fails=1)

    assert [job["outcome"] for job in told["jobs"]] == ["possible", *["refused"] * 5]
    assert [job["reason"] for job in told["jobs"][1:]] == [
        'the command is "backup.sh" and not psql',
        'minute "70" is out of range',
        'schedule "@reboot" has no instant',
        'role "nobody_here" does not exist',
        'time zone "Mars/North" is not known',
    ]
    assert schedules(db) == []
    assert pgqueue("import-crontab", path, "--partial", as_role="alice", fails=1)["made"] is True
    assert [row[:1] + row[3:4] for row in schedules(db)] == [("crontab:1", "alice")]


def test_what_is_printed_for_people_says_each_line_and_the_sum(
    pgqueue: Command, db: Database, crontab: Callable[[str], str], capsys: pytest.CaptureFixture[str]
) -> None:
    path = crontab("0 3 * * * psql -c 'select 1'\n0 4 * * * backup.sh\n")

    code = run(["schedule", "import-crontab", path, "--dsn", db.dsn_for("alice")])

    printed = capsys.readouterr()
    assert code == 1
    assert printed.out.splitlines() == [
        "line 1: possible crontab:1 (0 3 * * *)",
        f"  note: it names no database and is taken for one of {db.name}",
        'line 2: refused 0 4 * * *: the command is "backup.sh" and not psql',
        "0 schedules made, 1 jobs refused; nothing was changed",
    ]
    assert printed.err == "hint: --partial makes those that can be\n"
    assert run(["schedule", "import-crontab", "/nowhere/crontab"]) == 1
