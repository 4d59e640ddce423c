"""The HTTP service: `uvicorn examples.fastapi_service.service:app`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import BaseModel, Field
from sqlalchemy import Identity, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

import pgqueue
import pgqueue.aio

from . import tasks

SCHEMA = (Path(__file__).parent / "schema.sql").read_text()


class Base(DeclarativeBase):
    pass


class Order(Base):
    __tablename__ = "orders"

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    reference: Mapped[str]
    items: Mapped[int]
    job_id: Mapped[int | None]


class NewOrder(BaseModel):
    reference: str
    items: int = Field(gt=0, le=1000)


class PlacedOrder(BaseModel):
    id: int
    job_id: int
    task_id: str


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    """Open one client and one pool of connections for all requests of this process."""
    async with pgqueue.aio.connect() as client:
        engine = create_async_engine(
            pgqueue.to_url(client.dsn, "postgresql+psycopg"), connect_args={"application_name": "orders"}
        )
        try:
            async with engine.begin() as connection:
                await connection.exec_driver_sql(SCHEMA)
            yield {"client": client, "sessions": async_sessionmaker(engine)}
        finally:
            await engine.dispose()


async def get_client(request: Request) -> pgqueue.aio.AsyncClient:
    return request.state.client


async def get_session(request: Request) -> AsyncIterator[AsyncSession]:
    async with request.state.sessions() as session:
        yield session


Client = Annotated[pgqueue.aio.AsyncClient, Depends(get_client)]
Session = Annotated[AsyncSession, Depends(get_session)]


async def find_job(order_id: int, request: Request, client: Client) -> pgqueue.aio.AsyncJob:
    # Its own block: a session of the dependency would stay in use until the end of the stream.
    async with request.state.sessions() as session:
        job_id = await session.scalar(select(Order.job_id).where(Order.id == order_id))
    if job_id is None:
        raise HTTPException(404, "there is no such order")
    job = await client.job(job_id)
    try:
        await job.status()
    except pgqueue.UnknownJob:
        raise HTTPException(410, "the order was packed long ago") from None
    return job


app = FastAPI(lifespan=lifespan)


@app.post("/orders", status_code=201)
async def place_order(new: NewOrder, session: Session, client: Client) -> PlacedOrder:
    order = Order(reference=new.reference, items=new.items)
    session.add(order)
    await session.flush()
    job = await client.enqueue("select pack($1)", order.id, label="pack", connection=session)
    order.job_id = job.id
    receipt = await pgqueue.aio.apply_async(tasks.send_receipt, [order.id], connection=session)
    placed = PlacedOrder(id=order.id, job_id=job.id, task_id=receipt.id)
    try:
        # Here, and not in the dependency, whose end is after the response.
        await session.commit()
    except IntegrityError:
        raise HTTPException(409, "there is an order with this reference") from None
    return placed


@app.get("/orders/{order_id}/progress", response_class=EventSourceResponse)
async def stream_progress(job: Annotated[pgqueue.aio.AsyncJob, Depends(find_job)]) -> AsyncIterator[ServerSentEvent]:
    last: dict[str, Any] | None = None
    while True:
        status = await job.status()
        now = {"state": status.state.value, "percent": status.progress_pct, "message": status.progress_msg}
        if now != last:
            yield ServerSentEvent(event="progress", data=now)
            last = now
        if status.state.is_final:
            return
        # It returns early when the job ends. Nothing is held when the browser goes away during it.
        await job.wait(0.2)
