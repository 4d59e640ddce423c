import pytest

from tests.harness import eventually

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("command", ["pgqueue", "celery"])
def test_a_worker_runs_a_job_and_leaves_on_sigterm(db, start_worker, command):
    worker = start_worker(db, command=command)

    db.execute("create table done (x int)")
    db.execute("select pgqueue.enroll('postgres')")
    db.execute("select pgqueue.submit('insert into done values (1)')")
    eventually(lambda: db.execute("select * from done") == [(1,)])
    worker.terminate()

    assert worker.wait() == 0
    assert not worker.is_registered()
