"""The client for asyncio: what the suite of both clients (test_client.py) does not show."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any, TypeVar

import asyncpg
import psycopg
import pytest
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

import pgqueue
import pgqueue.aio
from pgqueue.errors import ClientClosed, InvalidArgument, WaitTimeout
from tests.harness import Database, eventually
from tests.harness.claimant import Claimant

T = TypeVar("T")


@pytest.fixture
def dsn(db: Database) -> str:
    db.create_role("alice")
    return db.dsn_for("alice")


def sessions(db: Database, name: str = "pgqueue%") -> int:
    return int(
        db.fetch_value(
            "select count(*) from pg_stat_activity where datname = current_database() and application_name like %s and usename = 'alice'",
            [name],
        )
    )


LOOKED = """select count(*) from pg_stat_activity
            where application_name = 'pgqueue waits' and state = 'idle' and query like '%pgqueue.outbox%'"""


async def have_looked(db: Database) -> None:
    """Return when a session of the waits has looked after jobs: one that is lost before is the second loss in a row."""
    while db.fetch_value(LOOKED) == 0:
        await asyncio.sleep(0.02)


def run(call: Awaitable[T]) -> T:
    async def main() -> T:
        async with asyncio.timeout(60):
            return await call

    return asyncio.run(main())


class TestWaits:
    @pytest.mark.every_server
    def test_a_thousand_waits_share_one_session(self, dsn: str, db: Database) -> None:
        async def main() -> tuple[int, list[bool]]:
            async with pgqueue.aio.connect(dsn) as client, pgqueue.aio.connect(dsn) as other:
                jobs = await client.enqueue_many([f"select {n}" for n in range(1000)])
                waits = [asyncio.ensure_future((client, other)[n % 2].job(job.handle)) for n, job in enumerate(jobs)]
                waits = [asyncio.ensure_future((await found).wait()) for found in waits]
                await have_looked(db)
                await asyncio.sleep(0.3)  # a second session would come in this time
                assert not any(wait.done() for wait in waits)
                listening = sessions(db, "pgqueue waits")
                assert sessions(db) == 3  # two clients, and this one
                db.execute(
                    "select pgqueue._cancel(m.submitter, (m.id, m.cookie)::pgqueue.handle, 0) from pgqueue.message m"
                )
                return listening, await asyncio.gather(*waits)

        listening, ended = run(main())

        assert listening == 1
        assert ended == [True] * 1000
        eventually(lambda: sessions(db) == 0)

    @pytest.mark.usefixtures("working")
    def test_a_short_job_ends_its_wait_at_once(self, dsn: str) -> None:
        async def main() -> float:
            async with pgqueue.aio.connect(dsn) as client:
                await (await client.launch("select 1")).result()
                loop = asyncio.get_running_loop()
                job = await client.launch("select pg_sleep(1)")
                began = loop.time()
                await job.wait()
                return loop.time() - began

        assert run(main()) < 5

    def test_the_session_of_the_waits_ends_with_the_last_client(self, dsn: str, db: Database) -> None:
        async def main() -> None:
            async with pgqueue.aio.connect(dsn) as client:
                job = await client.launch("select 1")
                async with pgqueue.aio.connect(dsn) as other:
                    assert not await (await other.job(job.handle)).wait(0.05)
                assert not await job.wait(0.05)
                assert sessions(db, "pgqueue waits") == 1

        run(main())
        eventually(lambda: sessions(db, "pgqueue waits") == 0)

    def test_a_wait_for_a_job_of_a_member_role_ends(self, dsn: str, db: Database) -> None:
        db.create_role("team")
        db.execute("grant team to alice")

        async def main() -> bool:
            async with pgqueue.aio.connect(db.dsn_for("team")) as team, pgqueue.aio.connect(dsn) as client:
                theirs = await team.launch("select 1")
                ours = await client.job(theirs.handle)
                assert not await ours.wait(0.1)
                waiting = asyncio.ensure_future(ours.wait(20))
                await theirs.cancel()
                return await waiting

        assert run(main())

    def test_a_wait_goes_on_over_another_session_when_the_server_ends_its_own(self, dsn: str, db: Database) -> None:
        async def main() -> bool:
            async with pgqueue.aio.connect(dsn) as client:
                job = await client.launch("select 1")
                waiting = asyncio.ensure_future(job.wait(20))
                for _ in range(2):
                    await have_looked(db)
                    db.execute(
                        "select pg_terminate_backend(pid, 5000) from pg_stat_activity"
                        " where application_name = 'pgqueue waits'"
                    )
                await have_looked(db)
                assert not waiting.done()
                await job.cancel()
                return await waiting

        assert run(main())

    def test_a_wait_says_when_no_session_can_be_opened(self, dsn: str, db: Database) -> None:
        async def main() -> None:
            async with pgqueue.aio.connect(dsn) as client:
                job = await client.launch("select 1")
                waiting = asyncio.ensure_future(job.wait(20))
                await have_looked(db)
                db.execute("alter role alice nologin")
                db.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and application_name = 'pgqueue waits'"
                )
                with pytest.raises(pgqueue.PgQueueError):
                    await waiting

        run(main())

    def test_closing_the_client_ends_its_waits(self, dsn: str) -> None:
        async def main() -> None:
            client = await pgqueue.aio.connect(dsn)
            waiting = asyncio.ensure_future((await client.launch("select 1")).wait())
            await asyncio.sleep(0.1)
            await client.close()
            with pytest.raises(ClientClosed):
                await waiting

        run(main())

    def test_a_long_wait_without_a_worker_is_told(
        self, dsn: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr("pgqueue.client.job_calls.TELL_SECONDS", 0.1)

        async def main() -> None:
            async with pgqueue.aio.connect(dsn) as client:
                job = await client.launch("select 1")
                with pytest.raises(WaitTimeout) as timeout:
                    await job.result(0.3)
                assert "no live worker" in (timeout.value.hint or "")
                waiting = asyncio.ensure_future(job.wait(20))
                while "no live worker takes from queue default" not in caplog.text:
                    await asyncio.sleep(0.02)
                await job.cancel()
                assert await waiting

        run(main())


class TestCancellation:
    def test_a_canceled_call_at_any_moment_leaves_no_session_and_no_unknown_job(
        self, dsn: str, db: Database, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.WARNING, "pgqueue")
        dice = random.Random(7)
        known: set[int] = set()

        async def work(client: pgqueue.aio.AsyncClient) -> None:
            job = await client.launch("select 1")
            known.add(job.id)
            other = await client.enqueue("select 2")
            known.add(other.id)
            known.update(each.id for each in await client.enqueue_many(["select 3", "select 4"]))
            await job.progress()
            await other.wait(0.002)
            with contextlib.suppress(WaitTimeout):
                await job.result(timeout=0.002)

        async def main() -> None:
            async with pgqueue.aio.connect(dsn) as client:
                await work(client)
                before = sessions(db)
                for _ in range(50):
                    task = asyncio.ensure_future(work(client))
                    await asyncio.sleep(dice.uniform(0, 0.04))
                    task.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        await task
                assert sessions(db) == before
                assert await client.list_jobs(limit=1)

        run(main())

        eventually(lambda: sessions(db) == 0)
        with pgqueue.connect(dsn) as blocking:
            unknown = {job.id for job in blocking.list_jobs(limit=10_000) if not job.state.is_final} - known
        assert unknown == set()

    def test_the_job_of_a_canceled_launch_is_canceled_and_logged(
        self, dsn: str, db: Database, caplog: pytest.LogCaptureFixture
    ) -> None:
        blocker = db.connect(autocommit=False)
        blocker.execute("lock table pgqueue.message in access exclusive mode")

        async def main() -> None:
            async with pgqueue.aio.connect(dsn) as client:
                for call in (
                    client.launch("select 1"),
                    client.enqueue("select 2"),
                    client.enqueue("select 3", unique_key="k"),
                ):
                    task = asyncio.ensure_future(call)
                    await asyncio.sleep(0.2)
                    task.cancel()
                    with pytest.raises(asyncio.CancelledError):
                        await task
                blocker.rollback()

        run(main())

        with pgqueue.connect(dsn) as blocking:
            states = {job.statement: job.state.value for job in blocking.list_jobs()}
        # The second and third were waiting for their turn, and were never sent.
        assert states == {"select 1": "canceled"}
        assert "was submitted by a canceled call, and is canceled" in caplog.text

    def test_a_job_that_waits_is_changed_and_replaced(self, dsn: str, db: Database) -> None:
        async def main() -> None:
            async with pgqueue.aio.connect(dsn) as client:
                job = await client.enqueue("select $1::int", 1, unique_key="k", unique_for=60)
                assert await job.update(params=[2], priority=3)
                again = await client.enqueue("select $1::int", 3, unique_key="k", on_conflict="replace")
                assert again.handle == job.handle
                task_id = await client.send_task("t", unique_key="k")
                assert await client.send_task("t", unique_key="k", unique_for=5) == task_id

        asyncio.run(main())
        assert db.execute("select params, priority::int from pgqueue.message where kind = 'job'") == [(["3"], 0)]

    def test_a_job_with_a_unique_key_is_found_by_it(self, dsn: str, db: Database) -> None:
        blocker = db.connect(autocommit=False)
        blocker.execute("lock table pgqueue.message in access exclusive mode")

        async def main() -> None:
            async with pgqueue.aio.connect(dsn) as client:
                task = asyncio.ensure_future(client.enqueue("select 1", unique_key="k"))
                await asyncio.sleep(0.2)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                blocker.rollback()
                job = await client.enqueue("select 1", unique_key="k")
                assert [one.id for one in await client.list_jobs()] == [job.id]
                assert (await job.status()).state is pgqueue.JobState.QUEUED

        run(main())

    @pytest.mark.usefixtures("working")
    def test_a_canceled_read_keeps_the_result(self, dsn: str) -> None:
        async def main() -> list[tuple[Any, ...]]:
            async with pgqueue.aio.connect(dsn) as client:
                job = await client.launch("select n from generate_series(1, 20000) n")
                await job.wait()
                reading = asyncio.ensure_future(job.result())
                await asyncio.sleep(0.01)
                reading.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await reading
                return await job.result()

        assert len(run(main())) == 20000

    def test_a_canceled_connect_leaves_no_session(self, dsn: str, db: Database) -> None:
        async def connect() -> None:
            async with pgqueue.aio.connect(dsn):
                await asyncio.sleep(1)

        async def main() -> None:
            for moment in range(20):
                task = asyncio.ensure_future(connect())
                await asyncio.sleep(moment / 500)
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task

        run(main())
        eventually(lambda: sessions(db) == 0)

    def test_an_event_loop_that_ends_in_the_middle_leaves_no_session(self, dsn: str, db: Database) -> None:
        blocker = db.connect(autocommit=False)
        blocker.execute("lock table pgqueue.message in access exclusive mode")

        async def main() -> None:
            client = await pgqueue.aio.connect(dsn)
            task = asyncio.ensure_future(client.enqueue("select 1"))
            await asyncio.sleep(0.2)
            del task

        asyncio.run(main())
        blocker.rollback()
        eventually(lambda: sessions(db) == 0)


@pytest.mark.usefixtures("working")
class TestRows:
    def test_rows_are_streamed_in_their_order(self, dsn: str) -> None:
        async def main() -> list[int]:
            async with pgqueue.aio.connect(dsn) as client:
                job = await client.launch("select n, n::text from generate_series(1, 30000) n")
                found = []
                async for number, text in job.rows():
                    assert text == str(number)
                    found.append(number)
                    if number % 10000 == 0:  # The client can be used meanwhile.
                        await client.status(job.id)
                return found

        assert run(main()) == list(range(1, 30001))

    def test_a_large_result_needs_little_memory(self, dsn: str) -> None:
        statement = "select repeat('x', 1000) from generate_series(1, 100000)"

        async def stream() -> int:
            async with pgqueue.aio.connect(dsn) as client:
                job = await client.launch(statement)
                await job.wait()
                tracemalloc.start()
                count = 0
                async for _row in job.rows():
                    count += 1
                peak = tracemalloc.get_traced_memory()[1]
                tracemalloc.stop()
                assert count == 100_000
                return peak

        assert run(stream()) < 20_000_000  # of 100 MB

    def test_the_blocking_client_streams_as_well(self, dsn: str, db: Database) -> None:
        with pgqueue.connect(dsn) as client:
            job = client.launch("select n from generate_series(1, 30000) n")
            rows = job.rows(row=pgqueue.scalar)
            assert next(rows) == 1
            assert sessions(db) == 2
            assert sum(rows) == 30000 * 30001 // 2 - 1
            assert sessions(db) == 1
            assert list(client.launch("create temp table t ()").rows()) == [("CREATE TABLE",)]
            with pytest.raises(pgqueue.JobFailed):
                list(client.launch("select 1 / 0").rows())

    def test_a_loop_that_is_left_closes_its_session(self, dsn: str, db: Database) -> None:
        async def main() -> None:
            async with pgqueue.aio.connect(dsn) as client:
                job = await client.launch("select n from generate_series(1, 200000) n")
                async for _row in job.rows():
                    break
                with pytest.raises(pgqueue.JobFailed):
                    async for _row in (await client.launch("select 1 / 0")).rows():
                        pass

        run(main())
        eventually(lambda: sessions(db) == 0)

    def test_rows_become_what_is_asked_for(self, dsn: str) -> None:
        @dataclass
        class Point:
            x: int
            y: str | None

        async def main() -> None:
            async with pgqueue.aio.connect(dsn) as client:
                job = await client.launch("select 1 as x, 'a' as y union all select 2, null")
                assert await job.result(row=Point) == [Point(1, "a"), Point(2, None)]
                assert await job.result(row=pgqueue.dict_row) == [{"x": 1, "y": "a"}, {"x": 2, "y": None}]
                assert [point async for point in job.rows(row=Point)] == [Point(1, "a"), Point(2, None)]
                with pytest.raises(ValueError, match="one column"):
                    await job.result(row=pgqueue.scalar)
                with pytest.raises(TypeError, match=r"pgqueue\.dict_row"):
                    await job.result(row=psycopg.rows.dict_row)  # type: ignore[arg-type]

        run(main())


@contextlib.asynccontextmanager
async def of_psycopg(dsn: str) -> AsyncIterator[tuple[Any, Any, Any]]:
    async with await psycopg.AsyncConnection.connect(dsn) as connection:
        yield connection, connection.commit, connection.rollback


@contextlib.asynccontextmanager
async def of_asyncpg(dsn: str) -> AsyncIterator[tuple[Any, Any, Any]]:
    connection = await asyncpg.connect(**parts(dsn))
    transaction = connection.transaction()
    await transaction.start()
    yield connection, transaction.commit, transaction.rollback
    await connection.close()


@contextlib.asynccontextmanager
async def of_asyncpg_pool(dsn: str) -> AsyncIterator[tuple[Any, Any, Any]]:
    async with asyncpg.create_pool(min_size=1, max_size=1, **parts(dsn)) as pool, pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        yield connection, transaction.commit, transaction.rollback


def of_sqlalchemy(driver: str, *, is_session: bool) -> Callable[[str], Any]:
    @contextlib.asynccontextmanager
    async def opened(dsn: str) -> AsyncIterator[tuple[Any, Any, Any]]:
        async def creator() -> Any:
            if driver == "asyncpg":
                return await asyncpg.connect(**parts(dsn))
            return await psycopg.AsyncConnection.connect(dsn)

        engine = create_async_engine(f"postgresql+{driver}://", async_creator=creator)
        async with AsyncSession(engine) if is_session else engine.connect() as given:
            yield given, given.commit, given.rollback
        await engine.dispose()

    return opened


def parts(dsn: str) -> dict[str, Any]:
    given = psycopg.conninfo.conninfo_to_dict(dsn)
    names = {"dbname": "database"}
    return {
        names.get(name, name): given[name] for name in ("host", "port", "user", "password", "dbname") if name in given
    }


CONNECTIONS = {
    "psycopg": of_psycopg,
    "asyncpg": of_asyncpg,
    "asyncpg-pool": of_asyncpg_pool,
    "sqlalchemy-psycopg": of_sqlalchemy("psycopg", is_session=False),
    "sqlalchemy-psycopg-session": of_sqlalchemy("psycopg", is_session=True),
    "sqlalchemy-asyncpg": of_sqlalchemy("asyncpg", is_session=False),
    "sqlalchemy-asyncpg-session": of_sqlalchemy("asyncpg", is_session=True),
}


@pytest.mark.parametrize("opened", CONNECTIONS.values(), ids=CONNECTIONS)
class TestConnections:
    @pytest.mark.parametrize("commits", [True, False])
    def test_the_transaction_of_the_connection_decides(
        self, dsn: str, db: Database, opened: Callable[[str], Any], commits: bool
    ) -> None:
        async def main() -> None:
            async with pgqueue.aio.connect(dsn) as client, opened(dsn) as (given, commit, rollback):
                await client.enqueue("select $1, $2", 1, {"a": [True]}, delay=5, label="one", connection=given)
                await client.enqueue_many("select $1", rows=[[2], [3]], connection=given)
                await client.send_task("shop.placed", [1], {"a": None}, delay=3, connection=given)
                await client.schedule("s", "@daily", "select $1", 1, jitter=3, connection=given)
                await client.schedule_task("t", "@daily", "shop.digest", [1], connection=given)
                await client.alter_schedule("t", args=[2], connection=given)
                assert await client.list_jobs() == []
                await (commit if commits else rollback)()

        run(main())

        jobs = db.execute(
            "select label, params, due_at is not null from pgqueue.message where kind = 'job' order by id"
        )
        expected = [("one", ["1", '{"a": [true]}'], True), (None, ["2"], False), (None, ["3"], False)]
        assert jobs == (expected if commits else [])
        assert db.fetch_value("select count(*) from pgqueue.message where kind = 'task'") == int(commits)
        assert db.fetch_value("select count(*) from pgqueue.schedules") == 2 * int(commits)

    @pytest.mark.every_server
    def test_many_jobs_are_changed_in_the_transaction(
        self, dsn: str, db: Database, worker: Claimant, opened: Callable[[str], Any]
    ) -> None:
        async def main() -> None:
            async with pgqueue.aio.connect(dsn) as client, opened(dsn) as (given, commit, _rollback):
                failed = await client.submit("select 1 / 0", queue="mail")
                await client.submit("select 1 / 0", queue="mail")
                await asyncio.to_thread(worker.run_all, "mail")
                again = await client.retry(failed.handle, connection=given)
                assert (
                    await client.retry_jobs(
                        queue="mail", since=datetime.now(timezone.utc) - timedelta(minutes=10), connection=given
                    )
                    == 1
                )
                await commit()
                assert (await again.status()).retried_from == failed.id

        run(main())
        assert db.fetch_value("select count(*) from pgqueue.message where queue = 'mail'") == 2

    def test_a_refusal_keeps_its_sqlstate(self, dsn: str, opened: Callable[[str], Any]) -> None:
        async def main() -> None:
            async with pgqueue.aio.connect(dsn) as client, opened(dsn) as (given, _commit, rollback):
                with pytest.raises(InvalidArgument, match="sql parameter cannot be empty") as refused:
                    await client.enqueue("  ", connection=given)
                assert refused.value.sqlstate == "22023"
                await rollback()

        run(main())


@pytest.mark.parametrize("kind", ["blocking", "text", "none of ours"])
def test_what_is_no_connection_of_asyncio_is_refused_by_name(dsn: str, db: Database, kind: str) -> None:
    given: Any = {"blocking": db.connect("alice"), "text": "postgresql://", "none of ours": object()}[kind]

    async def main() -> None:
        async with pgqueue.aio.connect(dsn) as client:
            with pytest.raises(TypeError, match=r"AsyncConnection.*asyncpg's Connection, not"):
                await client.enqueue("select 1", connection=given)

    run(main())


def test_a_block_of_a_blocking_connection_is_refused(dsn: str, db: Database) -> None:
    async def main() -> None:
        async with pgqueue.aio.connect(dsn) as client:
            block = pgqueue.in_transaction(db.connect("alice", autocommit=False))
            with block, pytest.raises(TypeError, match="in_transaction has a blocking connection"):
                await client.enqueue("select 1")

    run(main())


def test_a_client_is_of_one_event_loop(dsn: str) -> None:
    client = asyncio.run(open_client(dsn))

    async def use() -> None:
        with pytest.raises(RuntimeError, match="another event loop"):
            await client.launch("select 1")

    asyncio.run(use())
    asyncio.run(client.close())


async def open_client(dsn: str) -> pgqueue.aio.AsyncClient:
    return await pgqueue.aio.connect(dsn)


def test_a_failure_of_the_look_after_jobs_reaches_those_who_wait(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_ids: object) -> str:
        raise ZeroDivisionError("a mistake")

    async def main() -> None:
        async with pgqueue.aio.connect(dsn) as client:
            job = await client.launch("select 1")
            monkeypatch.setattr("pgqueue.aio.waits.to_array", refuse)
            with pytest.raises(ZeroDivisionError):
                await job.wait()

    run(main())
