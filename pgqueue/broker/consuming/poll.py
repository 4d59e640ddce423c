"""One poll: what it asks for, and what its answer means for the sleep of the fetcher. Pure."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from .sleep_state import Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..sleep_locks import Consumer
    from .buffer import ClaimedMessage
    from .capacity import FetchRequest

#: The lane of jobs that keep their results, which mostly were launched.
_TOP_LEVEL = "top_level"


class Poll(NamedTuple):
    """A poll in flight."""

    requests: dict[str, FetchRequest]
    #: The consumers (kind, queue) that it is for.
    wanted: set[Consumer]
    #: By kind, the roles of which it asks for no more jobs.
    with_share: Mapping[str, frozenset[int]]
    #: Whether only a heartbeat was due.
    is_heartbeat: bool = False

    def outcome(self, claimed: list[ClaimedMessage], *, is_alone: bool) -> Outcome:
        """Return the result of the poll; `is_alone`: it has found one message, and no job runs."""
        found = Counter(message.kind for message in claimed)
        full = {kind for kind, request in self.requests.items() if request.is_met(found[kind])}
        left_out = {kind: roles for kind, roles in self.with_share.items() if roles}
        queues = {message.queue for message in claimed}
        is_one_launch = is_alone and claimed[0].lane == _TOP_LEVEL
        return Outcome(self.wanted, full, queues, left_out, self.is_heartbeat, is_one_launch)


#: A query in flight that is no poll claims nothing.
NO_POLL = Poll({}, set(), {})
