"""Show the eta with which a task was published, in `request.eta` and in the event `task-received`.

The worker itself sees no eta, or it would take the task through its timer (see `envelope.to_row`). Celery sends the
event before it hands the request's headers to the pool; at that moment the eta is put back.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from ..envelope import ETA_HEADER

if TYPE_CHECKING:
    from datetime import datetime


class _Shown(str):
    """An eta that the event shows and that the worker's test for an eta does not see."""

    __slots__ = ()

    def __bool__(self) -> bool:
        return False


def listen_to_celery() -> None:
    """Put etas back in this process, if it uses Celery at all. Harmless to repeat."""
    if "celery" in sys.modules:
        from celery.signals import task_received

        task_received.connect(_put_back, weak=False, dispatch_uid=__name__)


def to_instant(eta: str) -> datetime:
    """Read an eta as Celery's worker does, also one without a UTC offset.

    Raises:
        AttributeError, TypeError, ValueError: it is no instant.
    """
    from celery.utils.time import maybe_iso8601, maybe_make_aware

    instant: datetime = maybe_make_aware(maybe_iso8601(eta))
    return instant


def _put_back(request: Any, **_kwargs: object) -> None:
    headers = request.request_dict
    # The header is removed: Celery passes headers that it does not know on to a retry.
    if ETA_HEADER in headers:
        headers["eta"] = headers.pop(ETA_HEADER)
        if request.eta is None and isinstance(headers["eta"], str):
            request._eta = _Shown(headers["eta"])
