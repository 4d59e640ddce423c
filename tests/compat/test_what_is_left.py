"""What becomes of entries and results that nobody asks for any more, and of jobs that lose their worker."""

import json

from tests.compat.names import sqlstate_and_message


def test_jobs_of_a_session_that_left_are_forgotten_with_retention(stage, connect):
    caller = connect("2.0")
    caller.wait(caller.submit("select 1"))
    tracker = caller.value("select pgqueue._tracker()")
    caller.session.close()

    stage.db.execute(
        "update pgqueue.tracked_job set tracked_at = now() - interval '8 days' where session_id = %s", [tracker]
    )
    stage.executors.claimant.tick()

    assert stage.db.fetch_value("select count(*) from pgqueue.tracked_job where session_id = %s", [tracker]) == 0


def test_a_result_that_retention_removed_is_a_lost_worker(stage, caller):
    handle = caller.launch("select 1")
    caller.wait(handle)
    stage.db.execute("delete from pgqueue.history where id = %s", [handle.pid])

    error = caller.result_error(handle)

    assert sqlstate_and_message(error) == ("08006", f"lost connection to worker process with PID {handle.pid}")
    assert caller.list() == {}


def test_a_job_whose_worker_is_lost_again_and_again_is_a_lost_worker(stage, caller):
    stage.db.execute("select pgqueue.pause('default')")
    handle = caller.launch("select 1")
    # The end that pgqueue._reclaim gives it.
    error = {"sqlstate": "08006", "message": f"lost connection to the worker of job {handle.pid} 20 times"}
    stage.db.execute(
        """with gone as (delete from pgqueue.message m where m.id = %s returning m)
           select pgqueue._archive(gone.m, 'failed', %s, null, null) from gone""",
        [handle.pid, json.dumps(error)],
    )
    stage.db.execute("select pgqueue.resume('default')")

    raised = caller.result_error(handle)

    assert sqlstate_and_message(raised) == ("08006", f"lost connection to worker process with PID {handle.pid}")
    assert raised.diag.message_detail == error["message"]
