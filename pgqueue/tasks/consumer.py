"""What the SQL lane needs of Celery's consumer: the same consumer with another pool, and word of changed queues."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery.exceptions import TaskRevokedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from .pool import ExecutorPool


class LaneConsumer:
    """Celery's consumer as the default strategy sees it when its requests are to go to the executors."""

    def __init__(self, consumer: Any, pool: ExecutorPool | None) -> None:
        self._consumer = consumer
        self.pool = pool

    def __getattr__(self, name: str) -> Any:
        return getattr(self._consumer, name)

    def on_task_request(self, request: Any) -> None:
        """Hand a request to the executors."""
        try:
            request.execute_using_pool(self.pool)
        except TaskRevokedError:
            return  # it has been announced


def follow_queues(consumer: Any, add: Callable[[Any], None], cancel: Callable[[str], None]) -> None:
    """Call `add` and `cancel` when remote control makes the consumer take from another queue, or no more from one."""
    add_task_queue, cancel_task_queue = consumer.add_task_queue, consumer.cancel_task_queue

    def add_and_follow(queue: Any, *args: Any, **options: Any) -> None:
        add_task_queue(queue, *args, **options)
        add(consumer.app.amqp.queues[getattr(queue, "name", queue)])

    def cancel_and_follow(queue: str) -> None:
        cancel_task_queue(queue)
        cancel(consumer.app.amqp.queues.aliases.get(queue, queue))

    consumer.add_task_queue, consumer.cancel_task_queue = add_and_follow, cancel_and_follow
