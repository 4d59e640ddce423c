"""How a worker's process is, as far as it knows by itself: for its probes and for the service manager."""

from __future__ import annotations

from celery.worker import state

from ..broker import liveness
from .pulse import is_shared_with_tasks

#: A thread that has not moved for so long is stuck.
STUCK_SECONDS = 30.0


def seconds_overdue() -> float:
    """Return for how long the event loop, which drains the worker session as well, has not moved."""
    if is_shared_with_tasks() and len(state.active_requests):
        # With -P solo a task keeps the event loop for as long as it runs.
        return 0.0
    return liveness.pulse.seconds_overdue()


def is_stopping() -> bool:
    """Return whether the worker finishes its work and ends."""
    # Celery writes the exit code there, which is 0 in a warm shutdown.
    return any(wish is not None and wish is not False for wish in (state.should_stop, state.should_terminate))


def is_registered(conninfo: str) -> bool:
    """Return whether the worker is registered at a database, as far as its process has noticed."""
    return liveness.registration(conninfo) is not None
