"""The processes for several databases: which are started again, which are not, and how the command ends."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from pgqueue.local import database_processes
from pgqueue.local.child_process import EXIT_REFUSED
from pgqueue.local.database_processes import DatabaseProcesses, Place
from pgqueue.local.database_twins import Twin
from pgqueue.worker import database_log
from pgqueue.worker.json_log import JsonFormatter

PLACES = [Place(name, f"dbname={name}", None) for name in ("a", "b")]


class Child:
    """A process that ends at once with the next of its exit codes, or runs until a signal."""

    def __init__(self, codes: Sequence[int | None]) -> None:
        self._codes = iter(codes)
        self._code: int | None = None
        self.starts = 0
        self.pid = 7

    def start(self) -> None:
        self.starts += 1
        self._code = next(self._codes)

    def exit_code(self) -> int | None:
        return self._code

    def describe_exit(self) -> str:
        return f"exit code {self._code}"

    def send(self, _number: signal.Signals) -> None:
        self._code = 0 if self._code is None else self._code

    def kill(self) -> None:
        self.send(signal.SIGKILL)


class Twins:
    twins = (Twin(1, 0),)

    def start(self) -> None: ...

    def stop(self) -> None: ...


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, list[str]]]:
    """Run these children until a line has been said so many times; return the exit code and what was said."""

    def run(
        children: Sequence[Child], until: str = "", times: int = 1, twins: Any = None, refused_seconds: float = 0.01
    ) -> tuple[int, list[str]]:
        given = iter(children)
        monkeypatch.setattr(database_processes, "_make_child", lambda _place, _arguments: next(given))
        monkeypatch.setattr(database_processes, "_REFUSED_SECONDS", refused_seconds)
        monkeypatch.setattr(database_processes, "_RESTART_SECONDS", 0.01)
        said: list[str] = []

        def say(line: str) -> None:
            said.append(line)
            if until and sum(until in each for each in said) == times:
                os.kill(os.getpid(), signal.SIGTERM)

        return DatabaseProcesses(PLACES, [[], []], say, twins).run(), said

    return run


@pytest.mark.timeout(20)
def test_a_process_that_its_database_refuses_is_tried_again_and_the_others_go_on(run: Any) -> None:
    a, b = Child([None]), Child([EXIT_REFUSED, EXIT_REFUSED, None])

    code, said = run([a, b], until="process for b runs", times=3)

    assert (a.starts, b.starts, code) == (1, 3, 0)
    assert said.count("b refuses its process, for the reason above; trying again in 0.01 s") == 2


@pytest.mark.timeout(20)
def test_a_database_that_refuses_its_process_to_the_last_shows_in_the_exit_code(run: Any) -> None:
    code, _said = run([Child([None]), Child([EXIT_REFUSED])], until="b refuses", refused_seconds=60)

    assert code == 1


@pytest.mark.timeout(20)
def test_the_command_ends_when_all_databases_refuse_their_processes(run: Any) -> None:
    code, said = run([Child([EXIT_REFUSED]), Child([EXIT_REFUSED])], refused_seconds=60)

    assert code == 1
    assert said[-1] == "no database accepts its process"


@pytest.mark.timeout(20)
def test_a_process_that_crashes_is_started_again(run: Any) -> None:
    a, b = Child([None]), Child([1, -9, None])

    code, said = run([a, b], until="process for b runs", times=3)

    assert (a.starts, b.starts, code) == (1, 3, 0)
    assert "refuses" not in "".join(said)


@pytest.mark.timeout(20)
def test_a_database_that_turns_out_to_be_another_one_gets_no_process(run: Any) -> None:
    a, b = Child([None]), Child([None])

    code, said = run([a, b], until="nothing runs for b: it is the same database as a", twins=Twins())

    assert (a.starts, b.starts, code) == (1, 1, 1)
    assert len(said) == 3


# The log


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv(database_log.DATABASE_VARIABLE, "100%s on\ndb1:5432")
    monkeypatch.setattr(database_log, "_names", [])
    before = logging.getLogRecordFactory()
    database_log.take_database_name()
    yield
    logging.setLogRecordFactory(before)


@pytest.mark.usefixtures("named")
def test_each_line_of_the_log_begins_with_the_database(caplog: pytest.LogCaptureFixture) -> None:
    assert database_log.DATABASE_VARIABLE not in os.environ
    database_log.name_database_in_text()

    logging.getLogger("shop").warning("%d of %s", 3, "x")
    logging.getLogger("shop").warning("50 % done")

    name = "[100%s on\\ndb1:5432]"
    assert [record.getMessage() for record in caplog.records] == [f"{name} 3 of x", f"{name} 50 % done"]


@pytest.mark.usefixtures("named")
def test_json_names_the_database_in_a_field() -> None:
    record = logging.LogRecord("shop", logging.INFO, "shop.py", 1, "said", (), None)

    assert '"database": "100%s on\\\\ndb1:5432"' in JsonFormatter().format(record)
