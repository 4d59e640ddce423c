"""What monitors are told of tasks and jobs whose worker is gone."""

import json
import time

from tests.harness import eventually
from tests.harness.claimant import Claimant
from tests.harness.people import fetch_value, refused


def send(alice, queue):
    return fetch_value(alice, "select pgqueue.send_task('work', queue => %s)", [queue])


def submit(alice, queue):
    return fetch_value(alice, "select (pgqueue.submit('select 1', queue => %s)).id", [queue])


def fates(worker, *task_ids, name="w9", seen_at=None):
    """The fate of each, as a worker `name` had it that was heard of last at an instant."""
    count = len(task_ids)
    rows = worker.session.execute(
        "select task_id, fate, queue from pgqueue._task_fates(%s::text[], %s::text[], %s::float8[])",
        [list(task_ids), [name] * count, [time.time() if seen_at is None else seen_at] * count],
    ).fetchall()
    return {task_id: (fate, queue) for task_id, fate, queue in rows}


def test_what_a_dead_worker_had_is_held_by_another_or_waits_for_one(db, alice, owner, worker):
    doomed = Claimant(db, "w9")
    task, job = send(alice, "celery"), submit(alice, "default")
    doomed.claim_one("celery", kind="task")
    doomed.claim_one("default")
    doomed.kill()

    def rescued():
        worker.tick()
        return fates(worker, task, f"job-{job}")

    assert {fate for fate, _queue in fates(worker, task, f"job-{job}").values()} <= {"held", "waits"}
    waiting = {task: ("waits", "celery"), f"job-{job}": ("waits", "default")}
    eventually(lambda: rescued() == waiting)

    worker.claim_one("celery", kind="task")
    assert fates(worker, task) == {task: ("held", "celery")}


def test_the_end_of_a_job_is_in_the_history(alice, worker):
    job = submit(alice, "default")
    alice.execute("select pgqueue.cancel(%s)", [job])

    assert fates(worker, f"job-{job}", "job-0") == {f"job-{job}": ("ended", None), "job-0": ("lost", None)}


def test_a_task_without_a_message_has_ended_as_its_result_says_or_is_lost(alice, worker):
    failure = {"status": "FAILURE", "result": {"exc_type": "ValueError", "exc_message": ["bad"]}, "traceback": "..."}
    for task_id, state in (("done", "SUCCESS"), ("broken", "FAILURE"), ("stopped", "REVOKED"), ("begun", "STARTED")):
        alice.execute(
            "select pgqueue._store_task_result(%s, %s, 'application/json', %s, '1 day')",
            [task_id, state, json.dumps({**failure, "status": state}).encode()],
        )

    assert fates(worker, "done", "broken", "stopped", "begun", "never heard of") == {
        "done": ("SUCCESS", None),
        "broken": ("FAILURE", None),
        "stopped": ("REVOKED", None),
        "begun": ("lost", None),
        "never heard of": ("lost", None),
    }


def test_a_task_that_came_back_too_often_is_a_dead_letter(alice, owner, worker):
    task = send(alice, "celery")
    owner.execute("update pgqueue.message set queue = 'celery.dead'")

    assert fates(worker, task) == {task: ("dead", "celery.dead")}


def test_nothing_is_said_of_the_tasks_of_a_worker_that_lives(db, alice, worker):
    alive = Claimant(db, "alive")
    task = send(alice, "celery")
    alive.claim_one("celery", kind="task")

    assert fates(worker, task, name="alive") == {}
    # Another process had it, of the same name.
    assert fates(worker, task, name="alive", seen_at=time.time() - 3600) == {task: ("held", "celery")}


def test_only_workers_may_ask(alice):
    assert refused(alice, "select * from pgqueue._task_fates('{a}', '{w}', '{0}')").sqlstate == "42501"
