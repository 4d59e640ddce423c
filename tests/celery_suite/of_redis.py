"""A pytest plugin for Celery's integration tests on pgqueue: what of Redis some of them want or excuse, and says so.

`run` loads it. Tests that ask Redis what its clients subscribe to are told what this process awaits here. What is skipped
has its like among our own tests; what may fail may fail on Redis, by the tests' own marks.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any
from unittest import mock

import psycopg
import pytest

from pgqueue.results import PgQueueBackend
from pgqueue.results.backend import _backends

_EARLY = (
    "wants a client to subscribe to a result when it calls the task; here it waits for one when it is asked to, and no"
    " earlier: tests/integration/test_results.py, who is notified"
)
SKIPPED = {
    "test_asyncresult_forget_cancels_subscription": _EARLY,
    "test_asyncresult_get_cancels_subscription": _EARLY,
    "test_redis_subscribed_channels_leak": _EARLY + " (on Redis it is expected to fail)",
    "test_chord_on_error": "reads the keys that a failed chord leaves in Redis, where its parts are gone when its"
    " errbacks are called; here: test_results.py, a part that failed",
}
MAY_FAIL = {
    "test_chord_header_id_duplicated_on_rabbitmq_msg_duplication": "publishes an object of Python's as a property of"
    " the message, which only AMQP leaves out",
    "test_error_propagates_from_chord": "Celery's issue 6437: who joins a group natively does not look at what came"
    " before the group",
}
SLOWED = "test_simple_chord_with_a_delay_in_group_save"


def pytest_collection_modifyitems(items: list[pytest.Function]) -> None:
    for item in items:
        if reason := SKIPPED.get(item.originalname):
            item.add_marker(pytest.mark.skip(reason=reason))
        if reason := MAY_FAIL.get(item.originalname):
            item.add_marker(pytest.mark.xfail(reason=reason, strict=False))
        if hasattr(item.module, "get_active_redis_channels"):
            item.module.get_active_redis_channels = awaited_channels


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Function) -> Iterator[None]:
    """Give one test the delay that it gives to a function of Celery's key-value backends."""
    with slow_chord_sizes() if item.originalname == SLOWED else contextlib.nullcontext():
        return (yield)


def awaited_channels() -> list[bytes]:
    """Return what this process and its server say is awaited, as the names of the channels that Redis would have."""
    awaited: set[str] = set()
    for backend in list(_backends):
        awaited.update(backend.result_consumer._awaited)
        with psycopg.connect(backend.database.conninfo) as session:
            awaited.update(task_id for (task_id,) in session.execute("select task_id from pgqueue.result_waiter"))
    return [f"celery-task-meta-{task_id}".encode() for task_id in awaited]


@contextlib.contextmanager
def slow_chord_sizes() -> Iterator[None]:
    """Let the size of a chord be known a second late."""
    set_chord_size = PgQueueBackend.set_chord_size

    def set_it_late(self: PgQueueBackend, *arguments: Any) -> None:
        time.sleep(1)
        set_chord_size(self, *arguments)

    with mock.patch.object(PgQueueBackend, "set_chord_size", set_it_late):
        yield
