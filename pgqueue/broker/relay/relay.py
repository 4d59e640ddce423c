"""The relay: claims messages as a worker does, and hands them to the lanes of their targets."""

from __future__ import annotations

import logging
import math
import select
import signal
import time
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

import psycopg

from ...db.self_pipe import SelfPipe
from ...errors import PgQueueError
from ..relay_link import RelayLink
from ..schema_check import require_usable_schema
from .cargo import Jobs, Tasks
from .lane import Lane
from .routes import GIVEN, Route, assign

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ...db.database import Database
    from ..job_consumer import ClaimedMessage
    from .cargo import Cargo
    from .target import Target

logger = logging.getLogger(__name__)

#: How often the routes in the database, and the queues that match patterns, are read.
_ROUTES_SECONDS = 5.0
_RETRY_FROM, _RETRY_TO = 0.2, 5.0
#: How long the end waits for confirms.
_GRACE_SECONDS = 10.0


class Routing(NamedTuple):
    """Where the routes come from."""

    #: Those of the command line; none: those in the database count.
    fixed: Sequence[Route]
    #: Opens a target by its name; None: this relay has no URL for it.
    open_target: Callable[[str], Target | None]
    #: The names for which it has URLs, if the routes are those in the database.
    names: Sequence[str] = ()
    #: Whether wake-ups are sent for SQL jobs, too.
    has_jobs: bool = False


class _Settling:
    """Settles claims over the link that there is now."""

    def __init__(self) -> None:
        self.link: RelayLink[Lane] | None = None

    def require(self) -> RelayLink[Lane]:
        assert self.link is not None
        return self.link

    def ack(self, delivery_tag: str) -> None:
        self.require().ack(delivery_tag)

    def reject(self, delivery_tag: str, reason: str) -> None:
        self.require().reject(delivery_tag, reason)

    def release(self, delivery_tags: list[str], *, undelivered: bool) -> None:
        self.require().release(delivery_tags, undelivered=undelivered)

    def find_kept(self, delivery_tags: Sequence[str]) -> dict[str, int]:
        return self.require().find_kept(delivery_tags)


class Relay:
    """Sends messages on until it is stopped.

    Args:
        window: how many messages may be on their way to each target; and how many jobs may wait for a worker there.
    """

    def __init__(self, database: Database, routing: Routing, window: int) -> None:
        self._database = database
        self._routing = routing
        self._window = window
        #: By target and kind.
        self._lanes: dict[tuple[str, str], Lane] = {}
        self._channels: list[Lane] = []
        self._settling = _Settling()
        self._stop = SelfPipe()
        self._is_stopping = False
        #: Whether the database has accepted this relay.
        self._has_begun = False
        #: Whether a lane has got room since the last poll.
        self._has_room = False
        self._routes_at = -math.inf
        self._unknown: set[str] = set()
        #: Of the routes or queues that are missing, the text that was logged last.
        self._waits_for = ""
        #: The targets as the database shows them; None: it does not yet.
        self._shown: list[str] | None = None
        self._told_of_jobs: set[str] = set()

    @property
    def confirmed(self) -> int:
        """How many messages the targets have confirmed."""
        return sum(lane.confirmed for lane in self._lanes.values())

    def stop(self) -> None:
        """End after the messages that are on their way. From any thread, or from the handler of a signal."""
        self._is_stopping = True
        self._stop.write()

    def stop_at_signals(self) -> None:
        """End at SIGTERM and SIGINT."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.stop())

    def run(self) -> None:
        """Relay until `stop`.

        Raises:
            PgQueueError: the database has no pgqueue, or the role may not run a worker.
        """
        delay = 0.0
        try:
            while not self._is_stopping:
                failure = self._try_round()
                if failure is None:
                    delay = 0.0
                    continue
                delay = min(max(delay * 2, _RETRY_FROM), _RETRY_TO)
                logger.warning("cannot use the database: %s. Trying again in %.1f s", failure, delay)
                self._close_link()
                self._wait(delay)
            self._finish()
        finally:
            for lane in self._lanes.values():
                lane.close()
            if self._settling.link is not None:
                self._settling.link.abandon()

    def _try_round(self) -> Exception | None:
        """Do a round; return the error if the database is away.

        Raises:
            PgQueueError: it refuses a relay that has not begun. Later refusals are waited out.
        """
        try:
            if self._settling.link is None:
                self._open_link()
            self._round()
        except (psycopg.Error, PgQueueError) as failure:
            if not self._has_begun and not isinstance(failure, psycopg.OperationalError):
                raise
            return failure
        return None

    def _round(self) -> None:
        """Claim, send and settle once; then sleep until there is more to do."""
        link = self._settling.require()
        now = time.monotonic()
        if now >= self._routes_at:
            self._follow_routes(now)
        self._has_room = False
        poll_at = link.poll()
        taken: defaultdict[Lane, list[ClaimedMessage]] = defaultdict(list)
        for claimed, lane in link.take():
            taken[lane].append(claimed)
        for lane, messages in taken.items():
            lane.take(messages)
        before = self.confirmed
        now = time.monotonic()
        for lane in self._lanes.values():
            lane.step(now)
        if self.confirmed != before or self._has_room:
            return  # The next round sends their acks, and claims.
        due_at = min([poll_at, self._routes_at, *(lane.due_at(now) for lane in self._lanes.values())])
        self._wait(due_at - time.monotonic())

    def _wait(self, seconds: float) -> None:
        """Sleep until a descriptor is readable: of the database, of a target, or of `stop`."""
        if seconds <= 0:
            return
        poll = select.poll()
        filenos = [self._stop.fileno(), *(self._settling.link.filenos if self._settling.link is not None else ())]
        filenos += [n for lane in self._lanes.values() if lane.is_connected and (n := lane.target.fileno()) is not None]
        for fileno in filenos:
            poll.register(fileno, select.POLLIN)
        poll.poll(min(seconds, 60.0) * 1000)

    def _follow_routes(self, now: float) -> None:
        """Read the routes, and give each lane its queues."""
        self._routes_at = now + _ROUTES_SECONDS
        routes = list(self._routing.fixed) or [Route(*row) for row in self._database.fetch("list_relays")]
        names: list[str] = []
        if any(route.is_pattern for route in routes):
            names = [name for (name,) in self._database.fetch("relay_queues")]
        assigned = assign(routes, names)
        self._tell_of_waiting(routes, assigned)
        for target in {route.target for route in assigned.values()}:
            self._open_lane(target)
        for (target, _kind), lane in self._lanes.items():
            lane.follow({queue: route for queue, route in assigned.items() if route.target == target}, now)
        queues = [queue for queue, route in assigned.items() if (route.target, Tasks.kind) in self._lanes]
        self._settling.require().consume(queues)
        self._show_targets()
        if not self._routing.has_jobs:
            self._tell_of_jobs(queues)

    def _tell_of_waiting(self, routes: Sequence[Route], assigned: Mapping[str, Route]) -> None:
        """Log what is missing if there is nothing to send, once."""
        waits_for = ""
        if not routes:
            waits_for = f"a route to {' or '.join(self._routing.names)}: pgqueue.relay_to(queue, target) sets one"
        elif not assigned:
            waits_for = f"a queue that matches {', '.join(route.queue for route in routes)}"
        if waits_for and waits_for != self._waits_for:
            logger.warning("nothing to relay yet: this waits for %s. It looks every %.0f s", waits_for, _ROUTES_SECONDS)
        self._waits_for = waits_for

    def _show_targets(self) -> None:
        shown = [
            lane.target.location if name == GIVEN else f"{name}: {lane.target.location}"
            for (name, kind), lane in sorted(self._lanes.items())
            if kind == Tasks.kind
        ]
        if shown != self._shown:
            self._settling.require().show_targets(shown, has_jobs=self._routing.has_jobs)
            self._shown = shown

    def _open_lane(self, name: str) -> None:
        cargoes: list[Cargo] = [Tasks(), Jobs(self._settling)] if self._routing.has_jobs else [Tasks()]
        for cargo in cargoes:
            if (name, cargo.kind) in self._lanes:
                return
            target = self._routing.open_target(name)
            if target is None:
                if name not in self._unknown:
                    self._unknown.add(name)
                    logger.warning("this relay has no URL of the target %s, and leaves its queues alone", name)
                return
            lane = Lane(target, cargo, self._settling, self._window, self._call)
            self._lanes[name, cargo.kind] = lane
            self._channels.append(lane)

    def _tell_of_jobs(self, queues: Sequence[str]) -> None:
        """Log once for each queue that SQL jobs wait there."""
        for queue in queues:
            if queue not in self._told_of_jobs and self._database.fetch("has_ready_job", queue=queue)[0][0]:
                self._told_of_jobs.add(queue)
                logger.warning("SQL jobs wait in queue %s: a relay without --jobs leaves them to pgqueue worker", queue)

    def _call(self) -> None:
        self._has_room = True
        if self._settling.link is not None:
            self._settling.link.call()

    def _open_link(self) -> None:
        require_usable_schema(self._database)
        self._settling.link = RelayLink(self._database, self._channels)
        self._has_begun = True
        self._routes_at = -math.inf
        self._shown = None

    def _close_link(self) -> None:
        """After an error of the database: take the confirms that have come, and forget the rest."""
        link = self._settling.link
        if link is None:
            return
        for lane in self._lanes.values():
            lane.take_last_answers()
        self._settling.link = None
        link.abandon()
        for lane in self._lanes.values():
            lane.forget()

    def _finish(self) -> None:
        """Wait for what is on its way, give back the rest, and unregister."""
        if not self._has_begun:
            return
        deadline = time.monotonic() + _GRACE_SECONDS
        try:
            for lane in self._lanes.values():
                lane.is_draining = True
            link = self._settling.require()
            while (now := time.monotonic()) < deadline and not all(lane.is_idle for lane in self._lanes.values()):
                for lane in self._lanes.values():
                    lane.step(now)
                self._stop.drain()
                if not all(lane.is_idle for lane in self._lanes.values()):
                    self._wait(0.05)
            link.flush()
            for lane in self._lanes.values():
                lane.give_back_all()
            link.close()
            self._settling.link = None
        except (psycopg.Error, PgQueueError, AssertionError) as failure:
            logger.warning("the end could not be told to the database, which notices by itself: %s", failure)
