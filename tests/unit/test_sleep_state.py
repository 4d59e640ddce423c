"""For which queues a fetcher sleeps: what it locks, what it gives back, and when it polls."""

from __future__ import annotations

import math

from pgqueue.broker.consuming.capacity import FetchRequest
from pgqueue.broker.consuming.sleep_state import Outcome, SleepState

TASKS_A, TASKS_B, JOBS_A = ("task", "a"), ("task", "b"), ("job", "a")


def found(*wanted: tuple[str, str], full: set[str] | None = None, queues: set[str] | None = None) -> Outcome:
    return Outcome(set(wanted), full or set(), queues or set())


def asleep_for(*wanted: tuple[str, str]) -> SleepState:
    """At 10 seconds it has taken the locks of all queues, and has looked once more in vain."""
    state = SleepState()
    queues = state.end_poll(found(*wanted), 10.0)
    assert queues == {queue for _kind, queue in wanted}
    state.take_locks(queues, 10.0, None, given=True)
    assert state.end_poll(found(*wanted), 10.0) is None
    assert state.due_at(set(wanted)) == math.inf
    return state


def test_who_finds_nothing_takes_the_locks_and_polls_once_more_before_it_sleeps() -> None:
    state = SleepState()

    to_lock = state.end_poll(found(TASKS_A), 10.0)
    assert to_lock == {"a"}
    state.take_locks(to_lock, 10.0, None, given=True)

    assert state.due_at({TASKS_A}) == -math.inf
    assert state.end_poll(found(TASKS_A), 10.0) is None
    assert state.due_at({TASKS_A}) == math.inf


def test_locks_that_were_not_given_are_not_held_and_it_polls_soon() -> None:
    state = SleepState()

    state.end_poll(found(TASKS_A), 10.0)
    state.take_locks({"a"}, 10.0, None, given=False)

    assert state.locked == set()
    assert 10.0 < state.due_at({TASKS_A}) < 10.1


def test_a_notification_of_a_queue_that_it_sleeps_for_wakes_it_at_once() -> None:
    state = asleep_for(TASKS_A)

    state.notify(["a"], 20.0)

    assert state.due_at({TASKS_A}) == -math.inf


def test_a_notification_that_others_were_quicker_with_costs_the_lock() -> None:
    state = asleep_for(TASKS_A)
    state.notify(["a"], 20.0)

    assert state.end_poll(found(TASKS_A), 20.0) is None

    assert state.want({TASKS_A}) == {"a"}
    state.give_back_locks({"a"})
    assert state.locked == set()
    assert 20.0 < state.due_at({TASKS_A}) <= 20.1


def test_only_the_lock_of_the_queue_that_was_notified_of_is_given_back() -> None:
    state = asleep_for(TASKS_A, TASKS_B)
    state.notify(["a"], 20.0)

    state.end_poll(found(TASKS_A, TASKS_B, full={"task"}, queues={"a"}), 20.0)

    assert state.want({TASKS_A, TASKS_B}) == {"a"}


def test_a_full_poll_keeps_those_awake_of_whose_queue_it_was_notified_and_no_others() -> None:
    state = asleep_for(TASKS_A, TASKS_B)
    state.notify(["a"], 20.0)

    state.end_poll(found(TASKS_A, TASKS_B, full={"task"}, queues={"a"}), 20.0)

    assert state.due_at({TASKS_B}) == math.inf
    assert state.due_at({TASKS_A, TASKS_B}) == 20.0


def test_a_kind_that_was_not_full_stays_asleep_where_another_of_the_same_queue_is_awake() -> None:
    state = asleep_for(TASKS_A, JOBS_A)
    state.notify(["a"], 20.0)

    state.end_poll(found(TASKS_A, JOBS_A, full={"job"}, queues={"a"}), 20.0)

    assert state.due_at({TASKS_A}) == math.inf
    assert state.due_at({JOBS_A, TASKS_A}) == 20.0


def test_a_queue_that_nobody_wants_any_more_is_unlocked() -> None:
    assert asleep_for(TASKS_A, TASKS_B).want({TASKS_A}) == {"b"}


def test_what_is_owed_is_owed_once() -> None:
    state = asleep_for(TASKS_A)
    state.notify(["a"], 20.0)
    state.end_poll(found(TASKS_A, full={"task"}, queues={"a"}), 20.0)

    assert state.want({TASKS_A}) == {"a"}
    state.owe_nothing()

    assert state.want({TASKS_A}) == set()


def test_a_consumer_that_begins_to_want_a_locked_queue_is_awake() -> None:
    assert asleep_for(TASKS_A).due_at({TASKS_A, JOBS_A}) < math.inf


def test_it_wakes_up_for_a_delayed_message() -> None:
    state = asleep_for(TASKS_A)

    state.hear_next_due(20.0, 5.0)

    assert state.due_at({TASKS_A}) == 25.0


def test_who_wants_nothing_is_due_never() -> None:
    assert SleepState().due_at(set()) == math.inf


def test_jobs_of_a_role_that_had_its_share_are_polled_for_when_it_has_room_again() -> None:
    # Messages that were ready all the time notify nobody. Another role still has its share.
    state = asleep_for(JOBS_A)
    state.end_poll(found(JOBS_A)._replace(left_out={"job": frozenset({7, 8})}), 20.0)

    state.note_shares({"job": frozenset({7, 8})}, 20.0)
    assert state.due_at({JOBS_A}) == math.inf

    state.note_shares({"job": frozenset({8})}, 20.1)
    assert state.due_at({JOBS_A}) <= 20.1

    state.end_poll(found(JOBS_A), 20.2)
    state.note_shares({"job": frozenset()}, 20.3)
    assert state.due_at({JOBS_A}) == math.inf


def test_a_role_has_its_share_when_as_many_jobs_as_it_may_have_are_here() -> None:
    request = FetchRequest(["a"], 10, 5, {7: 5, 8: 4})

    assert request.roles_with_share() == {7}
    assert request._replace(role_limit=None).roles_with_share() == frozenset()
