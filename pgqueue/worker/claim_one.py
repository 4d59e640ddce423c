"""Claims of one job by its number, in the thread of the executor that runs it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg

from ..db.named_query import NamedQuery
from .batch import BatchJob, Chunk
from .claimed_job import ClaimedJob, Lane
from .log import get_logger

if TYPE_CHECKING:
    from ..broker.job_consumer import AnnouncedJob
    from ..db.database import Database
    from .job_waits import Awaited

logger = get_logger(__name__)


class _Claim(NamedTuple):
    """A row of these queries, which return at most one."""

    id: int
    token: int
    message: Any
    lane: str


_CLAIM_ANNOUNCED = NamedQuery("claim_announced", _Claim)
_CLAIM_AWAITED = NamedQuery("claim_awaited", _Claim)


def claim_announced(database: Database, announced: AnnouncedJob) -> ClaimedJob | Chunk | None:
    """Claim a job that was announced; None: the worker's next claim has to bring what is ready."""
    key = {"worker_id": announced.worker_id, "queues": list(announced.queues), "announced_id": announced.id}
    try:
        claims = database.fetch_rows(_CLAIM_ANNOUNCED, **key)
    except psycopg.Error as error:
        logger.info("job %s was announced, and could not be claimed: %s", announced.id, error)
        return None
    return _read(claims)


def claim_awaited(database: Database, awaited: Awaited) -> ClaimedJob | Chunk | None:
    """Claim a job for which another waits; None: it cannot be had now."""
    waiter = awaited.waiter
    key = {"waiter_id": waiter.id, "waiter_token": waiter.token, "awaited_id": awaited.id}
    try:
        claims = database.fetch_rows(_CLAIM_AWAITED, **key)
    except psycopg.Error as error:
        logger.warning("job %s waits for job %s, which could not be claimed: %s", waiter.id, awaited.id, error)
        return None
    return _read(claims)


def _read(claims: list[_Claim]) -> ClaimedJob | Chunk | None:
    """Return the job of a claim; one of the batch lane as a chunk."""
    for claim in claims:
        if Lane(claim.lane) is Lane.BATCH:
            return Chunk([BatchJob(claim.id, claim.token, claim.message, f"{claim.id}:{claim.token}")])
        return ClaimedJob.from_document(claim.message)
    return None
