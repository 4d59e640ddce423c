"""An ordinary Celery worker on another broker (a folder) behind `pgqueue relay`: its results, chords included, are in PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from celery import Celery, chord, signature

from tests.harness import Database, eventually
from tests.harness.processes import Processes

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


@pytest.fixture
def publisher(db: Database, tmp_path: Path, processes: Processes) -> Iterator[Celery]:
    """An application that publishes to pgqueue, while a worker runs on a folder into which a relay writes."""
    db.execute("select pgqueue.enroll(quote_ident(current_user)::regrole)")
    for name in ("data_in", "data_out", "control"):
        (tmp_path / name).mkdir()
    options = {"data_folder_in": "data_out", "data_folder_out": "data_out", "control_folder": "control"}
    processes.start(
        "pgqueue", "relay", "--queue", "relayed", "--dsn", db.dsn_for(db.worker_role()), PGQUEUE_RELAY_TO="filesystem://"
    )  # fmt: skip
    processes.start(
        "celery", "-A", "tests.harness.relayed_app", "worker", "--pool=solo", "--without-gossip", "--without-mingle",
        RELAYED_BROKER="filesystem://", RELAYED_OPTIONS=json.dumps(options), RELAYED_BACKEND=db.url,
    )  # fmt: skip
    app = Celery("publisher", broker=db.url, backend=db.url, set_as_current=False)
    app.conf.task_default_queue = "relayed"
    yield app
    app.close()
    app.backend.result_consumer.stop()
    app.backend.database.close()


def test_results_of_tasks_that_ran_elsewhere_are_in_postgresql_and_so_are_chords(
    db: Database, publisher: Celery
) -> None:
    with db.connect(autocommit=False) as session:
        session.execute("select pgqueue.send_task('relayed.add', '[1, 1]', queue => 'relayed', task_id => 'never')")
        session.rollback()
    task_id = db.fetch_value(
        "select pgqueue.send_task('relayed.add', '[20, 22]', queue => 'relayed', link => 'relayed.double')"
    )

    answer = publisher.AsyncResult(task_id)
    assert answer.get(timeout=90) == 42
    assert eventually(lambda: answer.children)[0].get(timeout=60) == 84
    assert db.fetch_value("select pgqueue.task_result(%s) ->> 'result'", [task_id]) == "42"

    add, total = (signature(f"relayed.{name}", app=publisher) for name in ("add", "total"))
    assert chord([add.clone((n, n)) for n in range(4)], app=publisher)(total).get(timeout=90) == 12
    assert db.fetch_value("select count(*) from pgqueue.message") == 0
    assert publisher.AsyncResult("never").state == "PENDING"
