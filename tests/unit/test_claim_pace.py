"""How soon a worker claims again, by what its executors have and by what the last claims brought."""

from __future__ import annotations

import math
from typing import Any, cast

from pgqueue.broker.consuming.buffer import ClaimedMessage
from pgqueue.broker.consuming.capacity import Capacity, FetchRequest, JobSupply
from pgqueue.broker.consuming.claim_pace import ClaimPace
from pgqueue.broker.qos import QoS

AMPLE = JobSupply(is_ample=True)
AMPLE_BUT_ONE_IS_FREE = JobSupply(is_ample=True, has_free=True)
SHORT = JobSupply()


class Channel:
    """A channel of SQL jobs that may hold 1,000."""

    kind = "job"
    queues = frozenset({"q", "p"})
    executors = None

    def __init__(self, supply: JobSupply) -> None:
        self.supply = supply
        self.qos = QoS(None, 1000)

    def job_supply(self) -> JobSupply:
        return self.supply

    def room(self, at_most: int) -> int:
        return min(self.qos.can_consume_max_estimate() or 0, at_most)


def claimed(number: int, queue: str = "q", kind: str = "job") -> ClaimedMessage:
    return ClaimedMessage(kind, number, 0, queue, earlier_deliveries=0, document="1", lane="batch")


def pace_of(supply: JobSupply, kinds: tuple[str, ...] = ("job",)) -> tuple[ClaimPace[Any], Capacity[Any]]:
    """Return a pace after a poll at 100.0 that has brought messages of these kinds, and its capacity."""
    capacity = Capacity(cast("list[Any]", [Channel(supply)]))
    capacity.look()
    pace = ClaimPace(capacity)
    pace.begin(100.0)
    pace.end_poll([claimed(1, kind=kind) for kind in kinds])
    return pace, capacity


def test_while_the_executors_have_enough_a_claim_waits_the_longest_if_all_are_busy_and_no_task_comes() -> None:
    waits = [
        pace.delay(90.0) - 100.0
        for pace, _ in (pace_of(AMPLE), pace_of(AMPLE_BUT_ONE_IS_FREE), pace_of(AMPLE, ("job", "task")), pace_of(SHORT))
    ]

    assert waits[0] > waits[1] > waits[2] > 0 > waits[3]


def test_a_claim_that_is_due_later_stays_so() -> None:
    assert pace_of(AMPLE)[0].delay(200.0) == 200.0
    assert pace_of(SHORT)[0].delay(math.inf) == math.inf


def test_a_round_rests_only_while_the_executors_have_enough_and_nothing_is_to_be_delivered() -> None:
    pace, capacity = pace_of(AMPLE)

    assert pace.rest_until() == pace.delay(-math.inf) > 100.0
    capacity.buffer.add([claimed(2)], 100.0)
    assert pace.rest_until() == -math.inf
    assert pace_of(SHORT)[0].rest_until() == -math.inf


def test_a_claim_is_made_ahead_where_it_can_bring_as_much_as_ever_and_no_task_comes() -> None:
    pace, capacity = pace_of(SHORT)

    assert pace.begins_ahead({"job": FetchRequest(["q"], 500)}, 500)
    assert not pace.begins_ahead({"job": FetchRequest(["q"], 499)}, 500)
    assert not pace.begins_ahead({"task": FetchRequest(["q"], 500)}, 500)
    assert not pace_of(SHORT, ("job", "task"))[0].begins_ahead(capacity.requests(500), 500)


def test_a_claim_is_made_ahead_only_if_no_role_can_get_more_than_its_share() -> None:
    pace, capacity = pace_of(SHORT)
    capacity.buffer.add([claimed(number) for number in range(500)], 100.0)
    held = {10: 200, 11: 1}

    assert pace.begins_ahead({"job": FetchRequest(["q"], 500, role_limit=1200, held=held)}, 500)
    assert not pace.begins_ahead({"job": FetchRequest(["q"], 500, role_limit=1199, held=held)}, 500)


def test_what_waits_to_be_delivered_takes_its_place_beside_a_full_claim() -> None:
    _, capacity = pace_of(SHORT)
    capacity.buffer.add([claimed(number) for number in range(500)], 100.0)

    assert capacity.requests(500)["job"].room == 500
    capacity.buffer.add([claimed(number) for number in range(400)], 100.0)
    assert capacity.requests(500)["job"].room == 100


def test_a_channel_gets_the_jobs_of_all_its_queues_and_no_more_than_asked_for() -> None:
    _, capacity = pace_of(SHORT)
    channel = next(iter(capacity._channels))
    capacity.buffer.add([claimed(1), claimed(2), claimed(3, "p"), claimed(4, "elsewhere"), claimed(5, "p")], 100.0)
    capacity.buffer.add([claimed(6, kind="task")], 100.0)

    assert [job.id for job in capacity.take_for(channel, 3)] == [1, 2, 3]
    assert [job.id for job in capacity.take_for(channel, 10)] == [5]
    assert [message.id for message in capacity.buffer] == [4, 6]


def test_a_claim_without_upkeep_is_timed() -> None:
    pace, _ = pace_of(SHORT)

    pace.take([], 101.0)
    assert pace.claim_seconds == 0.0
    pace.ask(102.0)
    pace.take([claimed(1)], 102.5)
    assert pace.claim_seconds == 0.5
