import json

import click
import pytest
from celery import Celery
from kombu import Queue

from pgqueue.cli import cli, run
from pgqueue.commands.app import database_of, own_queues
from pgqueue.commands.failure import show_failure
from pgqueue.errors import JobFailed, UnknownJob

COMMANDS = {
    "up", "demo", "install", "upgrade", "uninstall", "status", "worker", "flower", "launch", "list", "show", "result",
    "wait", "cancel", "stats", "queues", "workers", "peek", "pause", "resume",
    "redrive", "set-durability", "doctor", "enroll", "unenroll", "install-compat", "uninstall-compat",
}  # fmt: skip
WITH_JSON = COMMANDS - {"up", "demo", "worker", "flower"}


def test_the_commands_are_the_documented_ones() -> None:
    assert set(cli.commands) == COMMANDS


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_says_what_it_does_and_each_option_too(name: str) -> None:
    command = cli.commands[name]

    assert command.help
    assert all(option.help for option in command.params if isinstance(option, click.Option))


@pytest.mark.parametrize("name", sorted(WITH_JSON))
def test_every_answering_command_prints_json_on_request(name: str) -> None:
    assert any("--json" in option.opts for option in cli.commands[name].params)


def test_using_a_command_wrongly_exits_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["cancel", "not-a-handle"]) == 2
    assert "expected its number, or ID:COOKIE" in capsys.readouterr().err


def test_an_unreachable_server_is_one_clear_line_and_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["status", "--dsn", "host=/nowhere/at/all"]) == 1

    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("pgqueue: error: connection")


def test_a_server_that_nobody_named_is_an_error_with_a_hint(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PGQUEUE_DSN", raising=False)
    monkeypatch.setenv("PGHOST", "/nowhere/at/all")

    assert run(["status"]) == 1

    assert "hint: No server was named: give --dsn, or set PGQUEUE_DSN.\n" in capsys.readouterr().err


def test_with_json_an_error_is_json_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["status", "--json", "--dsn", "host=/nowhere/at/all"]) == 1

    error = json.loads(capsys.readouterr().err)["error"]
    assert error["type"] == "ConnectionFailed"


def test_what_is_no_connection_string_is_an_error_with_a_hint(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["status", "--dsn", "nonsense"]) == 1

    assert "hint: Write a URL" in capsys.readouterr().err


def test_an_error_of_a_call_does_not_show_the_functions_of_pgqueue(capsys: pytest.CaptureFixture[str]) -> None:
    show_failure(
        UnknownJob("job 1 is not known", sqlstate="42704", context="PL/pgSQL function pgqueue._raise"), as_json=False
    )

    assert capsys.readouterr().err == "pgqueue: error: job 1 is not known (42704)\n"


def test_an_error_of_a_job_shows_everything_that_postgresql_said(capsys: pytest.CaptureFixture[str]) -> None:
    failure = JobFailed("division by zero", sqlstate="22012", detail="A detail.", hint="A hint.", context="line 1")

    show_failure(failure, as_json=False)

    assert capsys.readouterr().err == (
        "pgqueue: error: division by zero (22012)\ndetail: A detail.\nhint: A hint.\ncontext: line 1\n"
    )


def make_app(broker: str, **conf: object) -> Celery:
    app = Celery("shop", broker=broker, set_as_current=False)
    app.conf.update(conf)
    return app


@pytest.mark.parametrize(
    ("conf", "queues"),
    [
        ({}, ["celery", "default"]),
        ({"task_default_queue": "shop"}, ["shop", "default"]),
        ({"task_queues": [Queue("fast"), Queue("slow")]}, ["fast", "slow", "default"]),
    ],
)
def test_a_worker_takes_from_the_queues_that_its_application_names(conf: dict[str, object], queues: list[str]) -> None:
    assert own_queues(make_app("pgqueue://", **conf)) == queues


def test_flower_asks_the_database_of_the_applications_broker() -> None:
    app = make_app("pgqueue://u:p@shop:55/orders")

    assert "host=shop" in database_of(app).conninfo
    with pytest.raises(click.UsageError, match="not pgqueue but amqp"):
        database_of(make_app("amqp://"))
