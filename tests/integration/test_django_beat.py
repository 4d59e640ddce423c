"""django-celery-beat's DatabaseScheduler on this broker: a real Django project, its tables, and its admin."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.harness import Database, eventually
from tests.harness.celery_app import TRACES

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

ROOT = Path(__file__).parents[2]
PROJECT = "tests.harness.django_beat"


class Project:
    """The project on a database."""

    def __init__(self, db: Database, place: Path) -> None:
        self.environment = {**os.environ, "PGQUEUE_DSN": db.dsn_for("project"), "PYTHONPATH": str(ROOT)}
        self._db, self._place = db, place

    def call(self, action: str, given: object = None) -> None:
        """Do something in a process of its own."""
        done = subprocess.run(
            [sys.executable, "-m", PROJECT, action], input=json.dumps(given), env=self.environment, cwd=self._place,
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr

    def start(self, *command: str) -> Path:
        """Start a program of Celery's; return what it writes to."""
        log = self._place / f"{command[0]}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "celery", "-A", PROJECT, *command, "--loglevel=INFO"], env=self.environment,
                cwd=self._place, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            )  # fmt: skip
        self._db.at_close(lambda: (process.kill(), process.wait()))
        return log


@pytest.fixture
def project(db: Database, owner: Any, tmp_path: Path) -> Project:
    db.create_role("project")
    owner.execute("grant pgqueue_worker to project; grant create on schema public to project")
    owner.execute(TRACES)
    made = Project(db, tmp_path)
    made.call("migrate")
    return made


def test_what_the_admin_enters_is_sent_and_what_it_changes_is_seen(project: Project, db: Database) -> None:
    task = {"regtask": "project.note", "task": "", "args": '["a"]', "kwargs": "{}", "headers": "{}", "enabled": "on", "name": "a",
            "interval": "1", "priority": "", "queue": "", "exchange": "", "routing_key": ""}  # fmt: skip
    project.call(
        "admin",
        [
            [
                "intervalschedule/add/",
                {
                    "every": "1",
                    "period": "seconds",
                    "periodictask_set-TOTAL_FORMS": "0",
                    "periodictask_set-INITIAL_FORMS": "0",
                },
            ],
            ["periodictask/add/", task],
        ],
    )
    project.start("beat")
    log = project.start("worker", "--pool=solo", "--queues=celery,mail")

    def count(label: str, least: int) -> bool:
        return db.fetch_value("select count(*) from trace where label = %s", [label]) >= least

    eventually(lambda: count("a", 3), timeout=90, what="tasks of the admin run")
    changed = {**task, "args": '["b"]', "queue": "mail"}
    project.call("admin", [["periodictask/1/change/", changed]])
    eventually(lambda: count("b", 2), timeout=60, what="the change is seen")

    assert db.fetch_value("select total_run_count >= 0 from django_celery_beat_periodictask where name = 'a'")
    assert db.fetch_value("select count(*) from pgqueue.schedules") == 0
    assert "Traceback" not in log.read_text()
