"""The messages of one kind on their way to a target: sent in order, settled when answered, sent again after a loss."""

from __future__ import annotations

import contextlib
import logging
import time
from collections import deque
from typing import TYPE_CHECKING, NamedTuple, Protocol

from ..envelope import MALFORMED
from ..qos import QoS
from .held_queues import HeldQueues
from .outgoing import Unsendable
from .target import TargetLost, Verdict
from .target_connection import TargetConnection

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ..job_consumer import ClaimedMessage, JobExecutors, JobSupply
    from .cargo import Cargo
    from .outgoing import Outgoing
    from .routes import Route
    from .target import Target

logger = logging.getLogger(__name__)

#: A confirm that does not come in this time is taken for lost, unless the broker has asked to wait.
_CONFIRM_SECONDS = 60.0
#: A target that answers each message by itself may be slow. After this time what was answered is acked, other targets
#: have their turn, and a signal to stop is handled.
_SEND_SECONDS = 0.2
#: How often a quiet connection is looked after: heartbeats, confirms that do not come.
_LOOK_SECONDS = 2.0
#: The reply codes of AMQP that are about the message: it is too large, or has properties that the broker refuses.
_MESSAGE_CODES = (311, 406, 501, 502, 503, 505, 540)
#: The reply codes about the address: no such exchange, no right to publish there.
_ADDRESS_CODES = (403, 404)


class Settling(Protocol):
    """Settles claims in the database."""

    def ack(self, delivery_tag: str) -> None:
        """Keep the ack of a message, to be sent soon."""

    def reject(self, delivery_tag: str, reason: str) -> None:
        """Make a message a dead letter.

        Raises:
            psycopg.Error: the server could not be reached.
        """

    def release(self, delivery_tags: list[str], *, undelivered: bool) -> None:
        """Give messages back to their queues.

        Raises:
            psycopg.Error: the server could not be reached.
        """


class _Flight(NamedTuple):
    """A message that was sent and not answered."""

    message: Outgoing
    sent_at: float


class Lane:
    """One target, with the queues that go there: what a consuming channel is to the fetcher. For one thread.

    Args:
        window: how many messages it may hold that are not done with.
    """

    job_supply: Callable[[], JobSupply] | None = None
    executors: JobExecutors | None = None

    def __init__(
        self, target: Target, cargo: Cargo, settling: Settling, window: int, on_room: Callable[[], None]
    ) -> None:
        self.target = target
        self.kind = cargo.kind
        #: Those from which messages are claimed now.
        self.queues: frozenset[str] = frozenset()
        self.qos = QoS(None, window)
        #: How many messages the target has confirmed.
        self.confirmed = 0
        self.is_draining = False
        self._cargo = cargo
        self._settling = settling
        self._on_room = on_room
        self._routes: Mapping[str, Route] = {}
        self._waiting: deque[Outgoing] = deque()
        self._flights: dict[int, _Flight] = {}
        self._held = HeldQueues()
        self._connection = TargetConnection(target)
        self._is_careful = False

    # For the fetcher

    def room(self, at_most: int) -> int:
        """Return how many messages may be claimed now."""
        if not self._connection.is_open or self._is_careful or self.is_draining or self.target.is_blocked:
            return 0
        room = self.qos.can_consume_max_estimate()
        return at_most if room is None else min(room, at_most)

    # For the relay

    @property
    def is_idle(self) -> bool:
        """Whether nothing is on its way."""
        return not self._waiting and not self._flights

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection to the target."""
        return self._connection.is_open

    def follow(self, routes: Mapping[str, Route], now: float) -> None:
        """Send on the messages of these queues from now on."""
        self._routes = routes
        self._held.keep(routes)
        self._choose_queues(now)

    def take(self, claimed: Sequence[ClaimedMessage]) -> None:
        """Take over claimed messages.

        Raises:
            psycopg.Error: the server could not be reached, to prepare them or to reject one that cannot be sent.
        """
        self.qos.append_jobs([each.delivery_tag for each in claimed])
        self._cargo.prepare(claimed)
        for each in claimed:
            self._load(each)

    def _load(self, claimed: ClaimedMessage) -> None:
        try:
            message = self._cargo.load(claimed)
        except Unsendable as failure:
            self._reject(claimed.delivery_tag, claimed.queue, str(failure))
        except MALFORMED as failure:
            self._reject(claimed.delivery_tag, claimed.queue, f"it is no message of kombu: {failure!r:.200}")
        else:
            if message is None:
                self.qos.ack(claimed.delivery_tag)
            else:
                self._waiting.append(message)

    def step(self, now: float) -> None:
        """Connect if that is due, settle what was answered, and send what waits.

        Raises:
            psycopg.Error: the server could not be reached.
        """
        if self._held.has_ended(now):
            self._choose_queues(now)
        self._look(now)
        try:
            if not self._connection.is_open:
                if now < self._connection.open_at or (self.is_draining and self.is_idle):
                    return
                self._connection.open()
                self._on_room()
            self._settle(now)
            self._send(now)
            self._settle(now)
            self._require_answers(now)
        except TargetLost as loss:
            self._lose(loss, now)
        if self._is_careful and self.is_idle:
            self._is_careful = False
            self._on_room()

    def due_at(self, now: float) -> float:
        """Return when to call `step` again, if no answer comes before (monotonic)."""
        if self._can_send:
            return now
        due = min(self._cargo.due_at(), self._held.end_at(now))
        return min(due, now + _LOOK_SECONDS if self._connection.is_open else self._connection.open_at)

    def give_back_waiting(self) -> None:
        """Give back the messages that were not sent.

        Raises:
            psycopg.Error: the server could not be reached.
        """
        waiting, self._waiting = list(self._waiting), deque()
        self._release(waiting)

    def give_back_all(self) -> None:
        """Give back all messages: those without an answer are flagged when they are sent again.

        Raises:
            psycopg.Error: the server could not be reached.
        """
        self.give_back_waiting()
        flights, self._flights = self._flights, {}
        self._release([flight.message.as_duplicate() for flight in flights.values()])

    def take_last_answers(self) -> None:
        """Keep the acks of what was confirmed by now. Asks nothing of the database."""
        if not self._connection.is_open:
            return
        with contextlib.suppress(TargetLost):
            for answer in self.target.collect():
                flight = self._flights.pop(answer.number, None)
                if flight is not None and answer.verdict is Verdict.CONFIRMED:
                    self._confirm(flight.message, time.monotonic())
            return
        self.close()

    def forget(self) -> None:
        """Forget all messages: their claims are lost, or about to be."""
        self._waiting.clear()
        self._flights.clear()
        self._cargo.forget()
        self.qos.ack(*self.qos.tags)

    def close(self) -> None:
        """Close the connection to the target."""
        self._connection.close()

    @property
    def _can_send(self) -> bool:
        is_held_up = self.target.is_blocked or (self._is_careful and self._flights)
        return self._connection.is_open and bool(self._waiting) and not is_held_up

    def _send(self, now: float) -> None:
        until = time.monotonic() + _SEND_SECONDS
        while self._can_send and time.monotonic() < until:
            message = self._waiting.popleft()
            route = self._routes.get(message.queue)
            if route is None or message.queue not in self.queues:
                self._release([message])
                continue
            try:
                number = self.target.send(message, route.address(message.queue))
            except Unsendable as failure:
                self._refuse(message, str(failure), now)
                continue
            except TargetLost:
                # It may have been sent, as those before it.
                self._waiting.appendleft(message.as_duplicate())
                raise
            self._flights[number] = _Flight(message, now)

    def _settle(self, now: float) -> None:
        answers = self.target.collect()
        if not answers:
            return
        was_full, was_roomy = not self.qos.can_consume(), self.qos.is_roomy()
        back = []
        for answer in answers:
            flight = self._flights.pop(answer.number, None)
            if flight is None:
                continue  # Its claim was lost meanwhile.
            message = flight.message
            if answer.verdict is Verdict.CONFIRMED:
                self._held.note_taken(message.queue, now)
                self._confirm(message, now)
                continue
            why = answer.detail or "the broker cannot take it now"
            if answer.verdict is Verdict.REFUSED:
                message = message.as_duplicate()
            self._hold(message.queue, why, now)
            back.append(message)
        if back:
            self._release(back)
        if was_full or (not was_roomy and self.qos.is_roomy()):
            self._on_room()

    def _confirm(self, message: Outgoing, now: float) -> None:
        self.confirmed += 1
        if self._cargo.confirm(message, now):
            self.qos.ack(message.delivery_tag)
            self._settling.ack(message.delivery_tag)

    def _look(self, now: float) -> None:
        """Free the places of messages that are done with, and send again what the target may have lost."""
        changes = self._cargo.look(now)
        self._waiting.extend(changes.again)
        if changes.ended:
            self.qos.ack(*changes.ended)
            self._on_room()

    def _require_answers(self, now: float) -> None:
        first = next(iter(self._flights.values()), None)
        if first is not None and now - first.sent_at > _CONFIRM_SECONDS and not self.target.is_blocked:
            raise TargetLost(f"no confirm has come for {_CONFIRM_SECONDS:.0f} s")

    def _lose(self, loss: TargetLost, now: float) -> None:
        """After a loss: what has no answer goes first when there is a connection again, flagged."""
        flights = [flight.message.as_duplicate() for flight in self._flights.values()]
        self._flights.clear()
        self._waiting.extendleft(reversed(flights))
        if self._connection.lose(loss, now) and self._waiting:
            self._blame(loss, len(flights), now)

    def _blame(self, loss: TargetLost, sent: int, now: float) -> None:
        """Find the message for which the target has ended the connection: if it was sent alone, it is that one."""
        if not sent or loss.code not in (*_MESSAGE_CODES, *_ADDRESS_CODES):
            return
        first = self._waiting[0]
        self._connection.open_at = now
        if not self._is_careful and sent > 1:
            # One after the other from now on, until all that were on their way have an answer.
            self._is_careful = True
        elif loss.code in _ADDRESS_CODES:
            self._hold(first.queue, str(loss), now)
        else:
            self._waiting.popleft()
            self._refuse(first, f"the broker refused it: {loss}", now)

    def _hold(self, queue: str, reason: str, now: float) -> None:
        """Claim nothing of a queue for a while."""
        seconds = self._held.hold(queue, now)
        if seconds is None:
            return
        logger.warning(
            "%s does not take the messages of queue %s: %s. They stay, and are tried again in %.0f s",
            self.target.name, queue, reason, seconds,
        )  # fmt: skip
        self._choose_queues(now)

    def _choose_queues(self, now: float) -> None:
        queues = frozenset(queue for queue in self._routes if not self._held.is_held(queue, now))
        if queues != self.queues:
            self.queues = queues
            self._on_room()

    def _release(self, messages: list[Outgoing]) -> None:
        """Give messages back, so that each that may have been sent is flagged when it is claimed again."""
        # A claim counts as a delivery, and a message with deliveries is flagged. That further claims do not count keeps
        # messages from becoming dead letters while a target is away.
        for undelivered in (False, True):
            tags = [m.delivery_tag for m in messages if (m.was_delivered or not m.is_flagged) is undelivered]
            if tags:
                self.qos.ack(*tags)
                self._settling.release(tags, undelivered=undelivered)

    def _refuse(self, message: Outgoing, reason: str, now: float) -> None:
        """Settle a message that the target will never take."""
        if self._cargo.may_reject:
            self._reject(message.delivery_tag, message.queue, reason)
        else:
            self._hold(message.queue, reason, now)
            self._release([message])

    def _reject(self, delivery_tag: str, queue: str, reason: str) -> None:
        logger.error("message %s of queue %s is a dead letter: %s", delivery_tag.partition(":")[0], queue, reason)
        self.qos.ack(delivery_tag)
        self._settling.reject(delivery_tag, reason)
