"""What a job says with RAISE is readable by its handle: while it runs, afterwards, after a rollback, in both lanes."""

from __future__ import annotations

import json
from typing import Any

import pytest

import pgqueue
from pgqueue.cli.commands import run
from tests.harness import Database, eventually
from tests.harness.database import Connection
from tests.harness.executors import Executors
from tests.harness.jobs import launch, submit
from tests.harness.people import fetch_value, refused
from tests.integration.test_batch_lane import enqueue, wait_for

pytestmark = pytest.mark.every_server

LANES = [launch, submit]
LOG = "select severity, sqlstate, message, detail, hint from pgqueue.job_log(%s::bigint)"


def say(*texts: str, then: str = "") -> str:
    """Return a statement that says something."""
    return f"do $$ begin {' '.join(f'raise notice {text!r};' for text in texts)} {then} end $$"


def log_of(session: Connection, job_id: int) -> list[str]:
    """Return the messages of a job."""
    return [row[2] for row in session.execute(LOG, [job_id])]


def expect(session: Connection, job_id: int, messages: list[str]) -> None:
    """Wait until a job has said this: the worker writes the last lines of the batch lane after its end."""
    eventually(lambda: log_of(session, job_id) == messages, 5, what=f"the log {messages}")


@pytest.mark.parametrize("way_in", LANES)
def test_each_line_has_its_fields_and_its_time(way_in: Any, alice: Connection, executors: Executors) -> None:
    job = way_in(
        alice,
        "do $$ begin raise info 'i'; raise warning 'w' using errcode = '01P99', detail = 'd', hint = 'h'; end $$",
    )
    row = job.end()

    expect(alice, job.id, ["i", "w"])
    assert alice.execute(LOG, [job.id]).fetchall() == [
        ("INFO", "00000", "i", None, None),
        ("WARNING", "01P99", "w", "d", "h"),
    ]
    handle = f"({job.id},{job.cookie})"
    between = "select bool_and(at between %s::timestamptz - interval '1 s' and %s::timestamptz + interval '1 s') from pgqueue.job_log(%s::pgqueue.handle)"
    assert fetch_value(alice, between, [row["started_at"], row["ended_at"], handle])


@pytest.mark.parametrize("way_in", LANES)
def test_it_is_read_while_the_job_runs_and_after_its_rollback(
    way_in: Any, alice: Connection, executors: Executors
) -> None:
    job = way_in(alice, say("early", then="perform pg_sleep(60);"))

    expect(alice, job.id, ["early"])
    assert job.row["ended_at"] is None
    job.cancel()
    assert job.end()["state"] == "canceled"
    assert log_of(alice, job.id) == ["early"]


def test_a_reader_in_a_transaction_with_an_old_snapshot_sees_it(alice: Connection, executors: Executors) -> None:
    job = launch(alice, say("early", then="perform pg_sleep(60);"))
    alice.execute("begin isolation level repeatable read read only; select 1")

    expect(alice, job.id, ["early"])

    alice.execute("rollback")
    job.cancel()


def test_whoever_sees_the_end_of_a_launched_job_finds_its_whole_log(alice: Connection, executors: Executors) -> None:
    for statement in (say("a", "b", "c"), say("a", "b", "c", then="perform 1 / 0;")):
        job = launch(alice, statement)
        fetch_value(alice, "select pgqueue.wait((%s, %s)::pgqueue.handle)", [job.id, job.cookie])

        assert log_of(alice, job.id) == ["a", "b", "c"]


@pytest.mark.parametrize("group_commit", ["1", "100"])
def test_each_job_of_a_chunk_has_its_own_lines(
    group_commit: str, alice: Connection, owner: Connection, executors: Executors
) -> None:
    owner.execute("select pgqueue.configure('group_commit', %s, queue => 'default')", [group_commit])
    statements = [say(f"{n}") if n % 3 else "select 1" for n in range(60)]
    # Each is its own even where texts are the same, and whatever it puts into its context.
    forged = say("forged", then="perform 1;").replace("begin", "begin -- pgqueue job 1\n")

    ids = enqueue(alice, *statements, say("0"), forged)

    assert set(wait_for(alice, ids).values()) == {"succeeded"}
    for n, job_id in enumerate(ids[:60]):
        expect(alice, job_id, [str(n)] if n % 3 else [])
    expect(alice, ids[60], ["0"])
    expect(alice, ids[61], ["forged"])


def test_a_job_with_parameters_and_a_function_that_speaks_has_its_lines(
    alice: Connection, owner: Connection, executors: Executors
) -> None:
    owner.execute(
        "create function public.tell(word text) returns void language plpgsql as $$ begin raise notice '%', word; end $$"
    )
    job = submit(alice, "select public.tell($1)", params=["heard"])
    job.end()

    expect(alice, job.id, ["heard"])


def test_a_job_that_its_group_rolled_back_says_each_line_once(
    alice: Connection, owner: Connection, executors: Executors
) -> None:
    owner.execute("select pgqueue.configure('group_commit', '100', queue => 'default')")
    wait_for(alice, enqueue(alice, *["select 1"] * 8))

    ids = enqueue(alice, say("a"), say("failing", then="perform 1 / 0;"), say("c"))

    states = wait_for(alice, ids)
    assert [states[job_id] for job_id in ids] == ["succeeded", "failed", "succeeded"]
    for job_id, message in zip(ids, ["a", "failing", "c"], strict=True):
        expect(alice, job_id, [message])


def test_the_lines_of_all_attempts_are_kept(alice: Connection, executors: Executors) -> None:
    job = submit(alice, say("try", then="perform 1 / 0;"), max_attempts=3, backoff="1 ms")
    job.end()

    expect(alice, job.id, ["try"] * 3)


@pytest.mark.parametrize("way_in", LANES)
def test_the_error_and_the_message_of_a_job_are_its_own(way_in: Any, alice: Connection, executors: Executors) -> None:
    unclosed = way_in(alice, "select 'abc").end()
    raised = way_in(alice, "do $$ begin raise 'no'; end $$").end()

    assert unclosed["error"] == """unterminated quoted string at or near "'abc\""""
    assert raised["error_context"] == "PL/pgSQL function inline_code_block line 1 at RAISE"


@pytest.mark.parametrize("way_in", LANES)
def test_a_long_log_is_cut_and_says_so(way_in: Any, alice: Connection, executors: Executors) -> None:
    many = way_in(alice, "do $$ begin for i in 1..3000 loop raise notice '%', i; end loop; end $$")
    wide = way_in(alice, "do $$ begin for i in 1..100 loop raise notice '%', repeat('é', 8000); end loop; end $$")
    cut = "the log of the job was cut here: it has 1,000 lines or 256 kB at most"
    for job in (many, wide):
        assert job.end()["state"] == "succeeded"
        eventually(lambda job=job: log_of(alice, job.id)[-1:] == [cut], 10)

    assert log_of(alice, many.id) == [*map(str, range(1, 1001)), cut]
    *lines, last = alice.execute(LOG, [wide.id]).fetchall()
    assert last == ("WARNING", "01000", cut, None, None)
    assert {len(line[2].encode()) for line in lines} == {8192}
    assert sum(len(line[2].encode()) for line in lines) <= 262_144


def test_a_job_that_says_nothing_writes_nothing(alice: Connection, owner: Connection, executors: Executors) -> None:
    for way_in in LANES:
        way_in(alice, "set client_min_messages = warning; do $$ begin raise notice 'hidden'; end $$").end()
        way_in(alice, "select pgqueue.progress(50)").end()

    assert fetch_value(owner, "select count(*) from pgqueue.job_log_line") == 0
    assert executors.pool.context.job_log._said == {}


def test_progress_and_waits_are_no_lines(alice: Connection, executors: Executors) -> None:
    job = launch(alice, f"select pgqueue.progress(5, 'x'); select pgqueue.wait(pgqueue.submit('select 1')); {say('x')}")
    job.end()

    expect(alice, job.id, ["x"])


def test_a_writer_that_the_server_leaves_alone_drops_lines_and_the_job_ends(
    alice: Connection, owner: Connection, executors: Executors
) -> None:
    owner.execute("revoke execute on function pgqueue._write_job_log from pgqueue_worker")

    for way_in in LANES:
        assert way_in(alice, say("lost")).end()["state"] == "succeeded"


def test_retention_drops_it_with_the_history(alice: Connection, owner: Connection, executors: Executors) -> None:
    job = submit(alice, say("old"))
    job.end()
    expect(alice, job.id, ["old"])
    owner.execute(
        "with gone as (delete from pgqueue.job_log_line returning *)"
        " insert into pgqueue.job_log_line select g.id, '2020-01-01', g.place, g.at, g.severity, g.sqlstate, g.message from gone g"
    )

    owner.execute("select pgqueue._drop_partitions('7 days')")

    assert log_of(alice, job.id) == []
    partitions = "select count(*) from pg_inherits where inhparent = 'pgqueue.{}'::regclass"
    counts = [fetch_value(owner, partitions.format(table)) for table in ("job_log_line", "history")]
    assert counts[0] == counts[1]


def test_a_job_that_is_not_known_has_no_log(alice: Connection, executors: Executors) -> None:
    assert refused(alice, LOG, [999_999_999]).sqlstate == "42704"
    assert refused(alice, "select * from pgqueue.job_log(null)").sqlstate == "22004"


def test_the_client_reads_it(db: Database, alice: Connection, executors: Executors) -> None:
    with pgqueue.connect(db.dsn_for("alice")) as client:
        job = client.launch(say("to Python"))
        job.wait()

        (line,) = job.log()

    assert isinstance(line, pgqueue.LogLine)
    assert (line.severity, line.sqlstate, line.message, line.detail, line.hint) == (
        *("NOTICE", "00000", "to Python"),
        *(None, None),
    )
    assert line.at.tzinfo is not None


def test_the_command_prints_it_and_follows_a_job(
    db: Database,
    alice: Connection,
    executors: Executors,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("PGQUEUE_DSN", db.dsn_for("alice"))
    job = launch(
        alice,
        "do $$ begin raise notice E'one\\x1b'; perform pg_sleep(1.2); raise warning 'two' using detail = 'd', hint = 'h'; end $$",
    )
    expect(alice, job.id, ["one\x1b"])

    assert run(["log", str(job.id), "--follow"]) == 0

    assert job.row["state"] == "succeeded"
    first, *rest = capsys.readouterr().out.splitlines()
    assert first.endswith("NOTICE: one\\x1b")
    assert [rest[0].split(" ", 2)[2], *rest[1:]] == ["WARNING: two", "  DETAIL: d", "  HINT: h"]

    assert run(["log", str(job.id), "--json"]) == 0

    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["severity"], line["message"], line["hint"]) for line in lines] == [
        ("NOTICE", "one\x1b", None),
        ("WARNING", "two", "h"),
    ]
    assert run(["log", "999999999"]) == 1


def test_two_workers_that_write_at_once_lose_nothing(db: Database, alice: Connection) -> None:
    """A lost worker's last lines may come after the first ones of the next worker."""
    handle = alice.execute("select (h).id from pgqueue.submit('select 1', delay => '1 h') h").fetchone()
    assert handle is not None
    one, other = (db.connect() for _ in range(2))
    write = "select pgqueue._write_job_log(%s)"

    def line(text: str) -> str:
        return json.dumps([{"id": handle[0], "severity": "NOTICE", "message": text, "age_ms": 0}])

    with one.transaction():
        one.execute(write, [line("first")])
        other.execute("set statement_timeout = '2 s'")
        other.execute(write, [line("second")])

    assert sorted(log_of(alice, handle[0])) == ["first", "second"]


def test_lines_of_a_job_that_no_longer_exists_are_ignored(owner: Connection) -> None:
    owner.execute(
        "select pgqueue._write_job_log(%s)",
        [json.dumps([{"id": 999_999_999, "severity": "NOTICE", "message": "x", "age_ms": 0}])],
    )

    assert fetch_value(owner, "select count(*) from pgqueue.job_log_line") == 0
