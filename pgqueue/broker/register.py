"""Makes `pgqueue://` known: to kombu for every program, to Celery for its `connection=` and its neighbour protocols.

kombu has no entry point for transports, but it loads those of the group `kombu.serializers` when it is imported, and
wants a serializer in return. So this module is loaded early, inside kombu's own import: it must import next to nothing.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from kombu.transport import TRANSPORT_ALIASES

from ..config import URL_SCHEME
from .celery_patches.import_hook import after_import

if TYPE_CHECKING:
    from types import ModuleType

#: What kombu registers as the serializer `pgqueue`: a name and a content type, with neither encoder nor decoder.
serializer = (None, None, "application/x-pgqueue", "utf-8")


def register_transport() -> None:
    """Let kombu find the transport for `pgqueue://`."""
    TRANSPORT_ALIASES[URL_SCHEME] = "pgqueue.broker:Transport"


def take_callers_connections(celery_app_amqp: ModuleType) -> None:
    """Let what Celery sends with `connection=` be part of the transaction of that connection, whosever it is."""
    if hasattr(celery_app_amqp, "AMQP"):
        from .celery_patches.caller_producer import CallerProducer

        celery_app_amqp.AMQP.Producer = CallerProducer


def send_groups_at_once(celery_canvas: ModuleType) -> None:
    """Let what a group of Celery's publishes be sent in one statement."""
    from .celery_patches.group_publishing import batch_groups

    batch_groups(celery_canvas)


def join_neighbours(with_gossip: bool) -> None:
    """Let Celery's mingle, and gossip if it is wanted, run over this transport, where a worker has imported them.

    Both ask for the transport's driver type only after they have made a transport, which calls this. Gossip is not
    for everybody: every heartbeat of every worker becomes a message to each of the others, and a lone idle worker
    that talks to itself costs two transactions a second instead of a third of one.
    """
    for module, step in (("mingle", "Mingle"), ("gossip", "Gossip")):
        loaded = sys.modules.get(f"celery.worker.consumer.{module}")
        if loaded is not None and hasattr(loaded, step) and (with_gossip or step == "Mingle"):
            getattr(loaded, step).compatible_transports.add(URL_SCHEME)


register_transport()
after_import("celery.app.amqp", take_callers_connections)
after_import("celery.canvas", send_groups_at_once)
