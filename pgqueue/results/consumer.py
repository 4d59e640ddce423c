"""Celery's result consumer: the results that a process waits for, and the one thread of it that listens.

Registering a wait, or its end, sends nothing. It is sent when a thread waits, before the stored results are read, so no
result is missed. That thread passes results to the other waiting threads.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from typing import TYPE_CHECKING, Any

import psycopg
from celery import states
from celery.backends.asynchronous import BaseResultConsumer, _waiting_on
from kombu.utils.encoding import bytes_to_str

from .ids import to_text_id
from .listener import ResultListener

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

logger = logging.getLogger(__name__)

#: The interval of polls without a notification, in seconds.
_FALLBACK_SECONDS = 10.0
_RECONNECT_SECONDS = 0.5


class ResultConsumer(BaseResultConsumer):
    """Passes the results of one backend to the threads of this process that wait for them."""

    _is_taken: bool
    _waiting: int

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._awaited: dict[str, None] = {}
        self._begin()

    def start(self, initial_task_id: str, **kwargs: Any) -> None:
        """Register a wait for a task."""
        self.consume_from(initial_task_id)

    def stop(self) -> None:
        """Close the connection."""
        with self._turns:
            if not self._is_taken:
                self._listener.close()

    def consume_from(self, task_id: str) -> None:
        """Register a wait for a task. Sends nothing.

        Raises:
            InvalidArgument: no task can have that id.
        """
        task_id = to_text_id(task_id)
        if task_id not in self._awaited:
            self._awaited[task_id] = None
            if self._is_taken:
                self._listener.wake()

    def cancel_for(self, task_id: str) -> None:
        """End the wait for a task. Never blocks, because garbage collection may call it anywhere."""
        self._awaited.pop(str(bytes_to_str(task_id)), None)

    def on_after_fork(self) -> None:
        """Start empty in a forked child: the connection is the parent's."""
        self._awaited.clear()
        self._listener.forget()
        self._begin()

    def drain_events(self, timeout: float | None = None) -> None:
        """Deliver arriving results, for at most `timeout` seconds. One thread listens, the others wait for it."""
        with self._turns:
            if self._is_taken:
                self._turns.wait(1.0 if timeout is None else timeout)
                return
            self._is_taken = True
        try:
            self._listen(_FALLBACK_SECONDS if timeout is None else timeout)
        finally:
            with self._turns:
                self._is_taken = False
                self._turns.notify_all()

    def drain_events_until(
        self, p: Any, timeout: float | None = None, on_interval: Callable[[], object] | None = None
    ) -> Iterator[None]:
        """Deliver arriving results until `p` is ready, or for `timeout` seconds.

        Celery's own method rounds to whole seconds.

        Raises:
            TimeoutError: `p` is not ready in time.
        """
        deadline = None if timeout is None else time.monotonic() + timeout

        def wait(timeout: float) -> None:
            self.drain_events(timeout if deadline is None else max(0.0, min(timeout, deadline - time.monotonic())))

        steps: Iterator[None] = self.drainer.drain_events_until(p, timeout=timeout, on_interval=on_interval, wait=wait)
        return steps

    def wait_for_any(self, task_ids: Iterable[str], seconds: float) -> None:
        """Return when one of these tasks has a new state, or after `timeout` seconds."""
        added = [task_id for task_id in task_ids if task_id not in self._awaited]
        for task_id in added:
            self.consume_from(task_id)
        try:
            with self._counted():
                self.drain_events(seconds)
        finally:
            for task_id in added:
                self.cancel_for(task_id)

    def on_state_change(self, meta: dict[str, Any], message: object) -> None:
        """Deliver a state to the threads that wait for the task.

        Unlike Celery's consumer, keep no other state: the server does.
        """
        if self.on_message:
            self.on_message(meta)
        if meta["status"] not in states.READY_STATES:
            return
        for result in _waiting_on(self._pending_results, meta["task_id"]):
            result._maybe_set_cache(meta)
            bucket = self.buckets.pop(result, None)
            if bucket is not None:
                bucket.append(result)

    def _wait_for_pending(self, result: Any, **kwargs: Any) -> Iterator[None]:
        with self._counted():
            yield from super()._wait_for_pending(result, **kwargs)

    @contextlib.contextmanager
    def _counted(self) -> Iterator[None]:
        """Count the waiting threads: without any, no session has to notify this process."""
        with self._turns:
            self._waiting += 1
        try:
            yield
        finally:
            with self._turns:
                self._waiting -= 1
                if not self._waiting and not self._is_taken:
                    self._rest()

    def _begin(self) -> None:
        self._listener = ResultListener(self.backend.database.listen_conninfo)
        self._turns = threading.Condition()
        self._is_taken = False
        self._waiting = 0
        self._fallback_at = 0.0

    def _listen(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        try:
            is_due = time.monotonic() >= self._fallback_at or not self._listener.has_told(self._awaited.keys())
            if is_due and self._tell_news():
                return
            while (left := deadline - time.monotonic()) > 0:
                if self._listener.sleep(left) and time.monotonic() < self._fallback_at:
                    continue
                if self._tell_news():
                    return
        except psycopg.OperationalError as failure:
            logger.warning("results cannot be received: %s", str(failure).strip())
            time.sleep(max(0.0, min(deadline - time.monotonic(), _RECONNECT_SECONDS)))

    def _tell_news(self) -> bool:
        self._fallback_at = time.monotonic() + _FALLBACK_SECONDS
        news = self._listener.look(list(self._awaited))
        for task_id, state, payload in news:
            if state in states.READY_STATES:
                self._listener.ended(task_id)
                if self._awaited.pop(task_id, "nobody") == "nobody":
                    continue
            self.on_state_change(self._read(task_id, payload), None)
        return bool(news)

    def _read(self, task_id: str, payload: bytes) -> dict[str, Any]:
        """Decode a stored state.

        A document that cannot be decoded becomes a failure for the threads that wait for that task.
        """
        try:
            meta: dict[str, Any] = self.backend.decode_result(payload)
            return {**meta, "task_id": meta["task_id"], "status": meta["status"]}
        except Exception as failure:  # noqa: BLE001 - anything may be stored; the results beside it arrive only once
            logger.warning("the result of task %s cannot be read: %r", task_id, failure)
            return {"task_id": task_id, "status": states.FAILURE, "result": failure, "traceback": None, "children": []}

    def _rest(self) -> None:
        try:
            self._listener.rest()
        except psycopg.OperationalError:
            self._listener.close()
