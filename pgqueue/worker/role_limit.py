"""How many executors one role may have at the same time: all but one, so that jobs of other roles find one free.

If only one role is enrolled, it may have all. `pgqueue.max_executors_per_role` sets another limit. The database is
asked again when jobs come and the last answer is old. Until the first answer, and while the database gives none, the
default holds.
"""

from __future__ import annotations

import threading
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

import psycopg

from ..db.named_query import NamedQuery
from .log import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..db.database import Database

logger = get_logger(__name__)

#: The database is asked again when its last answer is older than the first, and that is believed for the second.
_FRESH_SECONDS, _BELIEVED_SECONDS = 3.0, 6.0


class _Answer(NamedTuple):
    #: The value of the setting.
    executors: int | None
    #: Whether more than one role is enrolled.
    has_others: bool


_ROLE_LIMIT = NamedQuery("role_limit", _Answer)


class RoleLimit:
    """Any thread may call its methods.

    Args:
        said: the limit that the worker was started with; None: the database decides.
        schedule: calls a function a number of seconds from now, in a thread that may query the database.
        on_answer: is called in that thread when the database has answered.
    """

    def __init__(
        self,
        database: Database,
        said: int | None,
        schedule: Callable[[float, Callable[[], None]], None],
        on_answer: Callable[[], None],
    ) -> None:
        self._database = database
        self._said = said
        self._schedule = schedule
        self._on_answer = on_answer
        self._lock = threading.Lock()
        self._is_scheduled = False
        #: The value of the setting, and whether more than one role is enrolled.
        self._setting: int | None = None
        self._has_others = True
        self._fresh_until = self._known_until = 0.0

    @property
    def is_shared(self) -> bool:
        """Whether there may be jobs of more than one role."""
        return self._has_others or monotonic() >= self._known_until

    def executors(self, size: int) -> int:
        """Return how many of `size` executors one role may have."""
        if limit := self._said or self._setting:
            return min(limit, size)
        return max(1, size - 1) if self.is_shared else size

    def refresh(self) -> None:
        """Ask the database soon, if the last answer is old."""
        with self._lock:
            if not self._is_scheduled and monotonic() >= self._fresh_until:
                self._is_scheduled = True
                self._schedule(0.0, self._ask)

    def _ask(self) -> None:
        try:
            [answer] = self._database.fetch_rows(_ROLE_LIMIT)
            self._setting, self._has_others = answer.executors, answer.has_others
            now = monotonic()
            self._fresh_until, self._known_until = now + _FRESH_SECONDS, now + _BELIEVED_SECONDS
        except psycopg.Error as error:
            logger.info("the limit of executors for one role could not be read: %s", error)
        finally:
            with self._lock:
                self._is_scheduled = False
        self._on_answer()
