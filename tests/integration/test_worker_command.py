"""`pgqueue worker` where it cannot work: it says why in a line, with a hint and an exit code, and does not try for ever."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pgqueue.cli.commands import run
from tests.harness import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.fixture
def refusal(tmp_path: Path):
    """Run a worker that is not to start, and return its exit code and what it says."""

    def run_worker(*arguments: str, module: str = "") -> tuple[int, str]:
        (tmp_path / "shop.py").write_text(module)
        ended = subprocess.run(
            [sys.executable, "-m", "pgqueue", "worker", "--concurrency=1", *arguments],
            env=os.environ | {"PYTHONPATH": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return ended.returncode, ended.stderr

    return run_worker


def test_a_database_without_pgqueue(empty_db, refusal):
    code, said = refusal(f"--dsn={empty_db.dsn}")

    assert code == 1
    assert said == "pgqueue: error: pgqueue is not installed in this database\nhint: Run: pgqueue install\n"


@pytest.mark.parametrize("enrolled", [True, False])
def test_a_role_that_may_not_run_workers(db, refusal, enrolled):
    db.create_role("walter", enrolled=enrolled)

    code, said = refusal(f"--dsn={db.dsn_for('walter')}")

    assert code == 1
    assert said == (
        "pgqueue: error: the role walter may not run a worker\n"
        "hint: Let an administrator run: grant pgqueue_worker to walter\n"
    )


def test_an_application_that_names_another_broker_than_the_command_line(db, refusal):
    app = "from celery import Celery\napp = Celery(broker='pgqueue://somebody@elsewhere/else')\n"

    code, said = refusal(f"--dsn={db.dsn}", "-A", "shop", module=app)

    assert code == 2
    assert "shop names another broker, which --dsn does not change" in said


BROKEN = """
from celery import Celery, bootsteps

app = Celery()

@app.steps["consumer"].add
class Broken(bootsteps.StartStopStep):
    def start(self, consumer):
        raise RuntimeError("a step of the application fails")
"""


def test_what_ends_celerys_worker_ends_the_command_with_its_exit_code(db, refusal):
    code, said = refusal(f"--dsn={db.dsn_for(db.worker_role())}", "-A", "shop", module=BROKEN)

    assert code == 1
    assert "a step of the application fails" in said


def test_a_setting_that_means_nothing_is_told_at_the_start(db, start_worker):
    db.execute(f"alter database {db.name} set pgqueue.naptime = 'soon'")

    worker = start_worker(db)

    assert "the default is used: pgqueue.naptime = 'soon'" in worker.read_log()


def test_doctor_does_not_count_a_worker_without_tasks_as_one_that_runs_them(db, start_worker, capsys):
    start_worker(db, arguments=["--no-tasks", "--queues=mail", "--executors=1"])
    db.execute("select pgqueue.enroll(quote_ident(current_user)::regrole)")
    db.execute("select pgqueue.send_task('t', queue => 'mail'), pgqueue.enqueue('select 1', queue => 'mail')")
    eventually(lambda: db.fetch_value("select count(*) from pgqueue.message where kind = 'job'") == 0)

    run(["doctor", "--dsn", db.dsn, "--json"])

    [found] = [each for each in json.loads(capsys.readouterr().out) if each["check"] == "waiting jobs"]
    assert (found["level"], found["text"]) == ("warn", "no live worker runs the Celery tasks of: mail (1)")
    assert "without --no-tasks" in found["hint"]
    takers = "select pgqueue._has_takers('mail'), pgqueue._has_task_takers('mail')"
    assert db.execute(takers) == [(True, False)]
