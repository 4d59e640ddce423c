"""Send messages to the server: one by one, many in one statement, or in a transaction that the caller has.

SQL decides where a message goes. This module only chooses the connection over which it is sent.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import psycopg

from .. import errors
from ..db.caller_transaction import current, driver_connection
from ..db.named_query import run
from ..tracing import with_trace
from .celery_patches import group_publishing, kept_tasks
from .envelope import Uniqueness, to_row
from .outgoing_message import OutgoingMessage, to_outgoing
from .recorded_messages import RecordedMessages
from .step_seals import seal_steps
from .worker_session import WorkerSession

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..db.caller_transaction import CallerConnection
    from ..db.database import Database
    from ..sql_signature import Step
    from .envelope import Row


#: A unique key that is taken, several queues, an option that is no good, and a batch or a job that is not known, that
#: belongs to another role, or that has ended.
_REFUSED = ("23505", "0A000", "22023", "42704", "42501", "55000")


class Publisher:
    """Publishes for the channels of one connection.

    Args:
        caller: the owner of the transaction to publish in; None: the enclosing block's, or else a transaction of its
            own.
    """

    def __init__(self, database: Database, caller: CallerConnection | RecordedMessages | None) -> None:
        self.database = database
        self._caller = caller

    def publish(self, message: Mapping[str, Any], exchange: str, routing_key: str, priority: int) -> int:
        """Publish a message; return how many queues it reached, or 1 for a message that a group collects.

        A transient message (an event, a remote control command) without any bound queue is not sent to the server at
        all. Another transient message does not wait for the disk, unless it is part of a larger transaction.

        Raises:
            psycopg.Error: the server or the connection reported an error.
            PgQueueError: the same in a caller's transaction, where kombu must not try again.
        """
        if exchange == "celeryev" and kept_tasks.is_about_dropped(message["body"]):
            return 0
        row = to_row(with_trace(message), exchange, routing_key)
        group = group_publishing.current()
        # Among transient messages, only events of sent tasks are collected. A control command is not: its sender waits
        # for answers.
        is_gathered = exchange == "celeryev" or not row.is_transient
        caller = self._find_caller(is_transient=row.is_transient)
        if row.uniqueness is not None or row.dependence is not None:
            return self._publish_keyed(row, to_outgoing(row, exchange, routing_key, priority), caller)
        if group is not None and is_gathered and caller is None:
            group.add(self.database, self.publish_many, to_outgoing(row, exchange, routing_key, priority))
            return 1
        worker_session = WorkerSession.find(self.database) if row.is_transient and exchange else None
        if worker_session is not None and (exchange, routing_key) in worker_session.unroutable_keys:
            return 0
        as_of = 0 if worker_session is None else worker_session.unroutable_keys.age
        is_alone = caller is None and not self.database.is_in_transaction
        query_name = "publish_transient" if row.is_transient and is_alone else "publish"
        reached = int(self._ask(query_name, to_outgoing(row, exchange, routing_key, priority)._asdict(), caller)[0])
        if worker_session is not None and not reached:
            worker_session.unroutable_keys.add(exchange, routing_key, as_of)
        return reached

    def _publish_keyed(
        self, row: Row, outgoing: OutgoingMessage, caller: CallerConnection | RecordedMessages | None
    ) -> int:
        """Publish a task that has a unique key or depends on others at once, also from a group.

        The answer says which task has the key.

        Raises:
            PgQueueError: 23505, another task has the key, and `on_conflict` is raise; or the batch has ended, or a job
                to wait for is not known.
        """
        uniqueness = dict.fromkeys(Uniqueness._fields) if row.uniqueness is None else row.uniqueness._asdict()
        dependence = None if row.dependence is None else json.dumps(row.dependence._asdict())
        try:
            answer = self._ask("publish_keyed", {**outgoing._asdict(), **uniqueness, "dependence": dependence}, caller)
        except psycopg.Error as failure:
            if failure.sqlstate in _REFUSED:
                raise errors.from_driver(failure) from failure
            raise
        if len(answer) > 1:
            kept_tasks.note(row.task_id, answer[1])
        return int(answer[0])

    def publish_many(self, messages: list[OutgoingMessage]) -> int:
        """Publish all messages, in this order and in one statement, or none; return how many copies that made.

        Raises:
            psycopg.Error, PgQueueError: as `publish`.
        """
        columns = zip(*messages, strict=True)
        params = dict(zip(OutgoingMessage._fields, map(list, columns), strict=True))
        return int(self._ask("publish_many", params, self._find_caller())[0])

    def seal_steps(self, steps: list[Step]) -> list[Step]:
        """Return SQL steps as the role has sealed them that publishes here.

        Raises:
            psycopg.OperationalError: the server could not be reached.
            PgQueueError: a step is refused.
        """
        return seal_steps(self.database, self._find_caller(), steps)

    def _find_caller(self, *, is_transient: bool = False) -> CallerConnection | RecordedMessages | None:
        """Return the owner of the transaction to publish in, if there is one.

        A control command in the transaction of a framework would wait for its commit, and its sender for the answers.
        """
        return self._caller or current(None if is_transient else self.database.conninfo)

    def _ask(
        self, query_name: str, params: Mapping[str, object], caller: CallerConnection | RecordedMessages | None
    ) -> tuple[Any, ...]:
        if caller is None:
            [answer] = self.database.fetch(query_name, **params)
            return answer
        if isinstance(caller, RecordedMessages):
            return (caller.record(query_name, params),)
        connection = driver_connection(caller)
        try:
            [answer] = run(connection, query_name, params, prepare=False)
        except psycopg.Error as failure:
            raise errors.from_driver(failure) from failure
        return answer
