"""Register `pgqueue://` with kombu for every program, and with Celery for `connection=`, mingle and gossip.

kombu has no entry point for transports, but it loads those of the group `kombu.serializers` when it is imported, and
expects a serializer from each. So this module is loaded early, inside kombu's own import, and imports next to nothing.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from kombu.transport import TRANSPORT_ALIASES

from .. import encryption
from ..config import URL_SCHEME
from .celery_patches.import_hook import after_import

if TYPE_CHECKING:
    from types import ModuleType

#: The serializer `pgqueue` that kombu registers: a name and a content type, with neither encoder nor decoder.
serializer = (None, None, "application/x-pgqueue", "utf-8")


def register_transport() -> None:
    """Register the transport for `pgqueue://` with kombu."""
    TRANSPORT_ALIASES[URL_SCHEME] = "pgqueue.broker:Transport"


def register_encryption(kombu_serialization: ModuleType) -> None:
    """Register the encrypting serializer with kombu. A program that does not use it needs neither keys nor package."""
    kombu_serialization.register(
        encryption.SERIALIZER, encryption.encrypt, encryption.decrypt, encryption.CONTENT_TYPE, "utf-8"
    )


def change_publishing(celery_app_amqp: ModuleType) -> None:
    """Let `connection=` publish in a driver's transaction, add limit keys, hide encrypted arguments, seal SQL."""
    if hasattr(celery_app_amqp, "AMQP"):
        from .celery_patches.caller_producer import CallerProducer
        from .celery_patches.encrypted_tasks import hide_arguments
        from .celery_patches.limited_tasks import add_keys
        from .celery_patches.sealed_steps import seal_steps

        celery_app_amqp.AMQP.Producer = CallerProducer
        add_keys(celery_app_amqp)
        hide_arguments(celery_app_amqp)
        seal_steps(celery_app_amqp)


def send_groups_at_once(celery_canvas: ModuleType) -> None:
    """Send what a group of Celery publishes in one statement."""
    from .celery_patches.group_publishing import batch_groups

    batch_groups(celery_canvas)


def return_kept_tasks(celery_app_base: ModuleType) -> None:
    """Return the result of the task that has the unique key of one that was sent."""
    from .celery_patches.kept_tasks import return_kept

    return_kept(celery_app_base)


def limit_tasks(celery_worker_state: ModuleType) -> None:
    """Let tasks under limits hold their places until they end."""
    from .celery_patches.limited_tasks import tell_ends

    tell_ends(celery_worker_state)


def encrypt_retries(celery_app_task: ModuleType) -> None:
    """Encrypt the retries of tasks that were encrypted."""
    from .celery_patches import encrypted_tasks

    encrypted_tasks.encrypt_retries(celery_app_task)


def hide_from_monitors(celery_worker_request: ModuleType) -> None:
    """Hide encrypted arguments from `celery inspect`."""
    from .celery_patches import encrypted_tasks

    encrypted_tasks.hide_from_monitors(celery_worker_request)


def answer_in_json(celery_app_control: ModuleType) -> None:
    """Keep encryption away from remote control."""
    from .celery_patches import encrypted_tasks

    encrypted_tasks.answer_in_json(celery_app_control)


def hide_results(celery_app_trace: ModuleType) -> None:
    """Hide encrypted return values from events and logs."""
    from .celery_patches import encrypted_tasks

    encrypted_tasks.hide_results(celery_app_trace)


def join_neighbours(with_gossip: bool) -> None:
    """Let Celery's mingle, and gossip if the application asks for it, run over this transport.

    Both ask for the transport's driver type only after they have made a transport, which calls this. Gossip is off
    unless it is asked for: every heartbeat of every worker becomes a message to each of the others, and a lone idle
    worker then makes 2 transactions a second instead of one every 3 s.
    """
    for module, step in (("mingle", "Mingle"), ("gossip", "Gossip")):
        loaded = sys.modules.get(f"celery.worker.consumer.{module}")
        if loaded is not None and hasattr(loaded, step) and (with_gossip or step == "Mingle"):
            getattr(loaded, step).compatible_transports.add(URL_SCHEME)


register_transport()
after_import("kombu.serialization", register_encryption)
after_import("celery.app.amqp", change_publishing)
after_import("celery.app.base", return_kept_tasks)
after_import("celery.app.control", answer_in_json)
after_import("celery.app.task", encrypt_retries)
after_import("celery.app.trace", hide_results)
after_import("celery.canvas", send_groups_at_once)
after_import("celery.worker.request", hide_from_monitors)
after_import("celery.worker.state", limit_tasks)
