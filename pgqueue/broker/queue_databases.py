"""Which database a message goes to, where an application has several: the transport option `databases`.

It maps queues, by name or pattern, to databases. All others, and whatever goes through an exchange with a name, are in
the database of the broker. No transaction spans two databases, so a message for another one is refused inside a
caller's transaction.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from psycopg.conninfo import conninfo_to_dict

from ..config import to_conninfo
from ..db.caller_transaction import current
from ..db.database import Database
from ..errors import InvalidArgument, InvalidDsn, NotSupported
from ..sql_signature import TASK_NAME
from .publisher import Publisher

if TYPE_CHECKING:
    from ..db.caller_transaction import CallerConnection
    from .recorded_messages import RecordedMessages

#: The name of the option.
OPTION = "databases"
_HINT = 'Give a dict of queues and databases: {"report.*": "pgqueue://shop@db2/shop"}. * and ? stand for characters.'


class QueueDatabases:
    """The publishers of one connection.

    Args:
        own: that of the broker's database.
        caller: the transaction in which the connection publishes; None: it has none of its own.
        given: the option.

    Raises:
        InvalidArgument, InvalidDsn: the option does not map queues to databases.
    """

    def __init__(
        self, own: Publisher, caller: CallerConnection | RecordedMessages | None, given: Mapping[str, str] | None
    ) -> None:
        self._own = own
        self._caller = caller
        here = _place(own.database.conninfo)
        self._of_queues = [
            # A worker of a database of the map has a login of its own there.
            (queue, own if _place(conninfo) == here else Publisher(Database.for_dsn(conninfo), None))
            for queue, conninfo in _read(given)
        ]

    def find(self, message: Mapping[str, Any], exchange: str, routing_key: str) -> Publisher:
        """Return the publisher for a message.

        Raises:
            NotSupported: it is for another database, and it is in a transaction of this one or was sealed by it.
        """
        if exchange or not self._of_queues:
            return self._own
        found = next((publisher for queue, publisher in self._of_queues if _matches(queue, routing_key)), self._own)
        if found is self._own:
            return found
        if self._caller is not None or current() is not None:
            raise NotSupported(
                f"queue {routing_key} is in another database than the open transaction",
                hint="No transaction spans two databases: send the task when this one has committed.",
            )
        if (message.get("headers") or {}).get("task") == TASK_NAME:
            raise NotSupported(
                f"queue {routing_key} is in another database than the broker, whose role has sealed this SQL step",
                hint="Submit the SQL there, with pgqueue.Client, or send the step to a queue of the broker.",
            )
        return found


def _read(given: object) -> list[tuple[str, str]]:
    """Return queues and conninfos: names before patterns, and longer patterns before shorter ones."""
    if given is None:
        return []
    if not isinstance(given, Mapping) or not all(
        isinstance(each, str) and each for pair in given.items() for each in pair
    ):
        raise InvalidArgument(f"the transport option {OPTION} does not map queues to databases", hint=_HINT)
    found = [(queue, _read_dsn(queue, url)) for queue, url in given.items()]
    return sorted(found, key=lambda pair: (_is_pattern(pair[0]), -len(pair[0]), pair[0]))


def _read_dsn(queue: str, url: str) -> str:
    try:
        return to_conninfo(url)
    except InvalidDsn:
        # Its text may have the password.
        raise InvalidDsn(f"the transport option {OPTION} has no database for {queue}", hint=_HINT) from None


def _is_pattern(queue: str) -> bool:
    return "*" in queue or "?" in queue


def _matches(queue: str, name: str) -> bool:
    return name == queue or (_is_pattern(queue) and fnmatchcase(name, queue.replace("[", "[[]")))


def _place(conninfo: str) -> tuple[str, ...]:
    options = conninfo_to_dict(conninfo)
    options["port"] = options.get("port") or os.environ.get("PGPORT") or "5432"
    return tuple(str(options.get(name) or "") for name in ("service", "host", "hostaddr", "port", "dbname"))
