"""Correct Flower's view of lost workers, and of the tasks that they had.

A killed process sends no event. Flower would show its tasks as started forever, and count them as active. So every 5 s
this module asks the database for the states of such tasks, and passes them to Flower as events.
"""

from __future__ import annotations

import json
import logging
import time
from typing import TYPE_CHECKING, Any

import psycopg
from celery import states
from celery.utils.time import utcoffset
from flower.app import Flower
from tornado.ioloop import IOLoop, PeriodicCallback

from ..errors import PgQueueError
from ..worker.monitoring.event_text import EndedRun, EventText

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ..db.database import Database

logger = logging.getLogger(__name__)

_PAUSE_SECONDS = 5.0
#: A task without an event for this long is looked up, at most this many at a time, and not again for this long.
_SILENT_SECONDS, _MOST, _ASK_AGAIN_SECONDS = 10.0, 1000, 30.0
_UNREADY = frozenset({states.RECEIVED, states.STARTED, states.RETRY})
_JOB = "job-"


class LostWorkers:
    """Corrects the workers and tasks of one Flower, in the thread of its event loop; queries run in another thread."""

    def __init__(self, flower: Any, database: Database) -> None:
        self._flower = flower
        self._database = database
        self._asked_at: dict[str, float] = {}

    def start(self) -> None:
        """Poll every few seconds on the running event loop."""
        PeriodicCallback(self.look, _PAUSE_SECONDS * 1000).start()

    async def look(self) -> None:
        """Poll once."""
        state = self._flower.events.state
        _quieten(state)
        silent = self._find_silent(state)
        if not silent:
            return
        try:
            fates = await IOLoop.current().run_in_executor(None, self._ask, silent)
        except (psycopg.Error, PgQueueError) as error:
            logger.warning("the states of tasks of lost workers could not be read: %s", error)
            return
        for event in fates:
            task = state.tasks.get(event["uuid"])
            # An event may have arrived meanwhile. A waiting task is reported once.
            is_news = event["type"] != "task-retried" or (task is not None and task.state != states.RETRY)
            if task is not None and task.state in _UNREADY and is_news:
                state.event(event)

    def _find_silent(self, state: Any) -> list[Any]:
        now = time.time()
        self._asked_at = {uuid: at for uuid, at in self._asked_at.items() if now - at < _ASK_AGAIN_SECONDS}
        silent = []
        for uuid, task in state.tasks.items():
            is_due = task.state in _UNREADY and task.worker is not None and uuid not in self._asked_at
            if is_due and now - (task.timestamp or 0) > _SILENT_SECONDS:
                silent.append(task)
                self._asked_at[uuid] = now
                if len(silent) == _MOST:
                    break
        return silent

    def _ask(self, tasks: Iterable[Any]) -> list[dict[str, Any]]:
        """Return events with the states of tasks. Runs in a thread of its own."""
        worker_of = {task.uuid: task.worker for task in tasks}
        rows = self._database.fetch(
            "task_fates",
            task_ids=list(worker_of),
            workers=[worker.hostname for worker in worker_of.values()],
            seen_at=[task.timestamp for task in tasks],
        )
        events = self._ended(worker_of, [uuid for uuid, fate, _queue, _outcome in rows if fate == "ended"])
        for uuid, fate, queue, outcome in rows:
            said = _say(fate, worker_of[uuid].hostname, queue, outcome)
            if said is not None:
                events.append(_to_event(said, uuid, worker_of[uuid]))
        return events

    def _ended(self, worker_of: dict[str, Any], uuids: list[str]) -> list[dict[str, Any]]:
        ids = [int(uuid.removeprefix(_JOB)) for uuid in uuids]
        rows = self._database.fetch("ended_jobs", ids=ids, detailed=len(ids)) if ids else []
        events: list[dict[str, Any]] = []
        for run in (EndedRun(*row) for row in rows):
            worker = worker_of[f"{_JOB}{run.id}"]
            text = EventText(worker.hostname, worker.pid or 0, utcoffset(), worker.clock)
            text.add(run, run.ended_at, has_begun=True)
            events += [{**event, "local_received": None} for event in json.loads(str(text))]
        return events


def _say(fate: str, worker: str, queue: str | None, outcome: Any) -> dict[str, Any] | None:
    """Return the event for the state of a task; None: another worker has it, or it is a job of the history."""
    if fate == states.SUCCESS:
        return {"type": "task-succeeded"}
    if fate == states.REVOKED:
        return {"type": "task-revoked", "terminated": False, "signum": None, "expired": False}
    if fate == states.FAILURE:
        result = (outcome or {}).get("result") or {}
        said = f"{result.get('exc_type', 'it failed')}({', '.join(map(repr, result.get('exc_message') or ()))})"
        return {"type": "task-failed", "exception": said, "traceback": (outcome or {}).get("traceback")}
    if fate == "dead":
        return {"type": "task-failed", "exception": f"came back too often: a dead letter in queue {queue}"}
    if fate == "waits":
        return {"type": "task-retried", "exception": f"worker {worker} is gone: it waits in queue {queue} for another"}
    if fate == "lost":
        # If the task ended at the moment at which its worker did, and that event arrives, a success has precedence.
        said = f"worker {worker} is gone, and with it the task: neither a message nor a result of it is left"
        return {"type": "task-failed", "exception": said}
    return None


def _to_event(said: dict[str, Any], uuid: str, worker: Any) -> dict[str, Any]:
    # The event does not come from the worker: without local_received the worker stays offline.
    origin = {"uuid": uuid, "hostname": worker.hostname, "pid": worker.pid, "clock": worker.clock}
    return {**said, **origin, "utcoffset": utcoffset(), "timestamp": time.time(), "local_received": None}


def _quieten(state: Any) -> None:
    """Clear the last values that lost workers have sent, such as the number of active tasks."""
    for hostname, worker in state.workers.items():
        if not worker.alive and worker.active:
            worker.active = 0
            state.metrics.worker_number_of_currently_executing_tasks.labels(hostname).set(0)
            state.metrics.worker_online.labels(hostname).set(0)


def look_after_lost_workers(database: Database) -> None:
    """Correct the Flower that is started next in this process."""
    original: Callable[[Any], None] = Flower.start

    def start(flower: Any) -> None:
        LostWorkers(flower, database).start()
        original(flower)

    Flower.start = start
