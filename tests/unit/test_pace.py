import math

import pytest

from pgqueue.broker.pace import Pace, Step


def asleep_since(now: float, seconds_to_next_due: float | None = None) -> Pace:
    pace = Pace()
    assert pace.found_nothing(now) is Step.SLEEP
    pace.fell_asleep(now, True, seconds_to_next_due)
    pace.found_nothing(now)
    return pace


def test_a_new_consumer_looks_at_once() -> None:
    assert Pace().look_at == 0.0


def test_after_falling_asleep_it_looks_once_more() -> None:
    pace = Pace()

    pace.found_nothing(10.0)
    pace.fell_asleep(10.0, True, None)

    assert (pace.asleep, pace.look_at) == (True, 10.0)


def test_asleep_with_nothing_delayed_it_looks_only_when_called() -> None:
    pace = asleep_since(10.0)

    assert pace.look_at == math.inf


def test_asleep_it_looks_when_the_next_delayed_message_is_due() -> None:
    pace = asleep_since(10.0, seconds_to_next_due=5.0)

    assert pace.look_at == 15.0


def test_when_that_message_was_due_it_asks_for_the_next_without_giving_up_its_sleep() -> None:
    pace = asleep_since(10.0, seconds_to_next_due=5.0)

    step = pace.found_some(15.0, is_full=False)
    pace.fell_asleep(15.0, True, 7.0)

    assert (step, pace.asleep, pace.look_at) == (Step.SLEEP, True, 22.0)


def test_a_lone_message_does_not_wake_it_up() -> None:
    pace = asleep_since(10.0)

    pace.notify(20.0)

    assert pace.look_at == 20.0
    assert pace.found_some(20.0, is_full=False) is Step.NOTHING
    assert (pace.asleep, pace.look_at) == (True, math.inf)


def test_messages_close_together_keep_it_awake_and_looking() -> None:
    pace = asleep_since(10.0)

    pace.notify(20.0)
    pace.found_some(20.0, is_full=False)
    pace.notify(20.01)

    assert pace.found_some(20.01, is_full=False) is Step.WAKE
    assert pace.look_at == pytest.approx(20.011)


def test_a_full_batch_wakes_it_up_and_makes_it_look_at_once() -> None:
    pace = asleep_since(10.0)

    pace.notify(20.0)

    assert pace.found_some(20.0, is_full=True) is Step.WAKE
    assert pace.look_at == 20.0


def test_it_lingers_a_few_milliseconds_before_it_sleeps_again() -> None:
    pace = Pace()
    pace.found_some(20.0, is_full=False)
    looks = [pace.look_at]

    while pace.found_nothing(looks[-1]) is not Step.SLEEP:
        looks.append(pace.look_at)

    assert [round(look - 20.0, 4) for look in looks] == [0.001, 0.003, 0.007]


def test_publishers_about_to_commit_are_waited_for_ever_longer() -> None:
    pace, now, waits = Pace(), 10.0, []

    for _ in range(7):
        assert pace.found_nothing(now) is Step.SLEEP
        pace.fell_asleep(now, False, None)
        waits.append(round(pace.look_at - now, 3))
        now = pace.look_at

    assert waits == [0.01, 0.02, 0.04, 0.08, 0.16, 0.25, 0.25]


def test_woken_for_nothing_it_stays_out_of_the_locks_for_longer_each_time() -> None:
    pace, now, waits = asleep_since(10.0), 20.0, []

    for _ in range(5):
        pace.notify(now)
        assert pace.found_nothing(now) is Step.WAKE
        pace.woke()
        waits.append(round(pace.look_at - now, 3))
        now = pace.look_at
        assert pace.found_nothing(now) is Step.SLEEP
        pace.fell_asleep(now, True, None)
        pace.found_nothing(now)

    assert waits == [0.05, 0.1, 0.2, 0.4, 0.4]


def test_while_it_leaves_the_work_to_a_neighbour_a_notification_makes_it_look_soon_and_not_sleep() -> None:
    pace = asleep_since(10.0)
    for now in (20.0, 20.1, 20.3):
        pace.notify(now)
        pace.found_nothing(now)
        pace.woke()
        pace.asleep = now < 20.3

    pace.notify(20.31)

    assert pace.look_at == pytest.approx(20.36)
    assert pace.found_nothing(20.36) is Step.NOTHING
    assert pace.look_at == pytest.approx(20.5)


def test_finding_something_forgives_the_fruitless_wakes() -> None:
    pace = asleep_since(10.0)
    pace.notify(20.0)
    pace.found_nothing(20.0)
    pace.woke()

    pace.found_some(20.05, is_full=False)
    pace.notify(20.051)

    assert pace.look_at == pytest.approx(20.051)


def test_room_that_was_not_there_before_makes_it_look_now() -> None:
    pace = asleep_since(10.0)

    pace.call(30.0)

    assert pace.look_at == 30.0
