"""Failed jobs run again, discarded, canceled, queues purged and drained: the client and the command line."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace

import psycopg
import pytest

import pgqueue
from pgqueue.cli.commands import run
from pgqueue.client import runner
from pgqueue.errors import InvalidArgument, NotPermitted, WrongState
from tests.harness import Database
from tests.harness.claimant import Claimant
from tests.harness.clients import Clients

Command = Callable[..., str]


@pytest.fixture
def client(db: Database, clients: Clients) -> Iterator[pgqueue.Client]:
    db.create_role("alice")
    with clients.connect(db.dsn_for("alice")) as opened:
        yield opened


@pytest.fixture
def command(db: Database, monkeypatch: pytest.MonkeyPatch, run_command: Command) -> Command:
    """Run a command as alice and return what it prints; `fails=N` expects that exit code."""
    monkeypatch.setenv("PGQUEUE_DSN", db.dsn_for("alice"))
    return run_command


def fail(client: pgqueue.Client, worker: Claimant, count: int = 1, **options: str) -> list[pgqueue.Job]:
    jobs = [client.submit("select 1 / 0", **options) for _ in range(count)]
    worker.run_all(options.get("queue", "default"))
    return jobs


class TestClient:
    def test_a_job_is_retried_by_its_handle_its_text_and_its_number(
        self, client: pgqueue.Client, worker: Claimant
    ) -> None:
        jobs = fail(client, worker, 3)
        names = (jobs[0].handle, str(jobs[1].handle), jobs[2].id)

        again = [client.retry(name) for name in names]

        assert [job.status().retried_from for job in again] == [job.id for job in jobs]
        with pytest.raises(WrongState, match=f"was retried as job {again[0].id}"):
            client.retry(jobs[0].handle)

    def test_an_administrator_retries_by_number_and_gets_no_cookie(
        self, db: Database, client: pgqueue.Client, worker: Claimant
    ) -> None:
        [job] = fail(client, worker)
        db.create_role("boss", enrolled=False)
        db.create_role("bob")
        db.execute("grant pgqueue_admin to boss")
        with pgqueue.connect(db.dsn_for("bob")) as bob, pytest.raises(NotPermitted):
            bob.retry(job.id)

        with pgqueue.connect(db.dsn_for("boss")) as boss:
            assert boss.retry(job.id).handle.cookie is None

    def test_batches_take_each_failure_once(self, client: pgqueue.Client, worker: Claimant) -> None:
        fail(client, worker, 7)

        assert client.retry_jobs(queue="default", dry_run=True) == 7
        assert client.retry_jobs(queue="default", batch=3, max_count=4) == 4
        assert client.retry_jobs(queue="default", batch=2) == 3
        worker.run_all()
        assert client.discard_jobs(error="division", batch=5) == 7
        assert client.retry_jobs(queue="default") == 0

    def test_what_fails_again_meanwhile_is_left_for_the_next_call(
        self, client: pgqueue.Client, worker: Claimant
    ) -> None:
        fail(client, worker, 6)

        with worker.serving():
            assert client.retry_jobs(sqlstate="22012", batch=1) == 6

    def test_no_filter_and_unknown_ones_are_errors(self, client: pgqueue.Client) -> None:
        for call in (client.retry_jobs, client.discard_jobs, client.cancel_jobs):
            with pytest.raises(InvalidArgument, match="no filter"):
                call()
            with pytest.raises(TypeError, match="unknown filter: quue"):
                call(quue="a")  # type: ignore[call-arg]
            with pytest.raises(ValueError, match="time zone"):
                call(since=datetime(2026, 1, 1))  # noqa: DTZ001
            with pytest.raises(ValueError, match="batch"):
                call(queue="a", batch=0)

    def test_a_retry_joins_a_transaction_of_the_caller(
        self, db: Database, client: pgqueue.Client, worker: Claimant
    ) -> None:
        [job] = fail(client, worker)
        with psycopg.connect(db.dsn_for("alice")) as connection:
            client.retry(job.handle, connection=connection)
            connection.rollback()
            assert client.retry_jobs(queue="default", connection=connection) == 1
            connection.rollback()
        assert client.retry_jobs(queue="default", dry_run=True) == 1

    def test_jobs_are_canceled_by_filters(self, client: pgqueue.Client) -> None:
        jobs = [client.submit("select 1", label=f"l{n}") for n in range(5)]

        assert client.cancel_jobs(label="l1") == 1
        assert client.cancel_jobs(label="l%", batch=2, since=datetime.now(timezone.utc) - timedelta(hours=1)) == 4
        assert {job.status().state.value for job in jobs} == {"canceled"}

    def test_attempts_are_listed(self, client: pgqueue.Client, worker: Claimant) -> None:
        [job] = fail(client, worker)

        [attempt] = client.attempts(job.id)
        assert (attempt.attempt, attempt.sqlstate, attempt.error) == (1, "22012", "division by zero")

    def test_a_queue_is_purged_by_administrators(self, db: Database, client: pgqueue.Client) -> None:
        job = client.submit("select 1", queue="q")
        client.send_task("a.b", queue="q")
        with pytest.raises(NotPermitted):
            client.purge("q")
        assert client.drain("q", 0.1) is False
        db.execute("grant pgqueue_admin to alice")

        assert client.purge("q") == 2
        assert job.status().state is pgqueue.JobState.CANCELED
        assert client.drain("q", timedelta(seconds=5)) is True


class TestCommands:
    @pytest.mark.parametrize("as_json", [False, True])
    def test_an_interrupted_command_says_how_many_it_has_done(
        self,
        client: pgqueue.Client,
        worker: Claimant,
        command: Command,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        as_json: bool,
    ) -> None:
        fail(client, worker, 3)

        def interrupt(seconds: float) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(runner, "time", SimpleNamespace(sleep=interrupt, monotonic=time.monotonic))
        code = run(["retry", "--queue", "default", "--batch", "2", *(["--json"] if as_json else [])])

        output = capsys.readouterr()
        assert code == 130
        if as_json:
            assert json.loads(output.out) == {"retried": 2, "dry_run": False, "interrupted": True, "notices": []}
        else:
            assert "interrupted: retried 2 jobs" in output.err
        monkeypatch.undo()
        assert client.retry_jobs(queue="default") == 1

    def test_named_jobs_are_retried_discarded_and_canceled(
        self, client: pgqueue.Client, worker: Claimant, command: Command
    ) -> None:
        first, second, third = fail(client, worker, 3)

        retried = json.loads(command("retry", str(first.id), str(second.handle), "--json"))
        assert (retried["retried"], [job["id"] for job in retried["jobs"]]) == (2, [first.id, second.id])
        for act, done in (("retry", "retried"), ("discard", "discarded")):
            assert command(act, str(third.id), "--dry-run") == f"would have {done} 1 job\n"
            assert "is not known" in command(act, "999999", "--dry-run", fails=1)
            assert "was retried as job" in command(act, str(first.id), "--dry-run", fails=1)
            assert "cookie mismatch" in command(act, f"{third.id}:1", "--dry-run", fails=1)
        assert "is not known" in command("cancel", "999999", "--dry-run", fails=1)
        assert command("cancel", str(first.id), "--dry-run") == "would have canceled 0 jobs\n"
        assert command("discard", str(third.id)) == f"job {third.id}: discarded\n"
        assert "is gone" in command("retry", str(third.id), fails=1)
        ids = [str(job["retried_as"]) for job in retried["jobs"]]
        assert json.loads(command("cancel", *ids, "--dry-run", "--json")) == {
            "canceled": 2,
            "dry_run": True,
            "jobs": [{"id": int(number), "canceled": True} for number in ids],
            "notices": [],
        }
        assert command("cancel", *ids) == "".join(f"job {number}: canceled\n" for number in ids)

    def test_each_named_job_is_tried_and_its_outcome_is_said(
        self, client: pgqueue.Client, worker: Claimant, command: Command, capsys: pytest.CaptureFixture[str]
    ) -> None:
        first, second, third, fourth, fifth, sixth = fail(client, worker, 6)
        queued = [client.submit("select 1") for _ in range(4)]

        assert run(["retry", str(first.id), "999999", str(second.id)]) == 1
        told = capsys.readouterr()
        again = {job.retried_from: job.id for job in client.list_jobs(states=[pgqueue.JobState.QUEUED])}
        assert told.out == "".join(f"job {job.id}: retried as job {again[job.id]}\n" for job in (first, second))
        assert told.err.startswith("pgqueue: error: job 999999 is not known (42704)\nhint: ")
        assert run(["retry", "999999", str(third.id), "--json"]) == 1
        shown = json.loads(capsys.readouterr().out)
        assert (shown["retried"], [job["id"] for job in shown["jobs"]]) == (1, [999999, third.id])
        error = shown["jobs"][0]["error"]
        assert (error["type"], error["sqlstate"], error["message"]) == (
            "UnknownJob",
            "42704",
            "job 999999 is not known",
        )

        assert run(["discard", str(fourth.id), str(queued[0].id), "999999", str(fifth.id), f"{sixth.id}:1"]) == 1
        told = capsys.readouterr()
        assert told.out == f"job {fourth.id}: discarded\njob {fifth.id}: discarded\n"
        assert f"job {queued[0].id} has not ended (55000)" in told.err
        assert "job 999999 is not known (42704)" in told.err
        assert f"cookie mismatch for job {sixth.id}" in told.err

        assert run(["cancel", str(queued[0].id), "999999", str(queued[1].id)]) == 1
        told = capsys.readouterr()
        assert told.out == f"job {queued[0].id}: canceled\njob {queued[1].id}: canceled\n"
        assert "job 999999 is not known (42704)" in told.err
        assert run(["cancel", str(queued[2].id), "999999", str(queued[3].id), "--json"]) == 1
        shown = json.loads(capsys.readouterr().out)
        assert (shown["canceled"], [job.get("canceled") for job in shown["jobs"]]) == (2, [True, None, True])

    def test_what_the_server_says_of_failures_that_stay_is_shown_once(
        self, client: pgqueue.Client, worker: Claimant, command: Command, capsys: pytest.CaptureFixture[str]
    ) -> None:
        fail(client, worker, 1, label="uk", unique_key="k")
        fail(client, worker, 3, label="uk")
        client.submit("select 1", unique_key="k")

        assert run(["retry", "--label=uk", "--limit=1"]) == 0
        assert run(["retry", "--label=uk", "--batch=2"]) == 0
        told = capsys.readouterr()
        assert told.out == "retried 1 job\nretried 2 jobs\n"
        assert told.err.startswith("pgqueue: notice: 1 failed job stays\nhint: Jobs that have not ended have their")
        assert told.err.count("stays") == 1
        [notice] = json.loads(command("retry", "--label=uk", "--json"))["notices"]
        assert (notice["severity"], notice["message"]) == ("NOTICE", "1 failed job stays")

    def test_filters_say_how_many(self, client: pgqueue.Client, worker: Claimant, command: Command) -> None:
        fail(client, worker, 3, queue="mail", label="a")
        fail(client, worker, 2, queue="sms", label="b")

        assert command("retry", "--queue=mail", "--dry-run") == "would have retried 3 jobs\n"
        assert json.loads(command("retry", "--label=a", "--limit=1", "--json")) == {
            "retried": 1,
            "dry_run": False,
            "notices": [],
        }
        assert command("retry", "--error=division", "--since=1h", "--sqlstate=22012", "--batch=1") == "retried 4 jobs\n"
        assert command("retry", "--until=1h", "--queue=mail") == "retried 0 jobs\n"
        assert command("cancel", "--queue=sms", "--state=queued") == "canceled 2 jobs\n"
        assert command("cancel", "--all") == "canceled 3 jobs\n"
        fail(client, worker, 2)
        assert command("discard", "--all") == "discarded 2 jobs\n"

    @pytest.mark.parametrize("name", ["retry", "discard", "cancel"])
    def test_wrong_usage_changes_nothing(self, client: pgqueue.Client, command: Command, name: str) -> None:
        assert "--all" in command(name, fails=2)
        assert "not both" in command(name, "9", "--queue=a", fails=2)
        assert "is not a moment" in command(name, "--since=yesterday", fails=2)
        assert "is not one" in command(name, "--sqlstate=1", fails=1)

    def test_a_queue_is_purged_and_drained(self, db: Database, client: pgqueue.Client, command: Command) -> None:
        db.execute("grant pgqueue_admin to alice")
        client.submit("select 1", queue="q")

        assert json.loads(command("drain", "q", "--timeout=50ms", "--json", fails=1) or "{}") in (
            {},
            {"queue": "q", "empty": False, "left": 1, "scope": "all"},
        )
        assert command("purge", "q") == "1 purged from queue q\n"
        assert command("drain", "q", "--timeout=5s") == "queue q is empty\n"

    def test_a_role_that_sees_only_its_own_messages_is_told_that_it_waits_for_those(
        self, db: Database, client: pgqueue.Client, command: Command
    ) -> None:
        db.create_role("bob")
        with pgqueue.connect(db.dsn_for("bob")) as bob:
            bob.submit("select 1", queue="q")
        empty = {"queue": "q", "empty": True, "left": 0}

        assert command("drain", "q") == "queue q has none of your messages\n"
        assert json.loads(command("drain", "q", "--json")) == empty | {"scope": "own"}
        client.submit("select 1", queue="q")
        assert command("drain", "q", "--timeout=50ms", fails=1) == "1 of your messages left in queue q\n"
        db.execute("grant pgqueue_monitor to alice")
        assert command("drain", "q", "--timeout=50ms", fails=1) == "2 left in queue q\n"
        db.execute("delete from pgqueue.message")
        assert json.loads(command("drain", "q", "--json")) == empty | {"scope": "all"}

    def test_a_role_that_is_not_enrolled_learns_nothing_from_drain(self, db: Database, command: Command) -> None:
        db.create_role("carol", enrolled=False)

        refusal = command("drain", "q", "--dsn", db.dsn_for("carol"), fails=1)

        assert "(42501)" in refusal
        assert "pgqueue.enroll" in refusal

    def test_a_role_without_the_right_learns_which_group_role_it_lacks(self, db: Database, command: Command) -> None:
        db.create_role("mon", enrolled=False)
        db.execute("grant pgqueue_monitor to mon")

        for arguments in (["retry", "--all"], ["cancel", "--all"], ["discard", "5"], ["purge", "q"], ["redrive", "q"]):
            refusal = command(*arguments, "--dsn", db.dsn_for("mon"), fails=1)

            assert "(42501)" in refusal
            assert "grant pgqueue_admin to this_role" in refusal, arguments
