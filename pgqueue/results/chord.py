"""Chords: what their parts returned is kept in the database, which decides when one is complete.

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

if TYPE_CHECKING:
    from .backend import PgQueueBackend

logger = logging.getLogger(__name__)


def apply_chord(backend: PgQueueBackend, header_result_args: tuple[Any, ...]) -> None:
    """Keep the structure of a header that has groups in it; of a plain one the parts' places are enough.

    Raises:
        psycopg.Error: the server is away for longer, or refuses.
    """
    if isinstance(header_result_args[1], _regen):
        return
    header = backend.app.GroupResult(*header_result_args)
    if any(isinstance(result, GroupResult) for result in header.results):
        lifetimes = (backend.chord_expires, backend.expires)
        # Also read by users, so never kept for less than other results.
        backend.save_group_for(header.id, header, max(lifetimes) if all(lifetimes) else None)


def return_chord_part(backend: PgQueueBackend, request: Any, state: str, result: object) -> None:
    """Take what a part returned; if it was the last, send the callback or, when a part failed, call the errbacks.

    Raises:
        psycopg.Error: the server is away for longer, or refuses. Nothing has been done.
    """
    if not request.group or not request.id:
        return
    try:
        backend.retry_when_lost(lambda: _return_part(backend, request, state, result))
    except _Unsent as unsent:
        # Celery takes the traceback from the error that is being handled.
        logger.exception("Chord %r raised: %r", request.group, unsent.error)
        try:
            backend.chord_error_from_stack(maybe_signature(request.chord, app=backend.app), unsent.error)
        finally:
            # A copy of a part that arrives later must not fail the chord again.
            backend.fetch("finish_chord", group_id=request.group)


class _Unsent(Exception):
    """A chord is complete and its callback cannot be sent: the transaction ends without effect."""

    def __init__(self, error: ChordError) -> None:
        super().__init__(str(error))
        self.error = error


def _return_part(backend: PgQueueBackend, request: Any, state: str, result: object) -> None:
    part = backend.to_bytes([1, request.id, state, backend.encode_result(result, state)])
    with backend.database.transaction():
        [(is_complete,)] = backend.fetch(
            "add_chord_part",
            group_id=request.group,
            place=request.group_index,
            task_id=request.id,
            payload=part,
            lifetime_seconds=backend.chord_expires or None,
        )
        if is_complete:
            _send_callback(backend, request)
            backend.fetch("finish_chord", group_id=request.group)


def _send_callback(backend: PgQueueBackend, request: Any) -> None:
    app = backend.app
    callback = maybe_signature(request.chord, app=app)
    what = "Join error"
    try:
        results = _join(backend, request.group)
        what = "Callback error"
        app.amqp._retry_publish(callback.delay, results)
    except ChordError as failure:
        raise _Unsent(failure) from failure
    except Exception as failure:
        if lost := _lost_session(backend, failure):
            raise lost from lost.__cause__
        raise _Unsent(_create_chord_error_with_cause(f"{what}: {failure!r}", failure)) from failure


def _lost_session(backend: PgQueueBackend, failure: BaseException | None) -> BaseException | None:
    """Return the error of this database's driver that is behind one of kombu's, if a lost session is."""
    while failure is not None and not backend.exception_safe_to_retry(failure):
        failure = failure.__cause__
    return failure


def _join(backend: PgQueueBackend, group_id: str) -> Any:
    header = GroupResult.restore(group_id, backend=backend, app=backend.app)
    if header is None:
        return [_unpack(backend, payload) for (payload,) in backend.fetch("read_chord_parts", group_id=group_id)]
    # All parts have returned: nothing is waited for, but for what parts of the parts still store.
    header.on_ready()
    with allow_join_result():
        return header.join_native(timeout=backend.app.conf.result_chord_join_timeout, propagate=True)


def _unpack(backend: PgQueueBackend, payload: bytes) -> Any:
    _version, task_id, state, value = backend.decode(payload)
    if state in backend.EXCEPTION_STATES:
        value = backend.exception_to_python(value)
    if state in states.PROPAGATE_STATES:
        raise _create_chord_error_with_cause(f"Dependency {task_id} raised {value!r}", value)
    return value
