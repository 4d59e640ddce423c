"""From a claimed message to its consumer; and the messages that no consumer is to have, or not yet."""

from __future__ import annotations

import logging
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from . import process_identity
from .celery_patches import ended_tasks, eta_header
from .envelope import CLAIM_HEADER, MALFORMED, from_row, to_claim
from .message import Message
from .unreadable_tasks import refuse_unreadable

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..db.database import Database
    from .consuming.buffer import ClaimedMessage
    from .message import ReceivingChannel
    from .qos import QoS
    from .settlement import Settlement
    from .subscription import Subscription

logger = logging.getLogger(__name__)


class TaskDelivery:
    """Delivers the messages of one channel, but its SQL jobs, of which kombu makes no messages.

    Args:
        channel: by which a message is decoded and settled.
        find_subscription: returns the channel's consumer of a queue.
    """

    def __init__(
        self,
        channel: ReceivingChannel,
        database: Database,
        qos: QoS,
        settlement: Settlement,
        find_subscription: Callable[[str], Subscription],
    ) -> None:
        self._channel = channel
        self._database = database
        self._qos = qos
        self._settlement = settlement
        self._find_subscription = find_subscription

    def deliver(self, claimed: ClaimedMessage) -> Subscription:
        """Hand a claimed message to the consumer of its queue, and return that.

        Raises:
            psycopg.Error: the server could not be reached.
        """
        subscription = self._find_subscription(claimed.queue)
        message = self.receive(claimed.document, claimed.delivery_tag, claimed.earlier_deliveries, subscription.no_ack)
        if message is None:
            return subscription
        if not subscription.no_ack and process_identity.is_worker() and not self._is_for_now(message, subscription):
            return subscription
        settled = self._qos.read_ahead.settled
        message.holds_place = claimed.lane == "held" and not subscription.no_ack and process_identity.is_worker()
        if message.holds_place:
            # A message that the task sends under its own id continues it.
            message.headers[CLAIM_HEADER] = to_claim(claimed.delivery_tag, message.headers.get("id"))
        try:
            subscription.callback(message)
        except MALFORMED:
            if not process_identity.is_worker():
                raise
            # Celery looks into the headers, and would end the worker over what it finds.
            logger.exception(
                "message %s of the queue %s was rejected: Celery cannot take it", claimed.delivery_tag, claimed.queue
            )
            self._settlement.reject(claimed.delivery_tag)
        # Tasks that were settled in here ran in this thread, which cannot attend to its read-ahead meanwhile.
        self._qos.read_ahead.settled = settled
        return subscription

    def receive(self, document: str, delivery_tag: str, earlier_deliveries: int, no_ack: bool) -> Any:
        """Make kombu's message of a claimed one, and count it or, with `no_ack`, ack it; None if it is none."""
        try:
            message = Message(from_row(document, delivery_tag, earlier_deliveries), channel=self._channel)
        except MALFORMED as error:
            logger.error("message %s is none of kombu's, and was rejected: %.200s", delivery_tag, repr(error))
            self._settlement.reject(delivery_tag)
            return None
        if no_ack:
            self._settlement.ack(delivery_tag, makes_room=False)
        else:
            self._qos.append(message, delivery_tag)
        return message

    def _is_for_now(self, message: Message, subscription: Subscription) -> bool:
        """Look into a Celery task; return whether the worker is to have it now.

        One that is not due, and says so itself, is put off: the worker would hold it, and one more for it.
        """
        accept = getattr(getattr(subscription.callback, "__self__", None), "accept", None)
        end = message.headers.get(ended_tasks.END_HEADER)
        if isinstance(end, dict):
            message.accept = accept
            ended_tasks.end_task(message, end)
            message.ack()
            return False
        if refuse_unreadable(message, accept):
            return False
        if message.is_named_as_job(accept):
            logger.error("message %s was rejected: it has the id of an SQL job", message.delivery_tag)
            self._settlement.reject(message.delivery_tag)
            return False
        due_at = message.take_eta(accept, eta_header.to_instant)
        if due_at is None or due_at <= datetime.now(timezone.utc):
            return True
        message_id, token = message.delivery_tag.split(":")
        if not self._database.fetch("postpone", id=int(message_id), token=int(token), due_at=due_at)[0][0]:
            return True  # by the server's clock it is due
        settled = self._qos.read_ahead.settled
        self._settlement.forget([message.delivery_tag])
        # It was not work: nobody is hungry for more of it.
        self._qos.read_ahead.settled = settled
        return False
