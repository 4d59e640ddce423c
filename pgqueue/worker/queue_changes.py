"""Follows the queues of Celery's consumer for the SQL lane."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def follow_queues(
    consumer: Any, add: Callable[[Any], None], cancel: Callable[[str], None], *, takes_tasks: bool
) -> None:
    """Call `add` and `cancel` when remote control makes the consumer start or stop taking from a queue."""
    add_task_queue, cancel_task_queue = consumer.add_task_queue, consumer.cancel_task_queue

    def add_and_follow(queue: Any, *args: Any, **options: Any) -> None:
        add_task_queue(queue, *args, **options)
        added = consumer.app.amqp.queues[getattr(queue, "name", queue)]
        add(added)
        if not takes_tasks:
            consumer.task_consumer.cancel_by_queue(added.name)

    def cancel_and_follow(queue: str) -> None:
        cancel_task_queue(queue)
        cancel(consumer.app.amqp.queues.aliases.get(queue, queue))

    consumer.add_task_queue, consumer.cancel_task_queue = add_and_follow, cancel_and_follow
