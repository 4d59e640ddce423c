"""Seal the SQL steps that Celery sends inside the messages of other tasks, before these are serialized."""

from __future__ import annotations

import functools
from typing import Any

from ...sql_signature import find_unsealed
from ..step_seals import seal


def seal_steps(celery_app_amqp: Any) -> None:
    """Let Celery send each SQL step that this process has made with the seal of the role that sends it.

    Harmless to repeat.
    """
    create = celery_app_amqp.AMQP._create_task_sender
    if hasattr(create, "seals_steps"):
        return

    @functools.wraps(create)
    def create_task_sender(self: Any) -> Any:
        send = create(self)
        conf = self.app.conf

        @functools.wraps(send)
        def send_task_message(producer: Any, name: str, message: Any, **options: Any) -> Any:
            if find_unsealed(message.body):
                message = message._replace(body=_seal(producer, message.body, conf, options))
            return send(producer, name, message, **options)

        return send_task_message

    create_task_sender.seals_steps = True  # type: ignore[attr-defined]
    celery_app_amqp.AMQP._create_task_sender = create_task_sender


def _seal(producer: Any, body: Any, conf: Any, options: dict[str, Any]) -> Any:
    serializer = options.get("serializer") or conf.task_serializer

    def seal_all() -> Any:
        return seal(producer.channel, body, serializer)

    retry = options.get("retry")
    if not (conf.task_publish_retry if retry is None else retry):
        return seal_all()
    policy = {**(conf.task_publish_retry_policy or {}), **(options.get("retry_policy") or {})}
    return producer.connection.ensure(producer, seal_all, **policy)()
