"""Chords: the database stores what their parts return, and decides when a chord is complete.

The last part, the decision and the callback's message are one transaction where the broker is the same database.
With another broker the callback is sent before that transaction commits: a crash in between can send it twice.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from celery import states
from celery.backends.base import _create_chord_error_with_cause
from celery.canvas import maybe_signature
from celery.exceptions import ChordError
from celery.result import GroupResult, allow_join_result
from celery.utils.functional import _regen

from .store import to_bytes

if TYPE_CHECKING:
    from .store import ResultStore

logger = logging.getLogger(__name__)


def find_structured_header(backend: Any, header_result_args: tuple[Any, ...]) -> Any:
    """Return the header of a chord if it contains groups.

    None for a plain list of tasks, whose positions are enough.
    """
    if isinstance(header_result_args[1], _regen):
        return None
    header = backend.app.GroupResult(*header_result_args)
    return header if any(isinstance(result, GroupResult) for result in header.results) else None


class _Unsent(Exception):
    """A chord is complete and its callback cannot be sent: the transaction is rolled back."""

    def __init__(self, error: ChordError) -> None:
        super().__init__(str(error))
        self.error = error


class ChordParts:
    """Stores the return values of the parts of chords.

    Args:
        backend: Celery's result backend, which reads and writes results and errors.
        lifetime: the seconds for which the parts of an unfinished chord are kept; None or 0: without an end.
    """

    def __init__(self, backend: Any, store: ResultStore, lifetime: float | None) -> None:
        self._backend = backend
        self._store = store
        self._lifetime = lifetime

    def take(self, request: Any, state: str, result: object) -> None:
        """Store the return value of a part.

        For the last part, send the callback or, if a part failed, call the errbacks.

        Raises:
            psycopg.Error: the server stays away beyond the retry policy, or refuses the query. Nothing was stored.
        """
        if not request.group or not request.id:
            return
        try:
            if self._store.database.is_in_transaction:
                # The owner of that transaction tries the whole of it again.
                self._return_part(request, state, result)
            else:
                self._store.retry(lambda: self._return_part(request, state, result))
        except _Unsent as unsent:
            # Celery takes the traceback from the exception that is being handled.
            logger.exception("Chord %r raised: %r", request.group, unsent.error)
            try:
                self._backend.chord_error_from_stack(
                    maybe_signature(request.chord, app=self._backend.app), unsent.error
                )
            finally:
                # A copy of a part that arrives later must not fail the chord again.
                self._store.fetch("finish_chord", group_id=request.group)

    def _return_part(self, request: Any, state: str, result: object) -> None:
        part = [1, request.id, state, self._backend.encode_result(result, state)]
        payload = to_bytes(self._backend.encode(part))
        with self._store.database.transaction():
            [(is_complete,)] = self._store.fetch(
                "add_chord_part",
                group_id=request.group,
                place=request.group_index,
                task_id=request.id,
                payload=payload,
                lifetime_seconds=self._lifetime or None,
            )
            if is_complete:
                self._send_callback(request)
                self._store.fetch("finish_chord", group_id=request.group)

    def _send_callback(self, request: Any) -> None:
        app = self._backend.app
        callback = maybe_signature(request.chord, app=app)
        what = "Join error"
        try:
            results = self._join(request.group)
            what = "Callback error"
            app.amqp._retry_publish(callback.delay, results)
        except ChordError as failure:
            raise _Unsent(failure) from failure
        except Exception as failure:
            if lost := self._lost_session(failure):
                raise lost from lost.__cause__
            raise _Unsent(_create_chord_error_with_cause(f"{what}: {failure!r}", failure)) from failure

    def _lost_session(self, failure: BaseException | None) -> BaseException | None:
        """Return the driver's error behind an error of kombu, if it reports a lost connection."""
        while failure is not None and not self._store.is_lost_session(failure):
            failure = failure.__cause__
        return failure

    def _join(self, group_id: str) -> Any:
        header = GroupResult.restore(group_id, backend=self._backend, app=self._backend.app)
        if header is None:
            rows = self._store.fetch("read_chord_parts", group_id=group_id)
            return [self._unpack(payload) for (payload,) in rows]
        # All parts have returned. Only the parts that they contain may still store results.
        header.on_ready()
        with allow_join_result():
            return header.join_native(timeout=self._backend.app.conf.result_chord_join_timeout, propagate=True)

    def _unpack(self, payload: bytes) -> Any:
        _version, task_id, state, value = self._backend.decode(payload)
        if state in self._backend.EXCEPTION_STATES:
            value = self._backend.exception_to_python(value)
        if state in states.PROPAGATE_STATES:
            raise _create_chord_error_with_cause(f"Dependency {task_id} raised {value!r}", value)
        return value
