"""Claimed messages that were not delivered yet: in order within each queue, and the queues take turns."""

from __future__ import annotations

from collections import deque
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from typing_extensions import Self


class Source(NamedTuple):
    """The source of a message, which decides which channel gets it."""

    kind: str
    queue: str


_source_of = attrgetter("kind", "queue")


class ClaimedMessage(NamedTuple):
    """A claimed message that was not delivered yet."""

    kind: str
    id: int
    token: int
    queue: str
    #: How often it was handed to a worker before.
    earlier_deliveries: int
    #: The message; for a job, the document that its lane needs.
    document: str
    #: For a job: 'batch' or 'top_level'.
    lane: str | None = None

    @classmethod
    def from_row(cls, row: tuple[Any, ...]) -> Self:
        """Read a row of a claiming query: its last columns are these fields, whatever columns stand before them."""
        # There are thousands in a second, and `_make` takes twice as long.
        return tuple.__new__(cls, row[-_WIDTH:])

    @property
    def delivery_tag(self) -> str:
        """The delivery tag, `id:token`."""
        return f"{self.id}:{self.token}"


_WIDTH = len(ClaimedMessage._fields)


class ClaimBuffer:
    """Keeps claimed messages until a channel has room for them. For one thread."""

    def __init__(self) -> None:
        #: Each message with the time of its claim (monotonic).
        self._waiting: dict[Source, deque[tuple[float, ClaimedMessage]]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def __iter__(self) -> Iterator[ClaimedMessage]:
        for messages in self._waiting.values():
            for _at, claimed in messages:
                yield claimed

    def add(self, messages: Iterable[ClaimedMessage], now: float) -> None:
        """Add messages that were claimed now."""
        for source, together in groupby(messages, key=_source_of):
            self._waiting.setdefault(Source(*source), deque()).extend([(now, claimed) for claimed in together])

    def sources(self) -> list[Source]:
        """Return the sources of the messages that are here, the one whose turn it is first."""
        return list(self._waiting)

    @property
    def has_tasks(self) -> bool:
        """Whether a task is here."""
        return any(source.kind == "task" for source in self._waiting)

    def count(self, kind: str, queues: Collection[str]) -> int:
        """Return how many messages of these queues are here."""
        return sum(
            len(messages)
            for source, messages in self._waiting.items()
            if source.kind == kind and source.queue in queues
        )

    def has_one_for(self, is_wanted: Callable[[Source], bool]) -> bool:
        """Return whether `pop` would find a message."""
        return any(map(is_wanted, self._waiting))

    def pop(self, is_wanted: Callable[[Source], bool]) -> ClaimedMessage | None:
        """Take the oldest message of the first wanted queue. Then the next queue has its turn."""
        source = next(filter(is_wanted, self._waiting), None)
        if source is None:
            return None
        messages = self._waiting.pop(source)
        _at, claimed = messages.popleft()
        if messages:
            self._waiting[source] = messages
        return claimed

    def take_first(self, source: Source, count: int) -> list[ClaimedMessage]:
        """Take the oldest messages of a queue, at most `count`."""
        messages = self._waiting.get(source, deque())
        taken = [messages.popleft()[1] for _ in range(min(count, len(messages)))]
        if not messages:
            self._waiting.pop(source, None)
        return taken

    def take(self, source: Source) -> list[ClaimedMessage]:
        """Take all messages of a queue."""
        return [claimed for _at, claimed in self._waiting.pop(source, ())]

    def take_older(self, than: float) -> list[ClaimedMessage]:
        """Take all messages of the queues whose oldest message was claimed before an instant."""
        old = [source for source, messages in self._waiting.items() if messages[0][0] < than]
        return [claimed for source in old for claimed in self.take(source)]

    def clear(self) -> None:
        """Drop all messages."""
        self._waiting.clear()
