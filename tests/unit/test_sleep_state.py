"""For which queues a fetcher sleeps: what it locks, what it gives back, and when it polls."""

from __future__ import annotations

import math

import pytest

from pgqueue.broker.consuming.capacity import FetchRequest
from pgqueue.broker.consuming.sleep_state import Outcome, Owed, SleepState
from pgqueue.broker.sleep_locks import Rest

TASKS_A, TASKS_B, JOBS_A = ("task", "a"), ("task", "b"), ("job", "a")


def found(*wanted: tuple[str, str], full: set[str] | None = None, queues: set[str] | None = None) -> Outcome:
    return Outcome(set(wanted), full or set(), queues or set())


def asleep_for(*wanted: tuple[str, str], leading: bool = False) -> SleepState:
    """At 10 seconds it has taken the locks of all queues, and has looked once more in vain."""
    state = SleepState()
    state.want(set(wanted), set())
    assert state.end_poll(found(*wanted), 10.0) == set(wanted)
    state.take_locks(set(wanted), 10.0, Rest(True, None, frozenset(wanted) if leading else frozenset()))
    assert state.end_poll(found(*wanted), 10.0) is None
    assert state.due_at(set(wanted)) == math.inf
    return state


def following(*wanted: tuple[str, str]) -> SleepState:
    """At 10 seconds it has found that another worker leads."""
    state = SleepState()
    state.want(set(wanted), set(wanted))
    state.end_poll(found(*wanted), 10.0)
    state.take_locks(set(wanted), 10.0, Rest(True, None, following=frozenset(wanted)))
    return state


def owed(state: SleepState, *wanted: tuple[str, str]) -> Owed:
    """What it owes if all of these may follow."""
    return state.want(set(wanted), set(wanted))


def test_who_finds_nothing_takes_the_locks_and_polls_once_more_before_it_sleeps() -> None:
    state = SleepState()

    to_lock = state.end_poll(found(TASKS_A), 10.0)
    assert to_lock == {TASKS_A}
    state.take_locks(to_lock, 10.0, Rest(True, None))

    assert state.due_at({TASKS_A}) == -math.inf
    assert state.end_poll(found(TASKS_A), 10.0) is None
    assert state.due_at({TASKS_A}) == math.inf


def test_locks_that_were_not_given_are_not_held_and_it_polls_soon() -> None:
    state = SleepState()

    state.end_poll(found(TASKS_A), 10.0)
    state.take_locks({TASKS_A}, 10.0, Rest(False, None))

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

    assert owed(state, TASKS_A).queues == {"a"}
    state.give_back_locks({"a"})
    assert state.locked == set()
    assert 20.0 < state.due_at({TASKS_A}) <= 20.1


def test_only_the_lock_of_the_queue_that_was_notified_of_is_given_back() -> None:
    state = asleep_for(TASKS_A, TASKS_B)
    state.notify(["a"], 20.0)

    state.end_poll(found(TASKS_A, TASKS_B, full={"task"}, queues={"a"}), 20.0)

    assert owed(state, TASKS_A, TASKS_B).queues == {"a"}


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
    assert owed(asleep_for(TASKS_A, TASKS_B), TASKS_A).queues == {"b"}


def test_what_is_owed_is_owed_once() -> None:
    state = asleep_for(TASKS_A)
    state.notify(["a"], 20.0)
    state.end_poll(found(TASKS_A, full={"task"}, queues={"a"}), 20.0)

    assert owed(state, TASKS_A).queues == {"a"}
    state.owe_nothing()

    assert owed(state, TASKS_A).queues == set()


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


def test_a_role_that_had_its_share_is_polled_for_when_half_of_it_has_run() -> None:
    request = FetchRequest(["a"], 10, 6, {7: 6, 8: 4, 9: 3})

    assert request.roles_with_most() == {7, 8}
    assert request._replace(role_limit=None).roles_with_most() == frozenset()


def test_who_follows_sleeps_at_once_and_holds_no_lock() -> None:
    state = following(TASKS_A)

    assert state.due_at({TASKS_A}) == math.inf
    assert state.locked == set()
    assert owed(state, TASKS_A) == Owed(set(), set(), 1)


def test_who_is_promoted_polls_and_sleeps_anew_so_that_it_leads() -> None:
    state = following(TASKS_A, JOBS_A)

    state.promote([TASKS_A], 20.0)

    assert state.due_at({TASKS_A, JOBS_A}) <= 20.0
    assert state.end_poll(found(TASKS_A, JOBS_A), 20.0) == {TASKS_A}
    state.take_locks({TASKS_A}, 20.0, Rest(True, None, leading=frozenset({TASKS_A})))
    assert state.due_at({TASKS_A, JOBS_A}) == -math.inf  # It looks once more.
    assert state.leading == {TASKS_A}
    assert state.following == {JOBS_A}


def test_a_call_for_what_it_does_not_follow_for_changes_nothing() -> None:
    state = asleep_for(TASKS_A)

    state.promote([TASKS_A, TASKS_B], 20.0)

    assert state.due_at({TASKS_A}) == math.inf


def test_who_is_promoted_while_it_backs_off_sleeps_anew_at_once() -> None:
    state = asleep_for(TASKS_B)
    state.want({TASKS_A, TASKS_B}, {TASKS_A, TASKS_B})
    state.end_poll(found(TASKS_A, TASKS_B), 10.0)
    state.take_locks({TASKS_A}, 10.0, Rest(True, None, following=frozenset({TASKS_A})))
    state.notify(["b"], 20.0)
    state.promote([TASKS_A], 20.0)

    assert state.end_poll(found(TASKS_A, TASKS_B), 20.0) is None  # In vain for the notification.

    assert state.due_at({TASKS_A, TASKS_B}) <= 20.0
    assert state.end_poll(found(TASKS_A, TASKS_B), 20.0) == {TASKS_A}


def test_a_leader_whose_message_takes_long_leaves_the_next_to_another() -> None:
    state = asleep_for(TASKS_A, JOBS_A, leading=True)
    state.notify(["a"], 20.0)
    state.end_poll(found(TASKS_A, JOBS_A, queues={"a"}), 20.0)

    assert owed(state, TASKS_A, JOBS_A) == Owed(set(), set(), 1)
    assert 20.0 < state.replace_at <= 20.02
    assert state.take_replaceable(is_busy=True) == {TASKS_A, JOBS_A}
    state.be_replaced({TASKS_A, JOBS_A}, 20.02)

    assert state.replace_at == math.inf
    assert state.locked == set()
    assert state.due_at({TASKS_A, JOBS_A}) == math.inf
    assert owed(state, TASKS_A, JOBS_A) == Owed(set(), set(), 1)


def test_a_leader_whose_message_was_short_goes_on() -> None:
    state = asleep_for(TASKS_A, leading=True)
    state.notify(["a"], 20.0)
    state.end_poll(found(TASKS_A, queues={"a"}), 20.0)

    assert state.take_replaceable(is_busy=False) == set()

    assert state.replace_at == math.inf
    assert state.leading == {TASKS_A}


def test_a_leader_that_is_replaced_of_jobs_only_keeps_the_lock_for_the_tasks() -> None:
    state = asleep_for(TASKS_A, JOBS_A, leading=True)

    state.be_replaced({JOBS_A}, 20.0)

    assert state.locked == {"a"}
    assert state.due_at({TASKS_A, JOBS_A}) == math.inf


def test_a_leader_behind_which_nobody_stands_asks_again_after_a_second() -> None:
    state = asleep_for(TASKS_A, leading=True)
    replaceable = []
    for now in (20.0, 20.5, 21.5):
        state.notify(["a"], now)
        state.end_poll(found(TASKS_A, queues={"a"}), now)
        replaceable.append(state.take_replaceable(is_busy=True))
        if replaceable[-1]:
            state.be_replaced(set(), now)

    assert replaceable == [{TASKS_A}, set(), {TASKS_A}]
    assert state.leading == {TASKS_A}


def test_a_leader_is_not_replaced_where_it_listens_for_itself_too() -> None:
    # Without the lock of the queue its jobs would be unheard.
    state = asleep_for(TASKS_A, JOBS_A)
    state.leading = {TASKS_A}
    state.notify(["a"], 20.0)

    state.end_poll(found(TASKS_A, JOBS_A, queues={"a"}), 20.0)

    assert state.take_replaceable(is_busy=True) == set()


def test_who_leads_while_it_has_messages_is_replaced_as_soon_as_it_sleeps() -> None:
    state = following(TASKS_A)
    state.promote([TASKS_A], 20.0)
    state.end_poll(found(TASKS_A, queues={"a"}), 20.0)
    assert state.replace_at == math.inf

    state.take_locks({TASKS_A}, 20.01, Rest(True, None, leading=frozenset({TASKS_A})))
    state.end_poll(found(TASKS_A), 20.01)

    assert state.replace_at == pytest.approx(20.02)
    assert state.take_replaceable(is_busy=True) == {TASKS_A}
    # Once for what it has found: where all are busy, nobody is replaced for ever.
    state.be_replaced({TASKS_A}, 20.02)
    state.take_locks({TASKS_A}, 20.1, Rest(True, None, leading=frozenset({TASKS_A})))
    assert state.replace_at == math.inf


def test_a_full_poll_promotes_two_others() -> None:
    for state in (asleep_for(TASKS_A, leading=True), following(TASKS_A)):
        state.promote([TASKS_A], 20.0)
        state.notify(["a"], 20.0)
        state.end_poll(found(TASKS_A, full={"task"}, queues={"a"}), 20.0)

        debt = owed(state, TASKS_A)
        assert (debt.consumers, debt.successors) == ({TASKS_A}, 2)
        state.owe_nothing()
        state.step_down({TASKS_A})
        assert owed(state, TASKS_A).consumers == set()
        assert state.due_at({TASKS_A}) <= 20.0


def test_a_leader_that_was_notified_in_vain_stays_the_leader_while_it_polls() -> None:
    state = asleep_for(TASKS_A, leading=True)
    state.notify(["a"], 20.0)
    state.end_poll(found(TASKS_A), 20.0)

    debt = owed(state, TASKS_A)

    assert (debt.queues, debt.consumers) == ({"a"}, set())
    state.give_back_locks({"a"})
    assert 20.0 < state.due_at({TASKS_A}) <= 20.1


def test_who_has_no_room_or_cannot_take_all_is_neither_leader_nor_follower() -> None:
    for state in (asleep_for(TASKS_A, leading=True), following(TASKS_A)):
        assert state.want({TASKS_A}, set()).consumers == {TASKS_A}
        assert state.want(set(), set()).consumers == {TASKS_A}

    state = following(TASKS_A)
    state.step_down({TASKS_A})
    assert state.due_at({TASKS_A}) < math.inf


def test_who_finds_by_a_heartbeat_what_the_leader_should_have_found_sleeps_anew() -> None:
    state = following(TASKS_A)

    state.end_poll(found(TASKS_A, queues={"a"})._replace(is_heartbeat=True), 20.0)

    now = 20.0
    while (to_sleep := state.end_poll(found(TASKS_A), now)) is None:
        now = state.due_at({TASKS_A})
    assert to_sleep == {TASKS_A}
    assert now < 20.02


def test_a_leader_that_misses_messages_twice_is_not_relied_on_for_half_a_minute() -> None:
    state = following(TASKS_A)
    state.end_poll(found(TASKS_A, queues={"a"})._replace(is_heartbeat=True), 20.0)
    state.take_locks({TASKS_A}, 20.0, Rest(True, None, following=frozenset({TASKS_A})))
    assert state.relies_on_others(TASKS_A, 20.0)

    state.end_poll(found(TASKS_A, queues={"a"})._replace(is_heartbeat=True), 40.0)

    assert not state.relies_on_others(TASKS_A, 69.0)
    assert state.relies_on_others(TASKS_A, 71.0)


def test_what_it_finds_when_a_delayed_message_was_due_is_no_fault_of_the_leader() -> None:
    state = following(TASKS_A)

    state.end_poll(found(TASKS_A, queues={"a"}), 20.0)

    assert state.due_at({TASKS_A}) == math.inf


def test_a_queue_that_nobody_covers_any_more_concerns_those_that_hold_its_lock() -> None:
    state = asleep_for(TASKS_A, TASKS_B)
    state.following = {TASKS_B}

    assert state.heard(["a", "b", "c"]) == {TASKS_A}


def test_an_announced_job_is_left_to_executors_while_nothing_else_is_known_to_be_ready() -> None:
    state = asleep_for(TASKS_A, JOBS_A, leading=True)

    assert state.may_leave_to_executor(["a"], 20.0)
    assert state.due_at({TASKS_A, JOBS_A}) == math.inf


def test_an_announced_job_is_not_left_to_executors_by_who_consumes_no_jobs_there_or_is_awake() -> None:
    assert not asleep_for(TASKS_A, leading=True).may_leave_to_executor(["a"], 20.0)
    assert not asleep_for(JOBS_A, leading=True).may_leave_to_executor(["b"], 20.0)
    awake = asleep_for(JOBS_A, leading=True)
    awake.give_back_locks({"a"})
    assert not awake.may_leave_to_executor(["a"], 20.0)


def test_an_announced_job_is_not_left_to_executors_by_who_does_not_lead() -> None:
    """All workers of a queue with limits hear of the job, and so does the leader for tasks."""
    assert not asleep_for(JOBS_A).may_leave_to_executor(["a"], 20.0)
    assert not following(JOBS_A).may_leave_to_executor(["a"], 20.0)


def test_an_announced_job_is_not_left_to_executors_while_jobs_of_a_role_are_left_out() -> None:
    """They are ready and were not asked for, and may have come before."""
    state = asleep_for(JOBS_A, leading=True)
    state.notify(["a"], 11.0)
    state.end_poll(Outcome({JOBS_A}, set(), set(), {"job": frozenset({16})}), 11.0)

    assert not state.may_leave_to_executor(["a"], 20.0)


def test_a_leader_whose_last_executor_has_an_announced_job_is_replaced_if_that_takes_long() -> None:
    state = asleep_for(TASKS_A, JOBS_A, leading=True)

    state.leave_to_last_executor(["a"], 20.0)

    assert state.replace_at == pytest.approx(20.01)
    assert state.take_replaceable(is_busy=True) == {TASKS_A, JOBS_A}


def test_a_leader_whose_announced_job_was_short_stays_the_leader() -> None:
    state = asleep_for(JOBS_A, leading=True)

    state.leave_to_last_executor(["a"], 20.0)

    assert state.take_replaceable(is_busy=False) == set()
    assert state.replace_at == math.inf


def test_a_follower_for_jobs_that_hears_of_a_job_leaves_it_to_the_leader() -> None:
    """It listens, because it leads for tasks."""
    state = following(JOBS_A)
    assert state.leaves_jobs_to_leader(["a"])

    assert not state.leaves_jobs_to_leader(["b"])
    state.promote({JOBS_A}, 12.0)
    assert not state.leaves_jobs_to_leader(["a"])
    assert not asleep_for(TASKS_A, JOBS_A, leading=True).leaves_jobs_to_leader(["a"])


def test_an_announced_job_is_not_left_to_an_executor_while_another_message_may_be_ready() -> None:
    notified = asleep_for(JOBS_A, leading=True)
    notified.notify(["a"], 19.0)
    assert not notified.may_leave_to_executor(["a"], 20.0)

    delayed = asleep_for(JOBS_A, leading=True)
    delayed.hear_next_due(10.0, 5.0)
    assert delayed.may_leave_to_executor(["a"], 14.0)
    assert not delayed.may_leave_to_executor(["a"], 20.0)


def test_who_listens_because_it_could_not_lead_tries_again_when_it_has_found_one_launch() -> None:
    state = asleep_for(JOBS_A)
    launch = Outcome({JOBS_A}, set(), {"a"}, is_one_launch=True)

    state.notify(["a"], 20.0)
    state.end_poll(launch, 20.0)
    assert owed(state, JOBS_A).queues == {"a"}
    assert state.due_at({JOBS_A}) == math.inf

    state.give_back_locks({"a"})
    assert state.due_at({JOBS_A}) <= 20.0
    assert state.end_poll(found(JOBS_A), 20.001) == {JOBS_A}


def test_who_still_cannot_lead_tries_once_a_second() -> None:
    state = asleep_for(JOBS_A)
    launch = Outcome({JOBS_A}, set(), {"a"}, is_one_launch=True)
    state.end_poll(launch, 20.0)
    state.owe_nothing()

    state.end_poll(launch, 20.9)
    assert owed(state, JOBS_A).queues == set()
    state.end_poll(launch, 21.0)
    assert owed(state, JOBS_A).queues == {"a"}
