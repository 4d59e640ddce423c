"""Inline mode: what is enqueued runs at once, before the call that enqueued it returns."""

from __future__ import annotations

import functools
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from ..broker.publisher import Publisher
from ..broker.recorded_messages import RecordedMessages
from ..client.client import Client
from ..errors import NotTestable
from .draining import drain
from .queue_database import QueueDatabase
from .target import find_target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from celery import Celery

    from .target import Target
    from .values import Outcome


@contextmanager
def inline(on: Target | None = None, *, app: Celery | None = None) -> Iterator[list[Outcome]]:
    """Run each job and Celery task at once that this process enqueues or publishes inside the block.

    It is queued as usual, and then drained. Delayed ones stay queued, and so does what SQL enqueues by itself
    (`select pgqueue.enqueue(...)`, triggers) until the next call of this process. A failed run
    raises nothing here, as in production: the outcomes show it.

    Args:
        on: as for `drain`. A call with a `connection=` of its own means that one.
        app: as for `drain`.

    Yields:
        How all runs have ended so far.

    Raises:
        NotTestable: `launch` or `submit` is called where a transaction of the test is open: they commit by themselves.
    """
    mode = _Inline(on, app)
    with ExitStack() as patches:
        for owner, name in (
            (Client, "launch"), (Client, "submit"), (Client, "enqueue"), (Client, "enqueue_many"),
            (Client, "send_task"), (Publisher, "publish"), (Publisher, "publish_many"),
        ):  # fmt: skip
            patches.enter_context(patch.object(owner, name, mode.wrap(getattr(owner, name))))
        yield mode.outcomes


class _Inline:
    def __init__(self, on: Target | None, app: Celery | None) -> None:
        self.outcomes: list[Outcome] = []
        self._on, self._app = on, app
        self._is_draining = False

    def wrap(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """Return a method that drains after the original one."""
        is_autonomous = original.__name__ in ("launch", "submit")

        @functools.wraps(original)
        def call(owner: Any, *args: Any, **options: Any) -> Any:
            # A publisher has the connection of Celery's connection=.
            if isinstance(getattr(owner, "_caller", None), RecordedMessages):
                return original(owner, *args, **options)  # Nothing is sent before an event loop sends it.
            target = options.get("connection") or getattr(owner, "_caller", None) or find_target(self._on)
            if is_autonomous and not isinstance(target, QueueDatabase):
                raise NotTestable(
                    f"{original.__name__} commits its job apart from the open transaction of the test",
                    hint="Use enqueue, or test it with the fixture pgqueue_database or Django's TransactionTestCase.",
                )
            returned = original(owner, *args, **options)
            if not self._is_draining:
                # The drain that runs a job or task also takes those that this one enqueues.
                self._is_draining = True
                try:
                    self.outcomes += drain(target, app=self._app)
                finally:
                    self._is_draining = False
            return returned

        return call
