"""The command line against a real server; a played worker runs the jobs where the test needs one."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest

import pgqueue
from pgqueue import errors
from pgqueue.cli.ask import ask
from pgqueue.cli.commands import run
from tests.harness import Database, eventually
from tests.harness.claimant import Claimant

Command = Callable[..., str]
InBackground = Callable[..., Future[Any]]


@pytest.fixture
def command(db: Database, monkeypatch: pytest.MonkeyPatch, run_command: Command) -> Command:
    """Run a command as an enrolled superuser and return what it prints; `fails=N` expects that exit code."""
    db.execute("select pgqueue.enroll('postgres')")
    monkeypatch.setenv("PGQUEUE_DSN", db.dsn)
    return run_command


def lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.splitlines()]


class TestLaunching:
    def test_launch_prints_the_handle(self, command: Command) -> None:
        handle = pgqueue.Handle.parse(command("launch", "select 1"))

        assert json.loads(command("show", str(handle), "--json"))["id"] == handle.id

    def test_launch_prints_json_on_request(self, command: Command) -> None:
        told = json.loads(command("launch", "select 1", "--json"))

        assert told["handle"] == f"{told['id']}:{told['cookie']}"

    def test_options_reach_the_job(self, command: Command, db: Database) -> None:
        command(
            *("launch", "select $1::int + $2::int", "-p", "1", "-p", "2", "--queue=q", "--priority=9", "--delay=5m"),
            *("--timeout=90s", "--label=sum", "--unique-key=k"),
        )

        row = db.execute(
            "select params, queue, priority::int, label, unique_key, extract(epoch from timeout)::int, state::text"
            " from pgqueue.message"
        )
        assert row == [(["1", "2"], "q", 9, "sum", "k", 90, "delayed")]

    def test_moments_and_retries_reach_the_job(self, command: Command, db: Database) -> None:
        command(
            *(
                "launch",
                "select 1",
                "--eta=2190-01-31T18:00Z",
                "--expires=2190-02-01T00:00+01:00",
                "--durability=async",
            ),
            *("--max-attempts=3", "--backoff=5s"),
        )

        row = db.execute(
            "select due_at = '2190-01-31 18:00Z', expires_at = '2190-01-31 23:00Z', max_attempts::int,"
            " extract(epoch from backoff)::int, settings ->> 'synchronous_commit' from pgqueue.message"
        )
        assert row == [(True, True, 3, 5, "off")]

    def test_a_moment_that_is_none_is_refused(self, db: Database, capsys: pytest.CaptureFixture[str]) -> None:
        assert run(["launch", "select 1", "--eta", "tomorrow", "--dsn", db.dsn]) == 2

        assert '"tomorrow" is not a moment' in capsys.readouterr().err

    def test_a_statement_can_come_from_standard_input(self, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("sys.stdin", io.StringIO("select 'from a pipe'"))
        handle = command("launch", "-").strip()

        assert "from a pipe" in command("show", handle)

    @pytest.mark.usefixtures("working")
    def test_launch_can_wait_for_the_rows(self, command: Command) -> None:
        printed = command("launch", "select n, n * n as square from generate_series(1, $1::int) n", "-p", "2", "--wait")

        assert lines(printed) == ["n  square", "1       1", "2       4", "(2 rows)"]

    def test_a_bad_option_of_the_server_is_an_error_with_its_hint(self, command: Command) -> None:
        said = command("launch", "  ", fails=1)

        assert "pgqueue: error: sql parameter cannot be empty (22023)" in said
        assert "hint: Give one or more SQL statements." in said

    def test_a_bad_option_of_the_command_is_a_usage_error(self, command: Command) -> None:
        assert "is not a duration" in command("launch", "select 1", "--delay=soon", fails=2)


@pytest.mark.usefixtures("working")
class TestOutcomes:
    def test_result_prints_the_rows(self, command: Command) -> None:
        handle = command("launch", "select 42 as answer, null as nothing").strip()

        assert lines(command("result", handle)) == ["answer  nothing", "    42", "(1 row)"]

    def test_result_prints_json_on_request(self, command: Command) -> None:
        handle = command("launch", "select 1.50::numeric as n, '{1,2}'::int[] as a, date '2026-02-28' as d").strip()

        assert json.loads(command("result", handle, "--json")) == {
            "columns": ["n", "a", "d"],
            "rows": [["1.50", [1, 2], "2026-02-28"]],
            "command_tags": ["SELECT 1"],
        }

    def test_the_error_of_a_job_is_printed_in_full(self, command: Command) -> None:
        handle = command("launch", "do $$ begin raise 'no' using detail = 'why', hint = 'how'; end $$").strip()

        said = command("result", handle, fails=1)

        assert lines(said)[:3] == ["pgqueue: error: no (P0001)", "detail: why", "hint: how"]
        assert "context: PL/pgSQL function inline_code_block" in said

    def test_the_error_of_a_job_is_json_on_request(self, command: Command) -> None:
        handle = command("launch", "select 1 / 0").strip()

        error = json.loads(command("result", handle, "--json", fails=1))["error"]

        assert (error["type"], error["sqlstate"], error["message"]) == ("JobFailed", "22012", "division by zero")

    def test_wait_says_how_the_job_ended(self, command: Command) -> None:
        failing = pgqueue.Handle.parse(command("launch", "select 1 / 0"))

        assert command("wait", str(failing)) == f"job {failing.id} failed\n"
        assert json.loads(command("wait", str(failing), "--json")) == {"id": failing.id, "state": "failed"}

    def test_show_has_the_error_of_a_failed_job(self, command: Command) -> None:
        handle = pgqueue.Handle.parse(command("launch", "select 1 / 0"))
        command("wait", str(handle))

        shown = command("show", str(handle.id))

        assert re.search(r"^sqlstate +22012$", shown, re.MULTILINE)
        assert re.search(r"^error +division by zero$", shown, re.MULTILINE)


class TestWaiting:
    def test_a_wait_that_times_out_fails_and_leaves_the_job(self, command: Command) -> None:
        handle = command("launch", "select 1").strip()

        assert "has not ended yet" in command("wait", handle, "--timeout=50ms", fails=1)
        assert json.loads(command("show", handle, "--json"))["state"] == "queued"

    def test_update_changes_what_waits_and_says_so(self, command: Command, db: Database) -> None:
        handle = command("launch", "select $1::int", "-p", "1", "--delay=1h").strip()
        number = handle.partition(":")[0]

        changed = command(
            "update", handle, "--eta=2190-01-31T18:00Z", "--priority=9", "--queue=q", "-p", "2", "--timeout=5s"
        )

        assert changed == f"job {number} updated\n"
        columns = "due_at = '2190-01-31 18:00Z', priority::int, queue, params, extract(epoch from timeout)::int"
        assert db.execute(f"select {columns} from pgqueue.message") == [(True, 9, "q", ["2"], 5)]
        assert json.loads(command("update", number, "--priority=1", "--json")) == {"id": int(number), "updated": True}
        command("cancel", handle)
        assert f"job {number} is not changed" in command("update", handle, "--priority=2", fails=1)
        assert "Say what to change" in command("update", handle, fails=2)

    def test_a_second_launch_with_a_key_is_handled_as_its_option_says(self, command: Command) -> None:
        first = command("launch", "select 1", "--unique-key=k", "--unique-for=1h")

        assert command("launch", "select 2", "--unique-key=k", "--on-conflict=replace") == first
        assert "select 2" in command("show", first.strip())
        assert "(23505)" in command("launch", "select 3", "--unique-key=k", "--on-conflict=raise", fails=1)

    def test_cancel_says_what_it_did(self, command: Command) -> None:
        handle = pgqueue.Handle.parse(command("launch", "select 1"))

        assert command("cancel", str(handle)) == f"job {handle.id}: canceled\n"
        assert command("cancel", str(handle)) == f"job {handle.id}: had already ended\n"
        assert json.loads(command("cancel", str(handle), "--json")) == {
            "canceled": 0,
            "dry_run": False,
            "jobs": [{"id": handle.id, "canceled": False}],
            "notices": [],
        }

    def test_an_unknown_job_is_an_error(self, command: Command) -> None:
        assert "pgqueue: error:" in command("show", "4711", fails=1)
        assert "(42704)" in command("wait", "4711:1", fails=1)

    def test_what_is_neither_id_nor_handle_is_a_usage_error(self, command: Command) -> None:
        for asking in ("show", "wait", "result", "cancel"):
            assert "expected its number, or ID:COOKIE" in command(asking, "abc", fails=2)

    def test_the_number_that_list_shows_is_enough(self, command: Command, worker: Claimant) -> None:
        long = f"select '{'x' * 200}' as said"
        for statement in (long, "select 1", "select 2"):
            command("launch", statement)
        first, second, third = sorted(job["id"] for job in json.loads(command("list", "--json")))
        worker.run_next()

        assert command("wait", str(first)) == f"job {first} succeeded\n"
        assert json.loads(command("result", str(first), "--json"))["rows"] == [["x" * 200]]
        assert json.loads(command("show", str(first), "--full", "--json"))["statement"] == long
        assert command("cancel", str(second), str(third)) == f"job {second}: canceled\njob {third}: canceled\n"

    def test_list_and_show_print_the_handle_to_whoever_may_use_it(self, command: Command, db: Database) -> None:
        handle = command("launch", "select 1").strip()
        db.execute("grant pgqueue_monitor to {}".format(db.create_role("mon")))
        watching = ("--dsn", db.dsn_for("mon"), "--json")

        assert json.loads(command("list", "--json"))[0]["handle"] == handle
        assert f"handle  {handle}".split() in [line.split() for line in lines(command("show", handle.split(":")[0]))]
        assert json.loads(command("list", *watching))[0]["handle"] is None
        assert json.loads(command("show", handle.split(":")[0], *watching))["handle"] is None


class TestLonelyQueues:
    @pytest.fixture
    def said(self, command: Command, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
        def call(*arguments: str) -> str:
            run(arguments)
            return capsys.readouterr().err

        return call

    def test_who_looks_or_waits_is_told_that_no_worker_takes_from_the_queue(
        self, command: Command, said: Callable[..., str]
    ) -> None:
        handle = command("launch", "select 1", "--queue=lonely").strip()

        assert said("list") == "no live worker takes from queue lonely\n"
        assert said("list", "--json") == ""
        assert "hint: No live worker takes from queue lonely" in said("wait", handle, "--timeout=10ms")

    def test_where_a_worker_takes_jobs_nothing_is_said(
        self, command: Command, said: Callable[..., str], worker: Claimant, db: Database
    ) -> None:
        worker.set_queues("q")
        db.execute("update pgqueue.worker set executors = 1")
        handle = command("launch", "select 1", "--queue=q").strip()

        assert said("list") == ""
        assert "hint" not in said("wait", handle, "--timeout=10ms")

    def test_a_queued_job_says_what_it_waits_for(self, command: Command, worker: Claimant, db: Database) -> None:
        def waits_for(*options: str) -> str:
            told = json.loads(command("launch", "select 1", "--json", *options))
            return str(json.loads(command("show", str(told["id"]), "--json"))["waits_for"])

        assert waits_for("--queue=lonely") == "a worker: no live one takes from queue lonely"
        assert waits_for("--queue=q", "--eta=2190-01-31T18:00Z").startswith("its time, 2190-01-31 ")
        worker.set_queues("q")
        db.execute("update pgqueue.worker set executors = 1")
        assert waits_for("--queue=q") == "a free executor"
        command("pause", "q")
        assert waits_for("--queue=q") == "the end of the pause of queue q"
        no_login = {"sqlstate": "28000", "message": 'cannot log in as role "alice"', "deferrals": 1}
        db.execute("update pgqueue.message set last_error = %s", [json.dumps(no_login)])
        (last,) = json.loads(command("list", "--limit=1", "--json"))
        assert json.loads(command("show", str(last["id"]), "--json"))["waits_for"].startswith("a login: cannot log in")

    def test_the_list_says_that_a_queue_is_paused(self, command: Command, said: Callable[..., str]) -> None:
        command("launch", "select 1", "--queue=held")
        command("pause", "held")

        assert said("list").splitlines() == ["no live worker takes from queue held", "queue held is paused"]

    def test_who_may_not_see_workers_queues_is_told_the_same(
        self, db: Database, worker: Claimant, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        worker.set_queues("q")
        db.execute("update pgqueue.worker set executors = 1")
        monkeypatch.setenv("PGQUEUE_DSN", db.dsn_for(db.create_role("alice")))
        with pgqueue.connect() as client:
            taken, lonely = client.launch("select 1", queue="q"), client.launch("select 1", queue="lonely")

            assert not taken.waits_for_worker()
            assert lonely.waits_for_worker()
        reasons = ask(None, "why_queued", id=taken.id), ask(None, "why_queued", id=lonely.id)
        assert reasons == ([("a free executor",)], [("a worker: no live one takes from queue lonely",)])

        worker.kill()
        assert ask(None, "has_takers", queue="q") == [(False,)]

    def test_a_client_that_waits_long_logs_it_once(
        self, db: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr("pgqueue.client.job_calls.TELL_SECONDS", 0.1)
        with pgqueue.connect(db.dsn_for(db.create_role("alice"))) as client:
            job = client.launch("select 1", queue="lonely")

            assert not job.wait(1.5)
            assert job.waits_for_worker()
            with pytest.raises(errors.WaitTimeout) as late:
                job.result(0.01)

        assert [record.getMessage() for record in caplog.records] == [
            f"job {job.id} waits: no live worker takes from queue lonely"
        ]
        assert late.value.hint == "no live worker takes from queue lonely"


class TestLooking:
    def test_list_shows_the_newest_first_and_filters(self, command: Command) -> None:
        command("launch", "select 1", "--label=first", "--queue=a")
        command("launch", "select 2", "--label=second", "--queue=b")

        assert [job["label"] for job in json.loads(command("list", "--json"))] == ["second", "first"]
        assert [job["label"] for job in json.loads(command("list", "--queue=a", "--json"))] == ["first"]
        assert json.loads(command("list", "--state=running", "--json")) == []
        assert len(lines(command("list", "--limit=1"))) == 2

    def test_stats_show_totals_queues_and_workers(self, command: Command, worker: Claimant) -> None:
        worker.set_queues("default")
        command("launch", "select 1")
        worker.run_next()
        command("launch", "select 1", "--queue=slow", "--delay=1h")

        told = json.loads(command("stats", "--json"))

        assert [(row["queue"], row["completed"]) for row in told["totals"]] == [("default", 1)]
        assert {row["queue"]: row["delayed"] for row in told["queues"]}["slow"] == 1
        assert [(row["worker"], row["status"]) for row in told["workers"]] == [("w1", "online")]
        assert "Jobs since the installation" in command("stats")

    def test_what_waits_is_shown_in_its_order_and_stays(self, command: Command, db: Database) -> None:
        db.create_role("alice")
        with pgqueue.connect(db.dsn_for("alice")) as client:
            later = client.enqueue("select 'secret'", queue="q", label="later", delay=3600)
            client.send_task("shop.order_placed", ["secret"], queue="q")
            client.enqueue("select 'secret'", queue="q", label="first", priority=9)
            client.enqueue("select 'secret'", queue="elsewhere")
        db.execute(
            "insert into pgqueue.outbox (kind, queue, payload) values ('task', 'q', %s)",
            ['{"headers": ' + "[" * 5_000 + "]" * 5_000 + "}"],
        )

        waiting = json.loads(command("peek", "q", "--json"))

        names = [(message["kind"], message["name"], message["state"]) for message in waiting]
        assert names == [
            ("job", "first", "ready"),
            ("task", "shop.order_placed", "ready"),
            ("task", None, "ready"),
            ("job", "later", "delayed"),
        ]
        assert (waiting[-1]["id"], waiting[-1]["submitter"]) == (later.id, "alice")
        assert waiting[-1]["eta"] is not None
        assert "secret" not in command("peek", "q")
        assert command("peek", "q", "--limit=1").count("\n") == 2
        assert db.fetch_value("select count(*) from pgqueue.message where state <> 'claimed'") == 5

    def test_what_somebody_named_a_job_does_not_control_the_terminal(self, db: Database, command: Command) -> None:
        with pgqueue.connect(db.dsn_for(db.create_role("alice"))) as alice:
            alice.enqueue("select 1", queue="q", label="a\x1b]0;title\x07\x9b31m\r\x7fz")

        for shown in (command("peek", "q"), command("peek", "q", "--json"), command("show", "1"), command("list")):
            assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f]", shown), shown
            assert "]0;title" in shown
        assert r"a\x1b]0;title\x07\x9b31m\x0d\x7fz" in command("peek", "q")
        assert r"\x1b]0;title" in command("list", "--dsn", "host=/nowhere\x1b]0;title", fails=1)
        [waiting] = json.loads(command("peek", "q", "--json"))
        assert waiting["name"] == "a\x1b]0;title\x07\x9b31m\r\x7fz"

    def test_what_waits_is_for_operators(self, db: Database, capsys: pytest.CaptureFixture[str]) -> None:
        db.create_role("alice")

        assert run(["peek", "default", "--dsn", db.dsn_for("alice")]) == 1

        assert "hint: Queues show what is in them to pgqueue_monitor" in capsys.readouterr().err

    def test_a_notice_of_the_server_about_a_queue_that_nobody_knows_is_on_standard_error(
        self, command: Command, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for arguments, output, notice in (
            (["resume", "defualt"], "queue defualt was not paused\n", 'queue "defualt" is not known'),
            (["pause", "defualt"], "queue defualt paused\n", 'no message and no worker knows queue "defualt" yet'),
            (["pause", "defualt"], "queue defualt was paused already\n", None),
        ):
            assert run(arguments) == 0
            told = capsys.readouterr()
            assert told.out == output
            assert f"pgqueue: notice: {notice}\nhint: " in told.err if notice else told.err == ""
        run(["resume", "defualt", "--json"])
        assert json.loads(capsys.readouterr().out) == {"queue": "defualt", "changed": True, "known": True}
        command("pause", "defualt")
        assert command("resume", "defualt") == "queue defualt resumed\n"

    def test_a_paused_queue_hands_nothing_out_until_it_is_resumed(self, command: Command, worker: Claimant) -> None:
        assert command("pause", "default") == "queue default paused\n"
        assert command("pause", "default") == "queue default was paused already\n"
        command("launch", "select 1")
        assert worker.claim() == []

        assert json.loads(command("resume", "default", "--json")) == {
            "queue": "default",
            "changed": True,
            "known": True,
        }
        assert len(worker.claim()) == 1

    def test_a_queue_is_told_how_its_jobs_commit(self, db: Database, command: Command) -> None:
        assert command("set-durability", "default", "async") == "queue default is async now\n"
        assert db.fetch_value("select durability from pgqueue.queues where queue = 'default'") == "async"

        told = json.loads(command("set-durability", "default", "sync", "--json"))
        assert told == {"queue": "default", "durability": "sync"}
        assert db.fetch_value("select durability from pgqueue.queues where queue = 'default'") == "sync"

    def test_queues_are_limited(self, db: Database, command: Command) -> None:
        assert command("limit", "set", "mail", "--max-running", "5", "--rate", "100", "--period", "2m") == (
            "queue mail is limited now: max_running 5, rate 100, period 00:02:00, burst 3\n"
        )
        [shown] = json.loads(command("limit", "list", "--json"))
        limits = {"max_running": 5, "per_key": None, "rate": 100, "period": "00:02:00", "burst": 3, "role": None}
        assert shown == {"queue": "mail", "limit_key": None, "running": 0, "waiting": 0, **limits}
        assert "mail" in command("limit", "list", "--queue", "mail")
        assert json.loads(command("limit", "list", "--queue", "other", "--json")) == []
        assert "Give --max-running" in command("limit", "set", "mail", fails=2)
        assert "burst is given without rate" in command("limit", "set", "mail", "--per-key=1", "--burst=2", fails=1)
        assert json.loads(command("limit", "set", "mail", "--max-running=0", "--rate=1", "--json")) == {
            "queue": "mail",
            "max_running": 0,
            "per_key": None,
            "rate": 1,
            "period": "00:01:00",
            "burst": 1,
        }
        assert json.loads(command("limit", "set", "mail", "--per-key=2", "--json")) == {
            "queue": "mail",
            "max_running": None,
            "per_key": 2,
            "rate": None,
            "period": None,
            "burst": None,
        }
        assert command("limit", "remove", "mail") == "queue mail has no limits now\n"
        assert command("limit", "remove", "mail") == "queue mail had no limits\n"
        assert json.loads(command("limit", "remove", "mail", "--json")) == {"queue": "mail", "removed": False}
        assert json.loads(command("limit", "list", "--json")) == []

    def test_queues_are_configured(self, db: Database, command: Command) -> None:
        audit = ("--queue", "audit")
        assert command("config", "set", "group_commit", "100", *audit) == "group_commit of queue audit is 100 now\n"
        assert db.fetch_value("select group_commit from pgqueue.queues where queue = 'audit'") == 100
        assert command("config", "get", "group_commit", *audit) == "100\n"
        assert command("config", "get", "group_commit", "--queue", "other") == "1\n"
        shown = {"setting": "group_commit", "queue": "audit", "value": "100", "role": None, "source": "queue"}
        assert [row for row in json.loads(command("config", "list", "--json")) if row["queue"]] == [shown]

        told = json.loads(command("config", "set", "group_commit", "default", *audit, "--json"))
        assert told == {"setting": "group_commit", "queue": "audit", "value": "1", "source": "default"}
        assert not [row for row in json.loads(command("config", "list", "--json")) if row["queue"]]
        assert "1 (the default) to 100" in command("config", "set", "group_commit", "0", *audit, fails=1)
        assert "pgqueue config list" in command("config", "get", "nonsense", *audit, fails=2)

    def test_the_database_is_configured(self, db: Database, command: Command) -> None:
        assert command("config", "get", "naptime") == "3 s\n"
        assert command("config", "get", "worker_timeout") == "not set\n"
        assert command("config", "set", "naptime", "1 s") == "naptime of the database is 00:00:01 now\n"
        rows = {row["setting"]: row for row in json.loads(command("config", "list", "--json"))}
        assert rows["naptime"] == {
            "setting": "naptime", "queue": None, "value": "00:00:01", "role": None, "source": "table"
        }  # fmt: skip
        assert rows["max_items"]["source"] == "default"
        # What holds for the database holds for a queue that has no setting of its own.
        command("config", "set", "max_deliveries", "5")
        told = json.loads(command("config", "get", "max_deliveries", "--queue", "audit", "--json"))
        assert told == {"setting": "max_deliveries", "queue": "audit", "value": "5", "source": "table"}
        assert "0.1 s to 1 hour" in command("config", "set", "naptime", "soon", fails=1)

    def test_dead_letters_are_sent_back(self, db: Database, command: Command, worker: Claimant) -> None:
        db.execute("select pgqueue._declare_queue('q', true, false, false, '{\"x-delivery-limit\": 0}')")
        db.execute("select pgqueue.enroll('postgres')")
        db.execute("select pgqueue.send_task('shop.weigh', queue => 'q')")
        worker.release(worker.claim_one("q", kind="task"))

        assert command("redrive", "q.dead") == "1 sent back from queue q.dead\n"
        assert json.loads(command("redrive", "q.dead", "--json")) == {
            "queue": "q.dead",
            "redriven": 0,
            "notices": [],
        }
        assert len(worker.claim("q", kind="task")) == 1


@pytest.mark.every_server
class TestSchema:
    def test_a_database_is_installed_looked_at_and_uninstalled(
        self, empty_db: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("PGQUEUE_DSN", empty_db.dsn)

        def call(*arguments: str) -> dict[str, Any]:
            assert run([*arguments, "--json"]) == 0
            told: dict[str, Any] = json.loads(capsys.readouterr().out)
            return told

        assert call("status")["schema"] == 0
        applied = call("install")["applied"]
        assert len([name for name in applied if not name.startswith("functions/")]) == call("status")["latest"]
        assert "functions/claim" in applied
        assert call("upgrade")["applied"] == []
        assert call("status")["pending"] == []
        assert call("uninstall", "--yes")["uninstalled"]
        assert call("status")["schema"] == 0

    def test_uninstalling_asks_first(
        self, db: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))

        assert run(["uninstall", "--dsn", db.dsn]) == 130

        assert "Drop the schema pgqueue" in capsys.readouterr().err
        assert db.fetch_value("select count(*) from pgqueue.migration")

    def test_a_database_without_pgqueue_says_what_to_do(
        self, empty_db: Database, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run(["list", "--dsn", empty_db.dsn]) == 1

        assert capsys.readouterr().err == (
            "pgqueue: error: pgqueue is not installed in this database\nhint: Run: pgqueue install\n"
        )

    def test_a_role_is_enrolled_and_unenrolled(self, command: Command, db: Database) -> None:
        db.create_role("Odd Name", enrolled=False)

        assert command("enroll", "Odd Name") == "role Odd Name enrolled\n"
        with pgqueue.connect(db.dsn_for("Odd Name")) as client:
            client.launch("select 1").cancel()
        assert json.loads(command("unenroll", "Odd Name", "--json")) == {"role": "Odd Name", "unenrolled": True}

    def test_a_role_that_does_not_exist_is_an_error(self, command: Command) -> None:
        assert 'role "no_such_role" does not exist' in command("enroll", "no_such_role", fails=1)


@pytest.mark.every_server
class TestDoctor:
    def findings(self, text: str) -> dict[str, dict[str, str]]:
        return {finding["check"]: finding for finding in json.loads(text)}

    def test_a_healthy_database_passes_every_check(self, command: Command, worker: Claimant) -> None:
        worker.set_queues("default")
        found = self.findings(command("doctor", "--json"))

        assert set(found) == {
            *(
                "server",
                "schema",
                "catalog",
                "privileges",
                "enrolment",
                "settings",
                "clock",
                "connections",
                "dead rows",
                "oldest snapshot",
                "schedules",
            ),
            *(
                "waiting jobs",
                "dead letters",
                "workers",
                "paused queues",
                "overdue jobs",
                "waiting roles",
                "quotas",
                "stuck jobs",
                "executors",
                "logins",
                "partitions",
                "upkeep",
                "home",
                "loopback",
            ),
        }
        assert {finding["level"] for finding in found.values()} == {"ok"}
        assert "asked over dblink, and answered in" in found["loopback"]["text"]

    def test_an_owner_who_only_administers_fails_nothing(
        self, db: Database, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run(["doctor", "--json", "--strict", "--dsn", db.dsn]) == 0

        found = self.findings(capsys.readouterr().out)
        skipped = {check for check, finding in found.items() if finding["level"] == "skip"}
        assert skipped == {"enrolment", "loopback"}
        assert "pgqueue enroll postgres" in found["enrolment"]["hint"]

    def test_strict_fails_on_warnings(self, command: Command) -> None:
        command("launch", "select 1", "--queue=lonely")

        command("doctor")
        assert command("doctor", "--strict", fails=1) == ""

    def test_it_leaves_nothing_behind(self, command: Command, db: Database) -> None:
        command("doctor", "--json")

        counts = "select (select count(*) from pgqueue.jobs), (select count(*) from pgqueue.stats_total)"
        assert db.execute(counts) == [(0, 0)]

    def test_a_waiting_job_without_a_worker_and_a_paused_queue_are_warnings(self, command: Command) -> None:
        command("launch", "select 1", "--queue=lonely")
        command("pause", "resting")

        found = self.findings(command("doctor", "--json"))

        assert (found["waiting jobs"]["level"], found["paused queues"]["level"]) == ("warn", "warn")
        assert "lonely (1)" in found["waiting jobs"]["text"]
        assert "pgqueue worker --queues" in found["waiting jobs"]["hint"]
        assert "resting" in found["paused queues"]["text"]

    def test_of_dead_letters_it_is_not_said_to_start_a_worker(self, command: Command) -> None:
        command("launch", "select 1", "--queue=work.dead")

        found = self.findings(command("doctor", "--json"))

        assert found["waiting jobs"]["level"] == "ok"
        assert (found["dead letters"]["level"], found["dead letters"]["text"]) == ("warn", "work.dead (1)")
        assert "pgqueue redrive" in found["dead letters"]["hint"]

    def test_a_setting_that_means_nothing_is_named(self, command: Command, db: Database) -> None:
        for setting in ("naptime = 'soon'", "nap = '1 s'", "max_items = '9'"):
            db.execute(f"alter database {db.name} set pgqueue.{setting}")
        role = db.create_role("nora")
        db.execute(f"alter role {role} in database {db.name} set pgqueue.loopback = 'nonsense'")

        found = self.findings(command("doctor", "--json"))["settings"]

        assert found["level"] == "warn"
        assert found["text"].split("; ") == [
            f"pgqueue.loopback = 'nonsense' (set for role {role} in database {db.name}): it is session or call",
            f"pgqueue.nap = '1 s' (set for database {db.name}): there is no such setting",
            f"pgqueue.naptime = 'soon' (set for database {db.name}): invalid input syntax for type interval: \"soon\"",
        ]

    def test_a_role_without_credentials_is_named(self, command: Command, worker: Claimant) -> None:
        command("launch", "select 1")
        [claim] = worker.claim()
        defer = "select pgqueue._defer_job(%s, %s, 'cannot log in as role: give it credentials', '1 min', '1 min')"
        worker.session.execute(defer, [claim.id, claim.token])

        found = self.findings(command("doctor", "--json"))

        role = claim.job["submitter"]
        assert found["waiting roles"]["level"] == "warn"
        assert found["waiting roles"]["text"] == f"{role} (1 jobs): cannot log in as role: give it credentials"
        assert found["stuck jobs"]["level"] == "ok"

    def test_a_worker_that_hangs_is_named(self, command: Command, db: Database, worker: Claimant) -> None:
        db.execute("update pgqueue.worker set last_seen_at = now() - interval '2 minutes'")

        found = self.findings(command("doctor", "--json"))["workers"]

        assert found["level"] == "warn"
        assert "connected, but not heard of: " in found["text"]

    def test_a_held_snapshot_is_named(self, command: Command, db: Database) -> None:
        holder = db.connect(autocommit=False, application_name="the holder")
        holder.execute("set transaction isolation level repeatable read")
        holder.execute("select 1")

        assert "the holder" in self.findings(command("doctor", "--json"))["oldest snapshot"]["text"]

    def test_a_database_without_pgqueue_fails(self, empty_db: Database, capsys: pytest.CaptureFixture[str]) -> None:
        assert run(["doctor", "--dsn", empty_db.dsn]) == 1

        assert lines(capsys.readouterr().out)[1:] == [
            "fail schema: pgqueue is not installed in this database",
            "      hint: Run: pgqueue install",
        ]

    def test_a_role_that_is_not_enrolled_fails_with_what_to_do(
        self, db: Database, capsys: pytest.CaptureFixture[str]
    ) -> None:
        db.create_role("bob", enrolled=False)
        db.create_role("alice")
        db.execute("grant alice to bob")

        assert run(["doctor", "--json", "--dsn", db.dsn_for("bob")]) == 1

        found = self.findings(capsys.readouterr().out)
        assert found["enrolment"]["level"] == "fail"
        assert found["enrolment"]["hint"].endswith("pgqueue enroll bob")
        assert found["loopback"]["level"] == "fail"

    def test_a_role_is_told_what_it_may_not_see_and_counts_all_connections(
        self, db: Database, capsys: pytest.CaptureFixture[str]
    ) -> None:
        db.create_role("carl")
        others = [db.connect() for _ in range(3)]

        run(["doctor", "--json", "--dsn", db.dsn_for("carl")])

        found = self.findings(capsys.readouterr().out)
        assert "pg_monitor" in found["oldest snapshot"]["text"]
        assert "pgqueue_monitor" in found["overdue jobs"]["text"]
        assert "pgqueue_monitor" in found["stuck jobs"]["text"]
        assert int(found["connections"]["text"].split()[0]) > len(others)

    def test_a_broken_loopback_fails(self, db: Database, capsys: pytest.CaptureFixture[str]) -> None:
        db.execute("select pgqueue.enroll('postgres')")
        owner = db.fetch_value("select usename from pg_user_mappings where srvname = 'pgqueue_loopback'")
        db.execute(f"alter user mapping for {owner} server pgqueue_loopback options (set user 'nobody')")

        run(["doctor", "--json", "--dsn", db.dsn])

        found = self.findings(capsys.readouterr().out)
        assert found["loopback"]["level"] == "fail"
        assert "the server cannot connect to itself" in found["loopback"]["text"]


def test_ctrl_c_while_waiting_leaves_the_job_and_says_how_to_cancel_it(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = command("launch", "select 1").strip()

    def interrupted(*_arguments: object) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(pgqueue.Job, "wait", interrupted)

    assert f"goes on; cancel it with: pgqueue cancel {handle}" in command("wait", handle, fails=130)
    assert json.loads(command("show", handle, "--json"))["state"] == "queued"


@pytest.mark.slow
def test_a_real_worker_runs_what_the_command_line_launches(
    command: Command, db: Database, start_worker: Callable[..., Any]
) -> None:
    start_worker(db)

    assert "42" in command("launch", "select 42 as answer", "--wait")
    eventually(lambda: json.loads(command("stats", "--json"))["totals"][0]["completed"] == 1)
