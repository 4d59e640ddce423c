"""Celery tasks sent from a coroutine: the event loop goes on, and the transaction of the coroutine decides."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import psycopg
import pytest
from celery import Celery, chain, chord, group

import pgqueue
import pgqueue.aio
from tests.harness import Database
from tests.harness.applications import applications
from tests.harness.result_app import make_app
from tests.integration.test_aio import CONNECTIONS


@pytest.fixture
def app(db: Database) -> Iterator[Celery]:
    with applications(partial(make_app, db.dsn)) as make:
        yield make()


def waiting(db: Database) -> list[str]:
    return [row[0] for row in db.execute("select payload -> 'headers' ->> 'task' from pgqueue.message order by id")]


def test_a_task_is_sent_without_blocking_the_loop(db: Database, app: Celery, monkeypatch: pytest.MonkeyPatch) -> None:
    task = app.tasks["add"]
    send = task.apply_async

    def send_slowly(*args: Any, **options: Any) -> Any:
        time.sleep(0.3)
        return send(*args, **options)

    monkeypatch.setattr(task, "apply_async", send_slowly)

    async def main() -> tuple[Any, int]:
        turns = 0
        sending = asyncio.ensure_future(pgqueue.aio.delay(task, 1))
        while not sending.done():
            await asyncio.sleep(0.01)
            turns += 1
        return await sending, turns

    result, turns = asyncio.run(main())

    assert waiting(db) == ["add"]
    assert db.fetch_value("select payload -> 'headers' ->> 'id' from pgqueue.message") == result.id
    assert turns >= 15


@pytest.mark.parametrize("opened", CONNECTIONS.values(), ids=CONNECTIONS)
@pytest.mark.parametrize("commits", [True, False])
def test_a_task_is_sent_when_the_transaction_of_the_coroutine_commits(
    db: Database, app: Celery, opened: Callable[[str], Any], commits: bool
) -> None:
    async def main() -> str:
        async with opened(db.dsn) as (given, commit, rollback):
            sent = await pgqueue.aio.apply_async(app.tasks["add"], [1], priority=3, countdown=60, connection=given)
            await pgqueue.aio.apply_async(group(app.tasks["add"].s(n) for n in (2, 3)), connection=given)
            assert waiting(db) == []
            await (commit if commits else rollback)()
            return str(sent.id)

    task_id = asyncio.run(main())

    assert waiting(db) == (["add"] * 3 if commits else [])
    if commits:
        [(payload, priority, is_late)] = db.execute(
            "select payload, priority, due_at > now() + interval '50 s' from pgqueue.message order by id limit 1"
        )
        assert (payload["headers"]["id"], priority, is_late) == (task_id, 3, True)
        assert json.loads(payload["body"])[0] == [1]


def test_a_canvas_in_a_transaction_is_sent_at_its_commit(db: Database, app: Celery) -> None:
    add = app.tasks["add"]

    async def main() -> None:
        async with await psycopg.AsyncConnection.connect(db.dsn) as connection:
            await pgqueue.aio.apply_async(chain(add.s(1), add.s()), connection=connection)
            await pgqueue.aio.apply_async(chord([add.s(1), add.s(2)], add.s()), connection=connection)
            assert waiting(db) == []

    asyncio.run(main())

    assert waiting(db) == ["add"] * 3


def test_a_queue_that_is_not_there_is_declared_at_once(db: Database, app: Celery) -> None:
    async def main() -> None:
        async with await psycopg.AsyncConnection.connect(db.dsn) as connection:
            await pgqueue.aio.apply_async(app.tasks["add"], [1], queue="new", connection=connection)
            assert db.fetch_value("select count(*) from pgqueue.queue where name = 'new'") == 1
            await connection.rollback()

    asyncio.run(main())
    assert waiting(db) == []


def test_an_application_of_another_broker_is_refused_for_asyncpg(db: Database) -> None:
    app = Celery(broker="memory://", set_as_current=False)

    @app.task(name="elsewhere")
    def elsewhere() -> None: ...

    async def main() -> None:
        async with CONNECTIONS["asyncpg"](db.dsn) as (given, _commit, _rollback):
            with pytest.raises(TypeError, match="broker of the Celery application is memory"):
                await pgqueue.aio.apply_async(elsewhere, connection=given)

    asyncio.run(main())


def test_a_blocking_connection_is_refused(db: Database, app: Celery) -> None:
    async def main() -> None:
        with pytest.raises(TypeError, match="The blocking client takes blocking connections"):
            await pgqueue.aio.apply_async(app.tasks["add"], [1], connection=db.connect())  # type: ignore[arg-type]

    asyncio.run(main())
