"""The events that the worker writes are what Celery's monitors read."""

import json

import pytest
from celery.events.state import State

from pgqueue.worker.monitoring.event_text import EndedRun, EventText

HOSTILE = 'say "hi" \\ \n\t\x01 ünïcode 😀 \ud800'


def run(**different):
    usual = {
        "id": 7,
        "label": None,
        "preview": "select 1",
        "attempts": 1,
        "state": "succeeded",
        "started_at": 1000.25,
        "ended_at": 1000.75,
        "command_tag": "SELECT 1",
        "error": None,
    }
    return EndedRun(**{**usual, **different})


def written(*runs, has_begun=None):
    text = EventText("w1@host", 42, 0, 5)
    for each in runs:
        text.add(each, 1001.0, has_begun=has_begun)
    return json.loads(str(text))


def state_after(events):
    state = State()
    for event in events:
        state.event({**event, "local_received": 1001.0})
    return state


def test_a_job_that_succeeded_is_three_events():
    events = written(run(label=HOSTILE, preview=HOSTILE))

    task = state_after(events).tasks["job-7"]
    assert [event["type"] for event in events] == ["task-received", "task-started", "task-succeeded"]
    assert (task.name, task.args, task.state) == (HOSTILE, HOSTILE, "SUCCESS")
    assert (task.result, task.runtime, task.started, task.retries) == ("SELECT 1", 0.5, 1000.25, 0)
    assert task.received <= task.started <= task.succeeded
    assert task.worker.hostname == "w1@host"


def test_of_a_job_that_began_before_only_the_end_is_told():
    assert [event["type"] for event in written(run(), has_begun=True)] == ["task-succeeded"]


def test_of_a_job_that_waited_for_long_monitors_know_only_that():
    assert [event["type"] for event in written(run(), has_begun=False)] == ["task-started", "task-succeeded"]


def test_a_job_that_was_canceled_while_it_waited_was_never_started():
    assert [event["type"] for event in written(run(state="canceled", attempts=0))] == ["task-received", "task-revoked"]


@pytest.mark.parametrize("state", ["failed", "retried"])
def test_an_error_is_told_by_name_and_whole(state):
    error = {"sqlstate": "22012", "message": HOSTILE, "detail": "d"}

    *_, event = written(run(state=state, error=error, command_tag=None))

    assert event["type"] == f"task-{state}"
    assert event["exception"] == f"DivisionByZero({HOSTILE!r})"
    assert event["traceback"] == f"ERROR:  22012: {HOSTILE}\nDETAIL:  d"


@pytest.mark.parametrize("state", ["canceled", "expired"])
def test_a_job_that_was_stopped_is_revoked(state):
    *_, event = written(run(state=state))

    assert (event["type"], event["expired"], event["terminated"]) == (
        "task-revoked",
        state == "expired",
        state == "canceled",
    )


def test_without_a_statement_monitors_still_learn_that_it_succeeded():
    events = written(run(preview=None, command_tag=None), run(id=8, preview=None, command_tag=None))

    tasks = state_after(events).tasks
    assert {(task.name, task.state, task.args) for task in tasks.values()} == {("pgqueue.job", "SUCCESS", None)}
