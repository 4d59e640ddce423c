"""Make Flower take the events of thousands of jobs a second and still answer requests.

For each event Flower updates a task and a search index, which takes as long as a job itself. A worker with many ended
jobs leaves out the statements of most (`worker.monitoring.event_publisher`); here those are counted, and not listed.
"""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from functools import partial
from typing import Any, NamedTuple

from celery.events import EventReceiver
from flower import events as flowers

logger = logging.getLogger(__name__)

#: How long events wait for a busy Flower, in seconds.
_KEPT_SECONDS = 120.0


class Bulk(NamedTuple):
    """The events of one message: those to be listed, and those of jobs that are only counted."""

    listed: list[dict[str, Any]]
    counted: list[dict[str, Any]]


class BulkReceiver(EventReceiver):
    """Delivers the events of one message together."""

    def __init__(self, *args: Any, app: Any, **kwargs: Any) -> None:
        # Celery's monitors drop events that are older than 5 s. On a busy machine many bursts of events are.
        ttl = app.conf.event_queue_ttl
        super().__init__(*args, app=app, queue_ttl=None if ttl is None else max(ttl, _KEPT_SECONDS), **kwargs)

    def _receive(self, body: Any, message: Any, *args: Any, **kwargs: Any) -> None:
        try:
            self._take(body, message, *args, **kwargs)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            # An exception would end the receiver, and events of other senders would be lost for the next seconds.
            logger.warning("malformed events were ignored: %.200s", repr(error))

    def _take(self, body: Any, message: Any, *args: Any, **kwargs: Any) -> None:
        if not isinstance(body, list):
            super()._receive(body, message, *args, **kwargs)
            return
        anonymous = {event["uuid"] for event in body if event["type"] == "task-received" and "args" not in event}
        counted = [event for event in body if event.get("uuid") in anonymous]
        listed = [self.event_from_message(event)[1] for event in body if event.get("uuid") not in anonymous]
        if counted:
            self.adjust_clock(counted[-1]["clock"])
        self.process("*", Bulk(listed, counted))


def take_events_in_bulk() -> None:
    """Apply this to the Flower of this process. Harmless to repeat."""
    flowers.EventReceiver = BulkReceiver
    flowers.Events.on_event = _on_event


def _on_event(self: Any, event: Any) -> None:
    # All of this runs in the thread of the event loop, which is the only synchronization.
    take = partial(_take, self.state, event) if isinstance(event, Bulk) else partial(self.state.event, event)
    self.io_loop.add_callback(take)


def _take(state: Any, bulk: Bulk) -> None:
    for event in bulk.listed:
        state.event(event)
    _count(state, bulk.counted)


def _count(state: Any, events: list[dict[str, Any]]) -> None:
    names: dict[str, str] = {}
    counts: Counter[tuple[str, str, str]] = Counter()
    runtimes: dict[tuple[str, str], list[float]] = defaultdict(list)
    for event in events:
        kind, hostname, uuid = event["type"], event["hostname"], event["uuid"]
        if kind == "task-received":
            names[uuid] = event["name"]
            state.task_count += 1
        counts[hostname, kind, names[uuid]] += 1
        if event.get("runtime"):
            runtimes[hostname, names[uuid]].append(event["runtime"])
    state.event_count += len(events)
    for (hostname, kind, name), count in counts.items():
        state.counter[hostname][kind] += count
        state.metrics.events.labels(hostname, kind, name).inc(count)
    for (hostname, name), observed in runtimes.items():
        histogram = state.metrics.runtime.labels(hostname, name)
        for runtime in observed:
            histogram.observe(runtime)
