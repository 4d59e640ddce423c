"""A pytest plugin for Celery's tests of canvases: every third signature that has an equivalent in SQL is one of SQL.

`run --sql` loads it. What the tests send from their own process is exchanged; tasks that send others are left alone.
"""

from __future__ import annotations

import json
import os
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from celery import Task

from pgqueue import sql
from pgqueue.tasks import install

EVERY = 3
UNCHANGED = {
    "test_chain_with_a_deserialised_chain_led_by_a_group": "sends signatures that were stored as JSON: a statement has"
    " lost its seal then, and is refused",
    "test_chain_of_implicit_chords_as_body[False-True]": "sends signatures that were stored as JSON",
    "test_chain_of_implicit_chords_as_body[True-True]": "sends signatures that were stored as JSON",
    "test_chord_in_chain_with_args": "runs its canvas eagerly as well, which an SQL step refuses",
    "test_chain_in_chain_with_args": "runs its canvas eagerly as well, which an SQL step refuses",
    "test_group_args_and_kwargs": "calls its group with keyword arguments, which an SQL step does not take",
    "test_reapplying_frozen_chord_dispatches_body_again": "sends the same task ids twice, and an SQL step runs once for each",
    "test_generator_group_iterated_while_calling_len": "compares the arguments of signatures",
}
_process = os.getpid()
_counts: Counter[str] = Counter()
_is_on = False


def to_sql(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Return the same in SQL, or None."""
    if kwargs or any(isinstance(arg, dict) and "task" in arg for arg in args):
        return None
    numbers = all(type(arg) is int for arg in args)
    if name == "add" and numbers and len(args) == 2:
        return sql("select $1::int + $2::int", list(args), result="scalar")
    if name == "add" and numbers and len(args) == 1:
        return sql("select $1::int + $2::int", list(args), with_result=True, result="scalar")
    if name == "identity" and len(args) == 1:
        try:
            return sql("select $1::jsonb", [json.dumps(args[0])], result="scalar")
        except TypeError:
            return None
    if name == "identity" and not args:
        return sql("select $1::jsonb", with_result=True, result="scalar")
    if name == "tsum" and not args:
        return sql(
            "select sum(n::numeric) from jsonb_array_elements_text($1::jsonb) n", with_result=True, result="scalar"
        )
    return None


def signature(self: Task, args: Any = None, *more: Any, **options: Any) -> Any:
    """Make the signature of a task, or in a third of the cases the one of SQL."""
    if _is_on and not more and os.getpid() == _process and threading.current_thread() is threading.main_thread():
        kwargs, is_immutable = options.get("kwargs") or {}, options.get("immutable", False)
        if options.keys() <= {"kwargs", "immutable"} and self.name.startswith("t.integration.tasks."):
            found = to_sql(self.name.rpartition(".")[2], tuple(args or ()), kwargs)
            if found is not None and not (is_immutable and not found.immutable):
                _counts["eligible"] += 1
                if _counts["eligible"] % EVERY == 0:
                    _counts["exchanged"] += 1
                    return found
    return _celerys(self, args, *more, **options)


_celerys = Task.signature
Task.signature = signature
Task.s = lambda self, *args, **kwargs: self.signature(args, kwargs=kwargs)
Task.si = lambda self, *args, **kwargs: self.signature(args, kwargs=kwargs, immutable=True)


@pytest.fixture(scope="session", autouse=True)
def sql_lane(celery_session_app: Any) -> None:
    """Let the worker of the tests run SQL."""
    install(celery_session_app)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Function) -> Iterator[None]:
    """Exchange signatures while a test runs."""
    global _is_on  # noqa: PLW0603 - pytest knows no plugin object here
    _is_on = UNCHANGED.keys().isdisjoint((item.originalname, item.name))
    try:
        return (yield)
    finally:
        _is_on = False


def pytest_terminal_summary(terminalreporter: Any) -> None:
    for name, reason in UNCHANGED.items():
        terminalreporter.write_line(f"nothing was exchanged in {name}: it {reason}")
    terminalreporter.write_line(
        f"exchanged for SQL: {_counts['exchanged']} of {_counts['eligible']} signatures that have an equivalent"
    )
