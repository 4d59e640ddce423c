"""Which queues go where: names, and patterns with * and ?."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, NamedTuple

from .target import Address

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

#: The queues of Celery's own messages, and dead letters. A pattern does not match them; their names do.
_LEFT_OUT = re.compile(r"^celeryev\.|^celeryev$|\.pidbox$|\.dead$|^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$")


#: The name of the target that the command line gives. A target in the database has another: this is no word there.
GIVEN = "--to"


class Route(NamedTuple):
    """Where the messages of a queue, or of all queues that a pattern matches, go."""

    queue: str
    target: str
    exchange: str | None = None
    routing_key: str | None = None

    @property
    def is_pattern(self) -> bool:
        """Whether it is for all queues that a pattern matches."""
        return "*" in self.queue or "?" in self.queue

    def address(self, queue: str) -> Address:
        """Return the address of the messages of one queue."""
        return Address(self.exchange or "", self.routing_key if self.routing_key is not None else queue)

    def matches(self, queue: str) -> bool:
        """Return whether the messages of a queue go this way."""
        if queue == self.queue:
            return True
        return (
            self.is_pattern and _LEFT_OUT.search(queue) is None and fnmatchcase(queue, self.queue.replace("[", "[[]"))
        )


def assign(routes: Sequence[Route], queues: Iterable[str]) -> dict[str, Route]:
    """Return the route of each queue that has one: that of its name, or else of the longest pattern."""
    by_precedence = sorted(routes, key=lambda route: (route.is_pattern, -len(route.queue), route.queue))
    names = {*queues, *(route.queue for route in routes if not route.is_pattern)}
    found = {name: next((route for route in by_precedence if route.matches(name)), None) for name in names}
    return {name: route for name, route in sorted(found.items()) if route is not None}
