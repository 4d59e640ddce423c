"""The contract between a relay and the broker that it sends to."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from .outgoing import Outgoing


class Verdict(enum.Enum):
    """The answer of a target about a message."""

    #: It has it.
    CONFIRMED = enum.auto()
    #: It cannot take it now, as when its queue is full. Part of its queues may have it.
    REFUSED = enum.auto()
    #: No queue there takes it; nothing has it.
    RETURNED = enum.auto()


class Answer(NamedTuple):
    """An answer to one message."""

    #: The number that `send` returned.
    number: int
    verdict: Verdict
    detail: str = ""


class Address(NamedTuple):
    """Where a message goes at the target."""

    exchange: str
    routing_key: str


class TargetLost(Exception):
    """The connection is lost, or was never there; the text is the reason. Messages without an answer may have arrived.

    Args:
        code: the reply code of AMQP, if the broker has closed the connection or the channel with one.
    """

    def __init__(self, reason: str, code: int | None = None) -> None:
        super().__init__(reason)
        self.code = code


class Target(Protocol):
    """A broker. For one thread."""

    #: How the log names it: without its password.
    name: str
    #: How others see it: without its login.
    location: str

    @property
    def is_blocked(self) -> bool:
        """Whether the broker has asked to wait."""

    def connect(self) -> None:
        """Connect, after a loss too.

        Raises:
            TargetLost: that was not possible.
        """

    def fileno(self) -> int | None:
        """Return the descriptor that is readable when answers have come; None: there is none, answers come at once."""

    def send(self, message: Outgoing, address: Address) -> int:
        """Send a message without waiting for the answer, at the latest with the next `collect`; return its number.

        Raises:
            Unsendable: the target cannot take it; nothing was sent.
            TargetLost: the connection is lost.
        """

    def collect(self) -> list[Answer]:
        """Send what is not sent yet, and return the answers that have come. Never waits for one.

        Raises:
            TargetLost: the connection is lost; answers that came before it are lost, too.
        """

    def close(self) -> None:
        """Close the connection, if there is one."""
