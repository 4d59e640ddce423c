"""The pages of queues and dead letters, their JSON, and what is done with a queue."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from tornado.web import authenticated

from ...errors import InvalidArgument, PgQueueError
from .handlers import ApiHandler, DatabaseHandler, PageHandler
from .job_filters import read_number
from .plot import Minutes, read_minutes
from .reading import CHANGING_SECONDS, Told, say

#: The acts on a queue, and their queries.
ACTS = {"pause": "pause_queue", "resume": "resume_queue", "purge": "purge_whole_queue", "redrive": "redrive_queue"}
#: These ask first.
_ASKED = ("purge", "redrive")
_LONGEST_DRAIN_SECONDS = 600
_LETTERS = 100


async def list_queues(handler: DatabaseHandler) -> list[dict[str, Any]]:
    """Return the queues, each with its throughput where the role may see that."""
    queues: list[dict[str, Any]] = await handler.database.read("page_queues") or []
    try:
        minutes = read_minutes(await handler.database.read("page_throughput") or [])
    except PgQueueError as failure:
        if getattr(failure, "sqlstate", None) != "42501":
            raise
        minutes = None
    for queue in queues:
        queue["throughput"] = None if minutes is None else minutes.get(queue["queue"], Minutes()).to_json()
    return queues


async def list_letters(handler: DatabaseHandler, queue: str) -> list[dict[str, Any]]:
    """Return the first dead letters of a queue."""
    letters: list[dict[str, Any]] = await handler.database.read("page_dead_letters", queue=queue, limit=_LETTERS) or []
    return letters


async def change(handler: DatabaseHandler, act: str, queue: str) -> Told:
    """Do it with a queue.

    Raises:
        InvalidArgument: there is no such act.
        PgQueueError: the database refused.
    """
    if act not in ACTS:
        raise InvalidArgument(f"act {act!r} is not known", sqlstate="22023", hint=f"It is {', '.join(ACTS)}.")
    return await handler.database.run(lambda: handler.database.ask(CHANGING_SECONDS, ACTS[act], queue=queue))


class QueuesPage(PageHandler):
    """The queues: how long they are, how old, how fast."""

    tab = "queues"

    @authenticated
    async def get(self) -> None:
        """Show them."""
        queues = await list_queues(self)
        for queue in queues:
            queue["plot"] = Minutes.from_json(queue["throughput"])
        self.show("pgqueue_queues.html", queues=queues, reader=await self.database.read("page_reader"))

    @authenticated
    async def post(self) -> None:
        """Do it with a queue, or first ask whether it is meant."""
        act, queue = self.text("act"), str(self.get_body_argument("queue", "", strip=False))
        if act in _ASKED and not self.text("confirmed"):
            self.show("pgqueue_confirm_queue.html", act=act, queue=queue)
            return
        told = await change(self, act, queue)
        self.show("pgqueue_queue_outcome.html", act=act, queue=queue, value=told.value, notices=told.notices)


class DrainPage(PageHandler):
    """How many messages of a queue are left, read again until it is empty. It changes nothing."""

    tab = "queues"

    @authenticated
    async def get(self) -> None:
        """Show it."""
        queue = self.text("queue")
        left = await self.database.read("queue_left", queue=queue)
        [shown] = [q for q in await self.database.read("page_queues") or [] if q["queue"] == queue] or [None]
        self.show("pgqueue_drain.html", queue=queue, left=left, shown=shown)


class DeadLettersPage(PageHandler):
    """The queues of dead letters, and the letters of one."""

    tab = "dead-letters"

    @authenticated
    async def get(self) -> None:
        """Show them."""
        queues = [q for q in await self.database.read("page_queues") or [] if q["queue"].endswith(".dead")]
        chosen = self.text("queue") or (queues[0]["queue"] if queues else "")
        letters = await list_letters(self, chosen) if chosen else []
        reader = await self.database.read("page_reader")
        self.show(
            "pgqueue_dead_letters.html", queues=queues, chosen=chosen, letters=letters, most=_LETTERS, reader=reader
        )


class QueuesApi(ApiHandler):
    """`GET /api/pgqueue/queues`."""

    @authenticated
    async def get(self) -> None:
        """Answer with the queues."""
        self.answer({"queues": await list_queues(self)})


class DeadLettersApi(ApiHandler):
    """`GET /api/pgqueue/dead-letters?queue=NAME.dead`."""

    @authenticated
    async def get(self) -> None:
        """Answer with the first dead letters of a queue."""
        self.answer({"queue": self.text("queue"), "dead_letters": await list_letters(self, self.text("queue"))})


class QueueActsApi(ApiHandler):
    """`POST /api/pgqueue/queues/pause`, `resume`, `purge`, `redrive`, with `queue`."""

    @authenticated
    async def post(self, act: str) -> None:
        """Do it, and answer with what it returned."""
        queue = str(self.get_body_argument("queue", "", strip=False))
        told = await change(self, act, queue)
        self.answer({"queue": queue, act: told.value, "notices": told.notices})


class DrainApi(ApiHandler):
    """`GET /api/pgqueue/queues/drain?queue=NAME&timeout=60`: waits until a queue is empty, and changes nothing."""

    @authenticated
    async def get(self) -> None:
        """Answer when it is empty, or after the timeout with how many messages are left."""
        queue = self.text("queue")
        timeout = read_number({"timeout": self.text("timeout")}, "timeout", 0, _LONGEST_DRAIN_SECONDS)
        deadline = time.monotonic() + (60 if timeout is None else timeout)
        while True:
            begun_at = time.monotonic()
            left = await self.database.read("queue_left", queue=queue)
            now = time.monotonic()
            if left == 0 or now >= deadline or self.request.connection.stream.closed():
                self.answer({"queue": queue, "empty": left == 0, "left": left})
                return
            # Counting a long queue takes a while, and takes at most 20 % of the time.
            await asyncio.sleep(min(max(0.5, 4 * (now - begun_at)), deadline - now))


__all__ = [
    "DeadLettersApi",
    "DeadLettersPage",
    "DrainApi",
    "DrainPage",
    "QueueActsApi",
    "QueuesApi",
    "QueuesPage",
    "say",
]
