import math

import pytest

from pgqueue.broker.consuming.poll_schedule import Pace, Step


def asleep_since(now: float, seconds_to_next_due: float | None = None) -> Pace:
    pace = Pace()
    assert pace.found_nothing(now, is_awake=True) is Step.SLEEP
    pace.fell_asleep(now, True, seconds_to_next_due, must_verify=True)
    assert pace.found_nothing(now, is_awake=False) is Step.NOTHING
    return pace


def test_a_new_consumer_looks_at_once() -> None:
    assert Pace().due_at(is_awake=True) == 0.0


def test_after_falling_asleep_it_looks_once_more() -> None:
    pace = Pace()

    pace.found_nothing(10.0, is_awake=True)
    pace.fell_asleep(10.0, True, None, must_verify=True)

    assert pace.due_at(is_awake=False) == -math.inf


def test_asleep_with_nothing_delayed_it_looks_only_when_notified() -> None:
    pace = asleep_since(10.0)
    assert pace.due_at(is_awake=False) == math.inf

    pace.notify()

    assert pace.due_at(is_awake=False) == -math.inf


def test_asleep_it_looks_when_the_next_delayed_message_is_due() -> None:
    assert asleep_since(10.0, seconds_to_next_due=5.0).due_at(is_awake=False) == 15.0


@pytest.mark.parametrize("found", [True, False])
def test_when_that_message_was_due_it_asks_for_the_next_and_sleeps_on(found: bool) -> None:
    pace = asleep_since(10.0, seconds_to_next_due=5.0)

    step = pace.found_some(15.0, False, is_awake=False) if found else pace.found_nothing(15.0, is_awake=False)
    pace.fell_asleep(15.0, True, 7.0, must_verify=False)

    assert step is Step.SLEEP
    assert pace.due_at(is_awake=False) == 22.0


def test_awake_it_does_not_look_for_the_same_due_time_for_ever() -> None:
    pace = Pace()
    pace.found_some(10.0, True, is_awake=True)
    pace.hear_next_due(10.0, 0.001)

    pace.found_nothing(10.5, is_awake=True)

    assert pace.due_at(is_awake=True) > 10.5


def test_a_lone_message_does_not_wake_it_up() -> None:
    pace = asleep_since(10.0)

    pace.notify()

    assert pace.found_some(20.0, False, is_awake=False) is Step.NOTHING
    assert pace.due_at(is_awake=False) == math.inf


def test_messages_close_together_keep_it_awake_and_looking() -> None:
    pace = asleep_since(10.0)

    pace.notify()
    pace.found_some(20.0, False, is_awake=False)
    pace.notify()

    assert pace.found_some(20.002, False, is_awake=False) is Step.WAKE
    assert pace.due_at(is_awake=True) == pytest.approx(20.003)


def test_a_full_batch_wakes_it_up_and_makes_it_look_at_once() -> None:
    pace = asleep_since(10.0)

    pace.notify()

    assert pace.found_some(20.0, True, is_awake=True) is Step.WAKE
    assert pace.due_at(is_awake=True) == 20.0


def test_a_consumer_without_room_does_not_make_the_others_look() -> None:
    pace = asleep_since(10.0)
    pace.found_some(20.0, True, is_awake=True)

    assert pace.due_at(is_awake=False) == math.inf


def test_room_that_was_not_there_before_makes_it_look_now() -> None:
    pace = asleep_since(10.0)

    pace.call(30.0)

    assert pace.due_at(is_awake=True) <= 30.0
    assert pace.due_at(is_awake=False) == math.inf


def test_it_lingers_a_few_milliseconds_before_it_sleeps_again() -> None:
    pace = Pace()
    pace.found_some(20.0, False, is_awake=True)
    looks = [pace.due_at(is_awake=True)]

    while pace.found_nothing(looks[-1], is_awake=True) is not Step.SLEEP:
        looks.append(pace.due_at(is_awake=True))

    assert [round(look - 20.0, 4) for look in looks] == [0.001, 0.003, 0.007]


def test_it_does_not_linger_for_queues_that_nothing_came_from() -> None:
    pace = Pace()
    pace.found_some(20.0, True, is_awake=True)

    assert pace.found_nothing(20.0, is_awake=True, is_hot=False) is Step.SLEEP


def test_publishers_about_to_commit_are_waited_for_ever_longer() -> None:
    pace, now, waits = Pace(), 10.0, []

    for _ in range(7):
        assert pace.found_nothing(now, is_awake=True) is Step.SLEEP
        pace.fell_asleep(now, False, None, must_verify=True)
        waits.append(round(pace.due_at(is_awake=True) - now, 3))
        now = pace.due_at(is_awake=True)

    assert waits == [0.01, 0.02, 0.04, 0.08, 0.16, 0.25, 0.25]


def test_woken_for_nothing_it_stays_out_of_the_locks_for_longer_each_time() -> None:
    pace, now, waits = asleep_since(10.0), 20.0, []

    for _ in range(5):
        pace.notify()
        assert pace.found_nothing(now, is_awake=False) is Step.WAKE
        waits.append(round(pace.due_at(is_awake=True) - now, 3))
        now = pace.due_at(is_awake=True)
        assert pace.found_nothing(now, is_awake=True) is Step.SLEEP
        pace.fell_asleep(now, True, None, must_verify=True)
        pace.found_nothing(now, is_awake=False)

    assert waits == [0.05, 0.1, 0.2, 0.4, 0.4]


def test_while_it_leaves_the_work_to_a_neighbour_it_looks_when_others_are_notified_and_does_not_sleep() -> None:
    pace = asleep_since(10.0)
    for now in (20.0, 20.1, 20.3):
        pace.notify()
        pace.found_nothing(now, is_awake=False)

    pace.overhear(20.31)

    assert pace.due_at(is_awake=True) == pytest.approx(20.36)
    assert pace.found_nothing(20.36, is_awake=True) is Step.NOTHING
    assert pace.due_at(is_awake=True) == pytest.approx(20.5)


def test_finding_something_forgives_the_fruitless_wakes() -> None:
    pace = asleep_since(10.0)
    pace.notify()
    pace.found_nothing(20.0, is_awake=False)

    pace.found_some(20.05, False, is_awake=True)

    assert pace.due_at(is_awake=True) == pytest.approx(20.051)
