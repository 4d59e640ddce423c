"""Messages that are ours and were not delivered yet, in order for each queue, the queues taking turns."""

from __future__ import annotations

from collections import deque
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from typing_extensions import Self


class Source(NamedTuple):
    """Where a message comes from, and what decides who gets it."""

    kind: str
    queue: str


_source_of = attrgetter("kind", "queue")


class ClaimedMessage(NamedTuple):
    """A message that is ours and was not delivered yet."""

    kind: str
    id: int
    token: int
    queue: str
    #: How often it was handed out before.
    earlier_deliveries: int
    #: The message; of a job what the lane that it runs in needs to know.
    document: str
    #: Of a job: 'batch' or 'top_level'.
    lane: str | None = None

    @classmethod
    def from_row(cls, row: tuple[Any, ...]) -> Self:
        """Read a row of a query that claims: its last columns are these fields, whatever stands before them."""
        return cls._make(row[-len(cls._fields) :])

    @property
    def delivery_tag(self) -> str:
        """What settles it."""
        return f"{self.id}:{self.token}"


class ClaimBuffer:
    """Keeps claimed messages until somebody has room for them. For one thread."""

    def __init__(self) -> None:
        #: Each message with the time it was claimed at (monotonic).
        self._waiting: dict[Source, deque[tuple[float, ClaimedMessage]]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def __iter__(self) -> Iterator[ClaimedMessage]:
        for messages in self._waiting.values():
            for _at, claimed in messages:
                yield claimed

    def add(self, messages: Iterable[ClaimedMessage], now: float) -> None:
        """Keep messages that were claimed now."""
        for source, together in groupby(messages, key=_source_of):
            self._waiting.setdefault(Source(*source), deque()).extend([(now, claimed) for claimed in together])

    def count(self, kind: str, queues: Collection[str]) -> int:
        """Return how many messages of these queues are here."""
        return sum(
            len(messages)
            for source, messages in self._waiting.items()
            if source.kind == kind and source.queue in queues
        )

    def has_one_for(self, is_wanted: Callable[[Source], bool]) -> bool:
        """Whether `pop` would find something."""
        return any(map(is_wanted, self._waiting))

    def pop(self, is_wanted: Callable[[Source], bool]) -> ClaimedMessage | None:
        """Take the oldest message of the first queue that is wanted. Then it is another queue's turn."""
        source = next(filter(is_wanted, self._waiting), None)
        if source is None:
            return None
        messages = self._waiting.pop(source)
        _at, claimed = messages.popleft()
        if messages:
            self._waiting[source] = messages
        return claimed

    def take_first(self, source: Source, count: int) -> list[ClaimedMessage]:
        """Take the oldest messages of a queue, so many or as many as there are."""
        messages = self._waiting.get(source, deque())
        taken = [messages.popleft()[1] for _ in range(min(count, len(messages)))]
        if not messages:
            self._waiting.pop(source, None)
        return taken

    def take(self, source: Source) -> list[ClaimedMessage]:
        """Take all messages of a queue."""
        return [claimed for _at, claimed in self._waiting.pop(source, ())]

    def take_older(self, than: float) -> list[ClaimedMessage]:
        """Take all messages of the queues whose oldest was claimed before then."""
        old = [source for source, messages in self._waiting.items() if messages[0][0] < than]
        return [claimed for source in old for claimed in self.take(source)]

    def clear(self) -> None:
        """Forget everything."""
        self._waiting.clear()
