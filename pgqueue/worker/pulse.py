"""The pulse of a worker: the thread that drains Celery's connection marks it, for the probes of the worker.

It costs a call and a look at the clock in each round of the event loop, also where no probe is served.
"""

from __future__ import annotations

from typing import Any

from celery.concurrency.solo import TaskPool as SoloPool

from ..broker.job_consumer import WorkerLink

#: An idle event loop makes a round at least this often, so that it is not taken for a stuck one.
_ROUND_SECONDS = 5.0


class _Pool:
    is_solo = False


def follow_event_loop(consumer: Any) -> None:
    """Let the event loop of Celery's worker mark the pulse of this process; call it for each new connection."""
    _Pool.is_solo = isinstance(consumer.pool, SoloPool)
    WorkerLink(consumer.connection).follow_pulse()
    if consumer.hub is not None:
        # Celery cancels the timer when it loses the connection.
        consumer.hub.call_repeatedly(_ROUND_SECONDS, _go_round)


def is_shared_with_tasks() -> bool:
    """Return whether tasks run in the thread of the event loop, which stands still meanwhile: with -P solo."""
    return _Pool.is_solo


def _go_round() -> None:
    """Do nothing: the call only makes the event loop begin its next round."""
