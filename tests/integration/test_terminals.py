"""What the command line looks like in terminals, narrow and wide, and in a pipe."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

import pgqueue
from tests.harness import Database
from tests.harness.claimant import Claimant
from tests.harness.terminal import in_terminal

LONG = "insert into a_table_that_is_not_there (id, name, address) values (1, 'ada', '12 St James''s Square')"
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@pytest.fixture
def worked(db: Database, monkeypatch: pytest.MonkeyPatch) -> Database:
    """Eight jobs: some have ended, one with an error, some wait."""
    monkeypatch.setenv("PGQUEUE_DSN", db.dsn)
    db.execute("select pgqueue.enroll('postgres')")
    with pgqueue.connect(db.dsn) as client:
        for n in range(4):
            client.launch(f"select {n}")
        client.launch(LONG, label="the import of customers, once in a month")
        worker = Claimant(db)
        worker.set_queues("default")
        worker.run_all()
        client.launch("select 'waits'", queue="default", delay=3600)
        client.launch("select '\u4e16\u754c\u4e16\u754c\u4e16\u754c\u4e16\u754c\u4e16\u754c\u4e16\u754c\u4e16\u754c'")
        client.launch("select 1\n  from pg_class\n where relname = 'many lines'")
    return db


def plain(lines: list[str]) -> list[str]:
    return [COLOUR.sub("", line) for line in lines]


def width_of(line: str) -> int:
    return sum(2 if "\u4e00" <= character <= "\u9fff" else 1 for character in line)


@pytest.mark.parametrize("width", [80, 120, 200])
@pytest.mark.parametrize("command", ["list", "queues", "stats", "workers", "peek default", "doctor"])
def test_no_line_is_wider_than_the_terminal(worked: Database, width: int, command: str) -> None:
    lines = plain(in_terminal(width, *command.split()))

    assert [line for line in lines if width_of(line) > width] == []


@pytest.mark.parametrize("width", [80, 120, 200])
def test_each_job_is_one_line_with_its_state_whole(worked: Database, width: int) -> None:
    header, *jobs = plain(in_terminal(width, "list"))

    assert header.split()[:2] == ["id", "state"]
    assert [re.split(" +", job.strip())[0] for job in jobs] == [str(n) for n in range(8, 0, -1)]
    states = [job.split()[1] for job in jobs]
    assert states == ["queued"] * 3 + ["failed"] + ["succeeded"] * 4
    assert all(re.search(r"\d\d:\d\d:\d\d|\d\d-\d\d \d\d:\d\d", job) for job in jobs)


def test_what_is_cut_says_so_and_more_room_shows_more(worked: Database) -> None:
    narrow, middle, wide = (plain(in_terminal(width, "list")) for width in (80, 120, 200))

    assert "\u2026" in narrow[4]
    assert "label" not in narrow[0].split()
    assert "label" in middle[0].split()
    assert len(middle[4]) < len(wide[4])
    assert "a_table_that_is_not_there (id, name" in wide[4]


def test_numbers_stand_to_the_right(worked: Database) -> None:
    header, *jobs = plain(in_terminal(120, "list", "--state=succeeded"))

    end = header.index("ms") + len("ms")
    assert all(re.search(r"\d\.\d$", job[:end]) for job in jobs)


def test_colours_are_for_terminals_that_have_them(worked: Database) -> None:
    assert any(COLOUR.search(line) for line in in_terminal(80, "list"))

    coloured = [
        code for line in in_terminal(80, "list", environment={"NO_COLOR": "1"}) for code in COLOUR.findall(line)
    ]
    assert [code for code in coloured if re.search(r"\b3[1-7]\b", code)] == []


def test_a_pipe_gets_everything_uncut(worked: Database) -> None:
    piped = subprocess.run(
        [sys.executable, "-m", "pgqueue", "list"], capture_output=True, text=True, check=True
    ).stdout.splitlines()

    assert piped[0].split() == [
        *("id", "state", "queue", "label", "statement", "submitter", "launched", "ms", "progress", "error")
    ]
    assert LONG in piped[4]
    assert "the import of customers, once in a month" in piped[4]
    assert "\x1b" not in "".join(piped)


def test_the_reader_may_choose_the_columns(worked: Database) -> None:
    header, *jobs = plain(in_terminal(80, "list", "--columns=id, label,handle", "--state=failed"))

    assert header.split() == ["id", "label", "handle"]
    [job] = jobs
    assert re.search(r"^ *5 +the import of customers, once in a month +5:-?\d+$", job)


def test_wide_leaves_nothing_out_and_cuts_nothing(worked: Database) -> None:
    header, *jobs = plain(in_terminal(80, "list", "--wide"))

    assert "handle" in header.split()
    assert LONG in jobs[3]


def test_a_column_that_there_is_not_is_a_usage_error(worked: Database) -> None:
    refused = subprocess.run(
        [sys.executable, "-m", "pgqueue", "list", "--columns=id,statment"], capture_output=True, text=True, check=False
    )

    assert refused.returncode == 2
    assert "there is no column statment; there are id, state" in refused.stderr


def test_a_result_too_wide_for_the_terminal_is_shown_value_by_value(worked: Database) -> None:
    with pgqueue.connect(worked.dsn) as client:
        job = client.launch("select repeat('long ', 30) as first, 42 as second")
        worker = Claimant(worked, "w2")
        worker.run_all()

        lines = plain(in_terminal(80, "result", str(job.handle)))

    assert lines[0].strip() == "row 1"
    assert re.search(r"^second +42$", lines[-2].strip())
    assert lines[-1] == "(1 row)"


def test_stats_leave_out_celerys_own_queues(worked: Database) -> None:
    worked.execute("select pgqueue._declare_queue('celeryev.4711', false, false, true, '{}')")

    def listed(*options: str) -> set[str]:
        told = subprocess.run(
            [sys.executable, "-m", "pgqueue", "queues", "--json", *options], capture_output=True, text=True, check=True
        )
        return {queue["queue"] for queue in json.loads(told.stdout)}

    assert "celeryev.4711" not in listed()
    assert "celeryev.4711" in listed("--all")


def test_peeking_into_a_queue_that_nobody_knows_says_so(worked: Database) -> None:
    peeked = [
        subprocess.run(
            [sys.executable, "-m", "pgqueue", "peek", queue], capture_output=True, text=True, check=True
        ).stderr
        for queue in ("defualt", "default")
    ]

    assert 'no message and no worker knows a queue "defualt"' in peeked[0]
    assert peeked[1] == ""
