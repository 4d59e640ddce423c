"""Canvases with SQL go on, and each step runs once, whatever dies."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness import Database
from tests.soak import canvas

pytestmark = [pytest.mark.slow, pytest.mark.kills, pytest.mark.timeout(600)]


def test_each_step_of_a_fan_in_of_a_thousand_runs_once_though_workers_are_killed(db: Database, tmp_path: Path) -> None:
    killed, missing = canvas.run(db, tmp_path, members=1000, workers=2, kill=2, seconds=400)

    assert killed > 1
    assert missing == set()
    assert db.fetch_value(canvas.FAILED) == 0
    # A member of a chord may tell Celery its outcome again if its process was killed before the ack: a worker has two.
    repeated = "select task_id from pgqueue.task_result where state = 'SUCCESS' group by task_id having count(*) > 1"
    count = f"select count(*) from ({repeated}) r join pgqueue.sql_task using (task_id)"
    assert db.fetch_value(count) <= 2 * killed
