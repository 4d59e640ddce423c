"""What mypy and pyright, both strict, know of a program that uses pgqueue."""

# pyright: strict, reportUnnecessaryTypeIgnoreComment=true, reportPrivateUsage=false

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NamedTuple, assert_type

import psycopg

import pgqueue
import pgqueue.aio


@dataclass
class Sale:
    region: str
    total: int


class Point(NamedTuple):
    x: int
    y: int


def of_two_numbers(columns: Sequence[pgqueue.Column]) -> Callable[[tuple[Any, ...]], tuple[int, int]]:
    return lambda row: (row[0], row[1])


def blocking(client: pgqueue.Client, session: psycopg.Connection[Any]) -> None:
    job = client.launch("select $1::int", 1, queue="reports", timeout=timedelta(minutes=1))
    assert_type(job, pgqueue.Job)
    assert_type(job.handle, pgqueue.Handle)
    assert_type(job.result(), list[tuple[Any, ...]])
    assert_type(job.result(5.0), list[tuple[Any, ...]])
    assert_type(job.result(row=Sale), list[Sale])
    assert_type(job.result(5, row=Point), list[Point])
    assert_type(job.result(row=pgqueue.dict_row), list[dict[str, Any]])
    assert_type(job.result(row=pgqueue.scalar), list[Any])
    assert_type(job.result(row=pgqueue.tuple_row), list[tuple[Any, ...]])
    assert_type(job.result(row=of_two_numbers), list[tuple[int, int]])
    assert_type(job.rows(), Iterator[tuple[Any, ...]])
    assert_type(job.rows(row=Sale), Iterator[Sale])
    assert_type(job.rows(row=pgqueue.dict_row), Iterator[dict[str, Any]])
    assert_type(job.read(), pgqueue.Result)
    assert_type(job.wait(), bool)
    assert_type(job.progress(), pgqueue.Progress)
    assert_type(job.status().state, pgqueue.JobState)
    assert_type(client.enqueue_many("select $1", rows=[[1]], connection=session), list[pgqueue.Job])
    assert_type(client.send_task("shop.placed", [1]), str)
    assert_type(client.run_schedule("nightly"), int | None)
    assert_type(client.schedules(), list[pgqueue.Schedule])
    assert_type(client.cancel_jobs(queue="reports"), int)
    job.result(row=3)  # type: ignore[call-overload]
    client.launch("select 1", prio=3)  # type: ignore[call-arg]


async def awaited(client: pgqueue.aio.AsyncClient, session: psycopg.AsyncConnection[Any]) -> None:
    job = await client.launch("select $1::int", 1, queue="reports")
    assert_type(job, pgqueue.aio.AsyncJob)
    assert_type(await job.result(), list[tuple[Any, ...]])
    assert_type(await job.result(row=Sale), list[Sale])
    assert_type(await job.result(row=pgqueue.dict_row), list[dict[str, Any]])
    assert_type(await job.result(row=pgqueue.scalar), list[Any])
    assert_type(await job.result(row=of_two_numbers), list[tuple[int, int]])
    assert_type(job.rows(), AsyncIterator[tuple[Any, ...]])
    assert_type(job.rows(row=Sale), AsyncIterator[Sale])
    async for sale in job.rows(row=Sale):
        assert_type(sale, Sale)
    assert_type(await job.wait(5), bool)
    assert_type(await client.enqueue("select 1", connection=session), pgqueue.aio.AsyncJob)
    assert_type(await client.send_task("shop.placed", [1]), str)
    await client.enqueue("select 1", connection=3)  # type: ignore[arg-type]


async def opened() -> None:
    assert_type(await pgqueue.aio.connect(), pgqueue.aio.AsyncClient)
    async with pgqueue.aio.connect("postgresql://localhost") as client:
        assert_type(client, pgqueue.aio.AsyncClient)


def named() -> None:
    assert_type(pgqueue.to_url("host=localhost"), str)
    try:
        pgqueue.connect()
    except pgqueue.JobFailed as failed:
        assert_type(failed.sqlstate, str | None)
    except (pgqueue.WaitTimeout, pgqueue.ConnectionFailed, pgqueue.NotPermitted) as failure:
        assert_type(failure.hint, str | None)
