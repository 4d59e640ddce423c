"""Celery's monitors believe what they hear: workers tell them of work, and programs of what they have sent."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from tests.harness import Database
from tests.harness.people import fetch_value, refused

PUBLISH = "select pgqueue._publish(%s, %s, %s, 0, null, null)"
MONITOR = "celeryev.monitor"


def to_message(body: Any, **changes: Any) -> str:
    message = {
        "body": body if isinstance(body, str) else json.dumps(body),
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": {},
        "properties": {"delivery_mode": 1, "priority": 0, "delivery_info": {}},
    }
    return json.dumps({**message, **changes})


def event(kind: str, **fields: Any) -> dict[str, Any]:
    return {
        "type": kind,
        "uuid": str(uuid.uuid4()),
        "hostname": "gen1@here",
        "timestamp": 1.5,
        "utcoffset": 0,
        **fields,
    }


@pytest.fixture(autouse=True)
def _monitor(owner):
    owner.execute(
        "select pgqueue._declare_exchange('celeryev', 'topic', true, false, null),"
        f" pgqueue._declare_queue('{MONITOR}', false, false, false, null), pgqueue._bind('{MONITOR}', 'celeryev', '#')"
    )


FORGERIES = {
    "failed": to_message(event("task-failed", exception="no")),
    "of a worker": to_message(event("worker-online")),
    "several": to_message([event("task-sent")]),
    "of a job": to_message(event("task-sent", uuid="job-1")),
    "of no task": to_message({"type": "task-sent", "hostname": "x", "timestamp": 1}),
    "of a strange sender": to_message(event("task-sent", hostname={"a": 1})),
    "of a strange time": to_message(event("task-sent", timestamp="now")),
    "twice": to_message('{"type": "task-sent", "type": "task-failed", "uuid": "1", "hostname": "x", "timestamp": 1}'),
    "in disguise": to_message({**event("task-sent"), "__type__": "bytes", "__value__": "x"}),
    "no JSON": to_message("{"),
    "compressed": to_message(event("task-sent"), headers={"compression": "gzip"}),
    "encoded": to_message(event("task-sent"), properties={"body_encoding": "base64"}),
    "serialized otherwise": to_message(event("task-sent"), **{"content-type": "application/x-yaml"}),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_events_of_workers_are_taken_from_workers_only(alice, owner, forgery):
    message = FORGERIES[forgery]

    assert refused(alice, PUBLISH, ["celeryev", "task.failed", message]).sqlstate == "42501"
    assert refused(alice, PUBLISH, ["", MONITOR, message]).sqlstate == "42501"
    direct = "insert into pgqueue.outbox (kind, queue, payload) values ('task', %s, %s)"
    assert refused(alice, direct, [MONITOR, message]).sqlstate == "42501"
    assert fetch_value(owner, "select count(*) from pgqueue.message") == 0


def test_a_program_tells_of_what_it_sends_and_in_no_workers_name(db: Database, alice, owner, worker):
    alice.execute(PUBLISH, ["celeryev", "task.sent", to_message(event("task-sent"))])
    alice.execute("select pgqueue.send_task('a.b')")
    assert fetch_value(owner, f"select count(*) from pgqueue.message where queue = '{MONITOR}'") == 2

    in_its_name = to_message(event("task-sent", hostname=worker.name))
    assert refused(alice, PUBLISH, ["celeryev", "task.sent", in_its_name]).sqlstate == "42501"

    worker.session.execute(PUBLISH, ["celeryev", "worker.online", to_message(event("worker-online"))])
    assert fetch_value(owner, f"select count(*) from pgqueue.message where queue = '{MONITOR}'") == 3
