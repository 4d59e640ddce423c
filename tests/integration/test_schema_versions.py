"""A client, a publisher and a worker say at once when the schema is of a version that they cannot use."""

from __future__ import annotations

from pathlib import Path

import pytest
from celery import Celery
from kombu import Connection

import pgqueue
from pgqueue import errors
from pgqueue.cli.commands import run
from pgqueue.db.database import Database as Sessions
from pgqueue.sql.compatibility import require_usable
from pgqueue.version import __version__
from tests.harness import Database
from tests.harness.eventually import eventually
from tests.harness.worker import Worker

MAJOR, MINOR = map(int, __version__.split(".")[:2])
NEXT, NEXT_BUT_ONE = f"{MAJOR}.{MINOR + 1}.0", f"{MAJOR}.{MINOR + 2}.0"
OLDER = f"{MAJOR}.{MINOR - 1}.3" if MINOR else f"{MAJOR - 1}.9.3"


def upgraded_by(db: Database, version: str) -> None:
    """Let the schema be of a version: the newest one that has applied anything."""
    db.execute("update pgqueue.function_file set applied_by = %s", [version])
    if version == OLDER:
        db.execute("update pgqueue.migration set applied_by = %s", [version])
    db.execute("select pgqueue.enroll('postgres')")


def test_a_client_connects_to_a_schema_of_its_own_version_and_of_the_next(db: Database) -> None:
    upgraded_by(db, NEXT)

    with pgqueue.connect(db.dsn) as client:
        client.enqueue("select 1")


@pytest.mark.parametrize(("version", "error"), [(OLDER, errors.SchemaTooOld), (NEXT_BUT_ONE, errors.SchemaTooNew)])
def test_a_client_is_told_at_connect_what_to_do(
    db: Database, version: str, error: type[errors.PgQueueError], capsys: pytest.CaptureFixture[str]
) -> None:
    upgraded_by(db, version)

    with pytest.raises(error, match=version.rpartition(".")[0].replace(".", "[.]")) as refused:
        pgqueue.connect(db.dsn)

    assert "pgqueue upgrade" in refused.value.hint or "celery-pgqueue" in refused.value.hint
    assert run(["launch", "select 1", "--dsn", db.dsn]) == 1
    assert str(refused.value) in capsys.readouterr().err
    assert db.fetch_value("select count(*) from pgqueue.jobs") == 0


def test_a_client_that_was_refused_leaves_no_session(db: Database) -> None:
    upgraded_by(db, NEXT_BUT_ONE)
    client = pgqueue.Client(db.dsn)

    for _ in range(3):
        with pytest.raises(errors.SchemaTooNew):
            client.enqueue("select 1")

    left = "select count(*) from pg_stat_activity where datname = current_database() and application_name = 'pgqueue client'"
    eventually(lambda: db.fetch_value(left) == 0, 20)


def test_a_client_that_was_refused_connects_after_the_upgrade(db: Database) -> None:
    upgraded_by(db, OLDER)
    client = pgqueue.Client(db.dsn)
    with pytest.raises(errors.SchemaTooOld):
        client.enqueue("select 1")

    upgraded_by(db, __version__)

    assert client.enqueue("select 1").handle.id > 0
    client.close()


@pytest.mark.parametrize(("version", "error"), [(OLDER, errors.SchemaTooOld), (NEXT_BUT_ONE, errors.SchemaTooNew)])
def test_a_publisher_is_told_at_connect(db: Database, version: str, error: type[Exception]) -> None:
    upgraded_by(db, version)
    app = Celery(broker=db.url, set_as_current=False)

    with Connection(db.url) as connection, pytest.raises(error):
        connection.connect()
    with pytest.raises(error):
        app.send_task("anything", retry=False)
    assert db.fetch_value("select count(*) from pgqueue.message") == 0


def test_a_publisher_asks_the_server_once_at_connect(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []
    take = Sessions._take
    monkeypatch.setattr(Sessions, "_take", lambda self: taken.append(take(self)) or taken[-1])

    with Connection(db.url) as connection:
        connection.connect()

    assert len(taken) == 1


def test_a_worker_of_celery_ends_with_what_to_do(db: Database, tmp_path: Path) -> None:
    upgraded_by(db, NEXT_BUT_ONE)

    worker = Worker(db, tmp_path / "log", command="celery")

    assert worker.wait() != 0
    assert "SchemaTooNew" in worker.read_log()


def test_a_role_that_may_not_look_is_told_that_it_is_not_enrolled(db: Database) -> None:
    nobody = db.create_role("nobody", enrolled=False)

    with pgqueue.connect(db.dsn_for(nobody)) as client, pytest.raises(errors.NotPermitted):
        client.enqueue("select 1")


@pytest.mark.parametrize(
    ("schema", "fits"), [([0, 1], True), ([0, 2], True), ([0, 3], False), ([1, 0], False), (None, True)]
)
def test_which_versions_fit(schema: list[int] | None, fits: bool) -> None:
    if fits:
        require_usable(schema, "0.1.4")
    else:
        with pytest.raises(errors.SchemaTooNew):
            require_usable(schema, "0.1.4")


@pytest.mark.timeout(30)
@pytest.mark.parametrize("direction", ["--to", "--from"])
def test_a_relay_ends_with_what_to_do(db: Database, direction: str, capsys: pytest.CaptureFixture[str]) -> None:
    upgraded_by(db, NEXT_BUT_ONE)

    assert run(["relay", "--queue", "mail", direction, "memory://", "--dsn", db.dsn_for(db.worker_role())]) == 1

    assert "celery-pgqueue" in capsys.readouterr().err
