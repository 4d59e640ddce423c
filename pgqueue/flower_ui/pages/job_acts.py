"""Retry, discard and cancel: jobs by their numbers, or all that match."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

from ...errors import InvalidArgument, PgQueueError
from .job_filters import MOST, JobFilters
from .reading import CHANGING_SECONDS, PageDatabase, say

ACTS = {"retry": "retried", "discard": "discarded", "cancel": "canceled"}
_NOT_CANCELED = "It has ended, its cancel was requested already, or Flower's login may not act for its role."
_BATCH = 2000
#: A request ends after this long; the rest is for the next one.
_PATIENCE_SECONDS = 20.0


class Outcome(NamedTuple):
    """The outcome of an act."""

    act: str
    changed: int
    #: Jobs with which it could not be done: their numbers and errors.
    refused: list[dict[str, Any]]
    notices: list[str]
    is_finished: bool

    def to_json(self) -> dict[str, Any]:
        """Return it as the API has it."""
        return {
            ACTS[self.act]: self.changed,
            "refused": self.refused,
            "notices": self.notices,
            "finished": self.is_finished,
        }


def check_act(act: str) -> str:
    """Return an act that is known.

    Raises:
        InvalidArgument: it is not.
    """
    if act not in ACTS:
        raise InvalidArgument(f"act {act!r} is not known", sqlstate="22023", hint=f"It is {', '.join(ACTS)}.")
    return act


def read_ids(texts: list[str]) -> list[int]:
    """Read the numbers of jobs.

    Raises:
        InvalidArgument: there is none, there are too many, or one is no number.
    """
    if not texts or len(texts) > MOST or not all(t.isascii() and t.isdigit() and len(t) < 19 for t in texts):
        raise InvalidArgument(f"the numbers of 1 to {MOST} jobs are needed", sqlstate="22023", hint="Select some.")
    return list(dict.fromkeys(map(int, texts)))


class JobActs:
    """Changes jobs. Its methods block."""

    def __init__(self, database: PageDatabase) -> None:
        self._database = database

    def change_selected(self, act: str, ids: list[int]) -> Outcome:
        """Do it with each job in a transaction of its own, so that one that is refused keeps no other.

        Raises:
            PgQueueError: the database could not be reached.
        """
        query = {"retry": "retry_job", "discard": "discard_job", "cancel": "cancel_job_by_number"}[act]
        cookie = {} if act == "cancel" else {"cookie": None}
        count, refused, notices = 0, [], []
        for id in ids:
            try:
                told = self._database.ask(CHANGING_SECONDS, query, id=id, **cookie)
            except PgQueueError as failure:
                if getattr(failure, "sqlstate", None) is None:
                    raise
                refused.append({"id": id, **say(failure)})
                continue
            notices += told.notices
            if act == "cancel" and told.value == 0:
                refused.append({"id": id, "message": f"job {id} was not canceled", "hint": _NOT_CANCELED})
            else:
                count += 1
        return Outcome(act, count, refused, list(dict.fromkeys(notices)), True)

    def count_matching(self, act: str, filters: JobFilters) -> int:
        """Return with how many jobs it would be done; the count ends at a large number."""
        order = filters.to_order(act)
        told = self._database.ask(
            CHANGING_SECONDS, "order_jobs", act=f"{act}_jobs", max_count=100_000, is_dry_run=True, **order
        )
        return int(told.value)

    def change_matching(self, act: str, filters: JobFilters) -> Outcome:
        """Do it with all that match now, a batch in each transaction."""
        order = filters.to_order(act)
        # Jobs that fail again meanwhile, or that are submitted, are not taken a second time.
        order["until"] = order["until"] or self._database.ask(CHANGING_SECONDS, "server_now").value
        give_up_at = time.monotonic() + _PATIENCE_SECONDS
        total, notices = 0, []
        while True:
            told = self._database.ask(
                CHANGING_SECONDS, "order_jobs", act=f"{act}_jobs", max_count=_BATCH, is_dry_run=False, **order
            )
            total += told.value
            notices += told.notices
            if told.value == 0 or time.monotonic() > give_up_at:
                return Outcome(act, total, [], list(dict.fromkeys(notices)), told.value == 0)
