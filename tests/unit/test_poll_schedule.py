import math

import pytest

from pgqueue.broker.consuming.poll_schedule import AfterPoll, PollSchedule


def asleep_since(now: float, seconds_to_next_due: float | None = None) -> PollSchedule:
    schedule = PollSchedule()
    assert schedule.found_nothing(now, is_awake=True) is AfterPoll.SLEEP
    schedule.fell_asleep(now, True, seconds_to_next_due, must_verify=True)
    assert schedule.found_nothing(now, is_awake=False) is AfterPoll.NOTHING
    return schedule


def test_a_new_consumer_looks_at_once() -> None:
    assert PollSchedule().due_at(is_awake=True) == 0.0


def test_after_falling_asleep_it_looks_once_more() -> None:
    schedule = PollSchedule()

    schedule.found_nothing(10.0, is_awake=True)
    schedule.fell_asleep(10.0, True, None, must_verify=True)

    assert schedule.due_at(is_awake=False) == -math.inf


def test_asleep_with_nothing_delayed_it_looks_only_when_notified() -> None:
    schedule = asleep_since(10.0)
    assert schedule.due_at(is_awake=False) == math.inf

    schedule.notify()

    assert schedule.due_at(is_awake=False) == -math.inf


def test_asleep_it_looks_when_the_next_delayed_message_is_due() -> None:
    assert asleep_since(10.0, seconds_to_next_due=5.0).due_at(is_awake=False) == 15.0


@pytest.mark.parametrize("found", [True, False])
def test_when_that_message_was_due_it_asks_for_the_next_and_sleeps_on(found: bool) -> None:
    schedule = asleep_since(10.0, seconds_to_next_due=5.0)

    after = schedule.found_some(15.0, False, is_awake=False) if found else schedule.found_nothing(15.0, is_awake=False)
    schedule.fell_asleep(15.0, True, 7.0, must_verify=False)

    assert after is AfterPoll.SLEEP
    assert schedule.due_at(is_awake=False) == 22.0


def test_a_due_message_that_another_session_has_locked_is_looked_for_with_longer_and_longer_pauses() -> None:
    schedule = PollSchedule()
    schedule.found_nothing(10.0, is_awake=True)
    schedule.fell_asleep(10.0, True, -0.5, must_verify=False)
    pauses, now = [], 10.0
    for _ in range(6):
        pauses.append(round(schedule.due_at(is_awake=False) - now, 3))
        now = schedule.due_at(is_awake=False)
        schedule.found_nothing(now, is_awake=False)
        schedule.fell_asleep(now, True, -0.5, must_verify=False)

    assert pauses == [0.0, 0.05, 0.1, 0.2, 0.4, 0.4]


def test_awake_it_does_not_look_for_the_same_due_time_for_ever() -> None:
    schedule = PollSchedule()
    schedule.found_some(10.0, True, is_awake=True)
    schedule.hear_next_due(10.0, 0.001)

    schedule.found_nothing(10.5, is_awake=True)

    assert schedule.due_at(is_awake=True) > 10.5


def test_a_lone_message_does_not_wake_it_up() -> None:
    schedule = asleep_since(10.0)

    schedule.notify()

    assert schedule.found_some(20.0, False, is_awake=False) is AfterPoll.NOTHING
    assert schedule.due_at(is_awake=False) == math.inf


def test_messages_close_together_keep_it_awake_and_looking() -> None:
    schedule = asleep_since(10.0)

    schedule.notify()
    schedule.found_some(20.0, False, is_awake=False)
    schedule.notify()

    assert schedule.found_some(20.002, False, is_awake=False) is AfterPoll.WAKE
    assert schedule.due_at(is_awake=True) == pytest.approx(20.003)


def test_a_full_batch_wakes_it_up_and_makes_it_look_at_once() -> None:
    schedule = asleep_since(10.0)

    schedule.notify()

    assert schedule.found_some(20.0, True, is_awake=True) is AfterPoll.WAKE
    assert schedule.due_at(is_awake=True) == 20.0


def test_a_consumer_without_room_does_not_make_the_others_look() -> None:
    schedule = asleep_since(10.0)
    schedule.found_some(20.0, True, is_awake=True)

    assert schedule.due_at(is_awake=False) == math.inf


def test_room_that_was_not_there_before_makes_it_look_now() -> None:
    schedule = asleep_since(10.0)

    schedule.call(30.0)

    assert schedule.due_at(is_awake=True) <= 30.0
    assert schedule.due_at(is_awake=False) == math.inf


def test_it_lingers_a_few_milliseconds_before_it_sleeps_again() -> None:
    schedule = PollSchedule()
    schedule.found_some(20.0, False, is_awake=True)
    looks = [schedule.due_at(is_awake=True)]

    while schedule.found_nothing(looks[-1], is_awake=True) is not AfterPoll.SLEEP:
        looks.append(schedule.due_at(is_awake=True))

    assert [round(look - 20.0, 4) for look in looks] == [0.001, 0.003, 0.007]


def test_it_does_not_linger_for_queues_that_nothing_came_from() -> None:
    schedule = PollSchedule()
    schedule.found_some(20.0, True, is_awake=True)

    assert schedule.found_nothing(20.0, is_awake=True, is_hot=False) is AfterPoll.SLEEP


def test_publishers_about_to_commit_are_waited_for_ever_longer() -> None:
    schedule, now, waits = PollSchedule(), 10.0, []

    for _ in range(7):
        assert schedule.found_nothing(now, is_awake=True) is AfterPoll.SLEEP
        schedule.fell_asleep(now, False, None, must_verify=True)
        waits.append(round(schedule.due_at(is_awake=True) - now, 3))
        now = schedule.due_at(is_awake=True)

    assert waits == [0.01, 0.02, 0.04, 0.08, 0.16, 0.25, 0.25]


def test_woken_for_nothing_it_stays_out_of_the_locks_for_longer_each_time() -> None:
    schedule, now, waits = asleep_since(10.0), 20.0, []

    for _ in range(5):
        schedule.notify()
        assert schedule.found_nothing(now, is_awake=False) is AfterPoll.WAKE
        waits.append(round(schedule.due_at(is_awake=True) - now, 3))
        now = schedule.due_at(is_awake=True)
        assert schedule.found_nothing(now, is_awake=True) is AfterPoll.SLEEP
        schedule.fell_asleep(now, True, None, must_verify=True)
        schedule.found_nothing(now, is_awake=False)

    assert waits == [0.05, 0.1, 0.2, 0.4, 0.4]


def test_while_it_leaves_the_work_to_a_neighbour_it_looks_when_others_are_notified_and_does_not_sleep() -> None:
    schedule = asleep_since(10.0)
    for now in (20.0, 20.1, 20.3):
        schedule.notify()
        schedule.found_nothing(now, is_awake=False)

    schedule.overhear(20.31)

    assert schedule.due_at(is_awake=True) == pytest.approx(20.36)
    assert schedule.found_nothing(20.36, is_awake=True) is AfterPoll.NOTHING
    assert schedule.due_at(is_awake=True) == pytest.approx(20.5)


def test_finding_something_forgives_the_fruitless_wakes() -> None:
    schedule = asleep_since(10.0)
    schedule.notify()
    schedule.found_nothing(20.0, is_awake=False)

    schedule.found_some(20.05, False, is_awake=True)

    assert schedule.due_at(is_awake=True) == pytest.approx(20.051)


def test_messages_that_wait_for_a_limit_are_looked_for_when_the_claim_has_said() -> None:
    schedule = asleep_since(10.0)

    schedule.wait_for_limit(10.0, 0.6)

    assert schedule.waits_for_limit
    assert schedule.due_at(is_awake=False) == 10.6
    schedule.wait_for_limit(10.6, None)
    assert schedule.due_at(is_awake=False) == math.inf


def test_the_end_of_a_message_brings_the_look_forward_if_any_waits_for_a_limit() -> None:
    schedule = asleep_since(10.0)
    schedule.call(11.0)
    assert schedule.due_at(is_awake=False) == math.inf

    schedule.wait_for_limit(11.0, 5.0)
    schedule.call(12.0)

    assert schedule.due_at(is_awake=False) == pytest.approx(12.002)


def test_who_finds_one_launched_job_again_and_again_sleeps_at_once() -> None:
    """Asleep, it leaves the next launch to an executor, which costs less than a poll."""
    schedule = PollSchedule()
    schedule.found_some(20.0, False, is_awake=True)

    assert schedule.found_some(20.004, False, is_awake=True, is_one_launch=True) is AfterPoll.SLEEP


def test_who_finds_one_launched_job_keeps_its_locks_though_the_last_one_came_just_before() -> None:
    schedule = asleep_since(10.0)
    schedule.found_some(20.0, False, is_awake=False)

    assert schedule.found_some(20.002, False, is_awake=False, is_one_launch=True) is AfterPoll.NOTHING
    assert schedule.due_at(is_awake=False) == math.inf


def test_who_finds_one_launched_job_and_had_room_for_no_more_polls_again() -> None:
    assert PollSchedule().found_some(20.0, True, is_awake=True, is_one_launch=True) is AfterPoll.WAKE
