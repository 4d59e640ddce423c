"""Claiming the job that another job waits for, so that it runs though all executors are taken."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg

from ..db.named_query import NamedQuery
from .batch import BatchJob, Chunk
from .claimed_job import ClaimedJob, Lane
from .log import get_logger

if TYPE_CHECKING:
    from ..db.database import Database
    from .job_waits import Awaited

logger = get_logger(__name__)


class _Claim(NamedTuple):
    """A row of the query `claim_awaited`, which returns at most one."""

    id: int
    token: int
    message: Any
    lane: str


_CLAIM_AWAITED = NamedQuery("claim_awaited", _Claim)


def claim_awaited(database: Database, awaited: Awaited) -> ClaimedJob | Chunk | None:
    """Claim a job for which another waits; None: it cannot be had now. A job of the batch lane comes as a chunk."""
    waiter = awaited.waiter
    key = {"waiter_id": waiter.id, "waiter_token": waiter.token, "awaited_id": awaited.id}
    try:
        claims = database.fetch_rows(_CLAIM_AWAITED, **key)
    except psycopg.Error as error:
        logger.warning("job %s waits for job %s, which could not be claimed: %s", waiter.id, awaited.id, error)
        return None
    for claim in claims:
        if Lane(claim.lane) is Lane.BATCH:
            return Chunk([BatchJob(claim.id, claim.token, claim.message, f"{claim.id}:{claim.token}")])
        return ClaimedJob.from_document(claim.message)
    return None
