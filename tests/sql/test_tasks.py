"""Celery tasks as the view shows them, and tasks that are sent again."""

import json

import pytest

from tests.harness.people import fetch_value, refused

TASKS = "select task_id, name, state, queue, worker, error from pgqueue.tasks order by task_id"


@pytest.fixture
def operator(db, owner):
    db.create_role("operator", enrolled=False)
    owner.execute("grant pgqueue_worker to operator")
    return db.connect("operator")


@pytest.fixture
def monitor(db, owner):
    db.create_role("monitor", enrolled=False)
    owner.execute("grant pgqueue_monitor to monitor")
    return db.connect("monitor")


def store(session, task_id, state, **document):
    document = {"status": state, "result": None, "task_id": task_id} | document
    session.execute(
        "select pgqueue._store_task_result(%s, %s, 'application/json', %s, '1 h')",
        [task_id, state, json.dumps(document).encode()],
    )


def store_failure(session, task_id, **extended):
    error = {"exc_type": "ValueError", "exc_message": ["secret"], "exc_module": "builtins"}
    store(session, task_id, "FAILURE", result=error, **extended)


EXTENDED = {"name": "shop.pay", "args": [1, "a"], "kwargs": {"gift": True}, "queue": "mail", "worker": "w9@host"}


def test_the_view_shows_tasks_in_queues_and_their_results_once(alice, operator, worker):
    for task_id, queue in (("a", "q1"), ("b", "q2"), ("c", "q3")):
        alice.execute("select pgqueue.send_task('shop.pay', queue => %s, task_id => %s)", [queue, task_id])
    worker.claim("q2", kind="task")
    store(alice, "c", "STARTED", **EXTENDED)
    store(alice, "d", "STARTED", **EXTENDED)
    store(alice, "d", "SUCCESS", **EXTENDED)
    store_failure(alice, "e", **EXTENDED)
    store(alice, "f", "PROGRESS")

    assert operator.execute(TASKS).fetchall() == [
        ("a", "shop.pay", "PENDING", "q1", None, None),
        ("b", "shop.pay", "RECEIVED", "q2", "w1", None),
        ("c", "shop.pay", "PENDING", "q3", None, None),
        ("d", "shop.pay", "SUCCESS", "mail", "w9@host", None),
        ("e", "shop.pay", "FAILURE", "mail", "w9@host", "ValueError: secret"),
        ("f", None, "PROGRESS", None, None, None),
    ]
    times = "select task_id, sent_at is not null, started_at is not null, ended_at is not null from pgqueue.tasks order by 1"
    assert operator.execute(times).fetchall() == [
        *((name, True, False, False) for name in "abc"),
        ("d", False, True, True),
        ("e", False, False, True),
        ("f", False, False, False),
    ]


def test_results_that_cannot_be_read_are_listed_by_id_and_state(alice, operator):
    alice.execute("select pgqueue._store_task_result('a', 'SUCCESS', 'application/x-python-serialize', '\\x80', '1 h')")
    alice.execute("select pgqueue._store_task_result('b', 'FAILURE', 'application/json', '\\xff', '1 h')")
    alice.execute("select pgqueue._store_task_result('c', 'FAILURE', 'application/json', '[]', '1 h')")

    assert [row[:3] for row in operator.execute(TASKS)] == [
        ("a", None, "SUCCESS"),
        ("b", None, "FAILURE"),
        ("c", None, "FAILURE"),
    ]


def test_a_role_sees_what_it_has_sent_and_a_monitor_no_argument_and_no_message(alice, bob, monitor):
    alice.execute("select pgqueue.send_task('shop.pay', args => '[\"secret\"]', task_id => 'a')")
    store_failure(alice, "b", **EXTENDED)

    assert [row[0] for row in alice.execute(TASKS)] == ["a"]
    assert bob.execute(TASKS).fetchall() == []
    shown = monitor.execute("select * from pgqueue.tasks order by 1").fetchall()
    assert [row[0] for row in shown] == ["a", "b"]
    assert "secret" not in str(shown)
    assert "ValueError" in str(shown)


def test_a_task_that_failed_is_sent_again_as_it_was_called(alice, owner):
    store_failure(alice, "a", **EXTENDED)

    new_id = fetch_value(alice, "select pgqueue.retry_task('a')")

    assert new_id != "a"
    [(queue, submitter, payload)] = owner.execute(
        "select queue, submitter::regrole::text, payload from pgqueue.message"
    ).fetchall()
    assert (queue, submitter) == ("mail", "alice")
    assert json.loads(payload["body"])[:2] == [[1, "a"], {"gift": True}]
    headers = payload["headers"]
    assert (headers["task"], headers["id"], headers["retried_from"]) == ("shop.pay", new_id, "a")


def test_a_task_is_sent_again_with_the_limit_key_of_its_result(alice, owner):
    store_failure(alice, "a", **EXTENDED, limit_key="tenant 7")
    store_failure(alice, "b", **EXTENDED)

    alice.execute("select pgqueue.retry_task('a'), pgqueue.retry_task('b')")

    keys = "select limit_key, payload #>> '{headers,limit_key}' from pgqueue.message order by id"
    assert owner.execute(keys).fetchall() == [("tenant 7", "tenant 7"), (None, None)]


@pytest.mark.parametrize(
    ("stored", "sqlstate", "message"),
    [
        (None, "42704", "no result of task"),
        (("SUCCESS", EXTENDED), "55000", "did not fail, it is SUCCESS"),
        (("STARTED", EXTENDED), "55000", "did not fail, it is STARTED"),
        (("FAILURE", {}), "55000", "does not say how it was called"),
        (("FAILURE", {"name": "a", "args": "(1,)", "kwargs": {}}), "55000", "does not say how it was called"),
    ],
)
def test_what_cannot_be_sent_again_is_an_error_that_says_why(alice, stored, sqlstate, message):
    if stored:
        store(alice, "a", stored[0], **stored[1])

    error = refused(alice, "select pgqueue.retry_task('a')")

    assert error.sqlstate == sqlstate
    assert message in error.diag.message_primary
    assert error.diag.message_hint
