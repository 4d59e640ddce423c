"""Which work an executor gets next, and how many executors and jobs a worker wants."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest.mock import Mock

import pytest

from pgqueue.broker.job_consumer import AnnouncedJob, JobSupply
from pgqueue.worker import calls_for_celery
from pgqueue.worker.batch import BatchJob, Chunk
from pgqueue.worker.batch_size import BatchSize, GroupSize
from pgqueue.worker.calls_for_celery import CallsForCelery
from pgqueue.worker.claimed_job import ClaimedJob
from pgqueue.worker.dispatch import Dispatch
from pgqueue.worker.executor_threads import ExecutorThreads
from pgqueue.worker.job_waits import Awaited, Waiter
from pgqueue.worker.work_queue import WorkQueue

ADA, BOB = 1, 2


class Limit:
    """All executors but one, as while jobs of several roles may come."""

    is_shared = True

    def executors(self, size: int) -> int:
        return max(1, size - 1)


def batch_job(number: int, role: int = ADA) -> BatchJob:
    return BatchJob(number, 1, role, f"{number}:1")


def top_level_job(number: int, role: int = ADA) -> ClaimedJob:
    return ClaimedJob(number, 1, "vacuum", (), {}, "ada", role, None, keep_result=False)


@pytest.fixture
def dispatch() -> Dispatch:
    return Dispatch(Limit(), most_waits=4)  # type: ignore[arg-type]


def executor() -> Any:
    return object()


def ids(work: Any) -> list[int]:
    return [job.id for job in work.jobs] if isinstance(work, Chunk) else [work.id]


def test_jobs_of_the_batch_lane_come_in_chunks_that_leave_the_others_their_share(dispatch: Dispatch) -> None:
    dispatch.batch_size.jobs = 10
    dispatch.waiting.add([batch_job(n) for n in range(1, 7)])

    assert ids(dispatch.next((), size=4, most=4)) == [1, 2]


def test_of_many_roles_with_a_few_jobs_each_an_executor_takes_all_that_a_role_has(dispatch: Dispatch) -> None:
    dispatch.batch_size.jobs = 10
    dispatch.waiting.add([batch_job(n, role) for role in range(20) for n in range(5)])

    assert len(ids(dispatch.next((), size=4, most=4))) == 5


def free_executor() -> Any:
    return Mock(submitter_session=Mock(role=None))


def grouped_jobs(*numbers: int, role: int = ADA) -> list[BatchJob]:
    return [BatchJob(n, 1, role, f"{n}:1", "q", 100) for n in numbers]


@pytest.fixture
def busy(dispatch: Dispatch) -> Chunk:
    """A group of short jobs that has just begun."""
    dispatch.batch_size.jobs = 100
    chunk = Chunk(grouped_jobs(*range(1, 51)))
    dispatch.running[executor()] = chunk
    return chunk


def test_a_few_short_jobs_wait_for_more_while_a_group_of_their_role_runs(dispatch: Dispatch, busy: Chunk) -> None:
    dispatch.waiting.add(grouped_jobs(*range(100, 110)))
    assert dispatch.next((), size=8, most=8) is None
    assert dispatch.is_holding

    dispatch.waiting.add(grouped_jobs(*range(110, 200)))
    assert not dispatch.is_holding
    assert len(ids(dispatch.next((), size=8, most=8))) == 100


def test_a_few_short_jobs_run_when_the_group_has_ended_or_takes_long(dispatch: Dispatch, busy: Chunk) -> None:
    dispatch.waiting.add(grouped_jobs(100, 101))
    busy.begun_at -= 0.06
    assert ids(dispatch.next((), size=8, most=8)) == [100, 101]

    dispatch.waiting.add(grouped_jobs(102))
    dispatch.running.clear()
    assert ids(dispatch.next((), size=8, most=8)) == [102]


def test_no_job_waits_for_a_group_of_another_role_or_of_jobs_that_take_longer_or_that_are_few(
    dispatch: Dispatch, busy: Chunk
) -> None:
    dispatch.waiting.add(grouped_jobs(100))
    dispatch.waiting.add(grouped_jobs(200, role=BOB))
    assert ids(dispatch.next((), size=8, most=8)) == [200]

    dispatch.batch_size.jobs = 99
    assert ids(dispatch.next((), size=8, most=8)) == [100]

    dispatch.batch_size.jobs = 100
    dispatch.waiting.add([batch_job(101)])
    assert ids(dispatch.next((), size=8, most=8)) == [101]

    busy.jobs = busy.jobs[:9]
    dispatch.waiting.add(grouped_jobs(102))
    assert ids(dispatch.next((), size=8, most=8)) == [102]


def test_what_is_held_back_is_handed_out_a_moment_later_though_nothing_else_happens(
    dispatch: Dispatch, busy: Chunk
) -> None:
    """Else it would wait for a long job of the group."""
    calls: list[str] = []
    threads = ExecutorThreads(3, 3, lambda _number: executor())
    work = WorkQueue(dispatch, threads, *[lambda: None] * 3, on_hold=lambda: calls.append("hold"))
    threads.threads += [free_executor(), executor(), executor()]
    inbox = threads.add_idle(threads.threads[0])

    work.add(grouped_jobs(100))
    work.add(grouped_jobs(101))
    assert calls == ["hold"]
    work.hand_out_held()
    assert calls == ["hold"] * 2

    busy.begun_at -= 0.06
    work.hand_out_held()
    assert ids(inbox.get_nowait()) == [100, 101]
    assert calls == ["hold"] * 2


def test_a_job_of_the_top_level_lane_comes_alone(dispatch: Dispatch) -> None:
    dispatch.batch_size.jobs = 10
    dispatch.waiting.add([top_level_job(1), batch_job(2)])

    assert ids(dispatch.next((), size=1, most=1)) == [1]


def test_roles_take_turns(dispatch: Dispatch) -> None:
    dispatch.waiting.add([batch_job(1, ADA), batch_job(2, ADA), batch_job(3, BOB)])

    assert [ids(dispatch.next((), size=4, most=4)) for _ in range(3)] == [[1], [3], [2]]


def take(dispatch: Dispatch, taker: Any, size: int = 4) -> int:
    """Let an executor take what comes next; return of which role it is."""
    work = dispatch.next((taker,), size, size)
    assert work is not None
    dispatch.homes.add(work.role, taker)
    return work.role


@pytest.fixture
def short(dispatch: Dispatch) -> Dispatch:
    """Jobs are so short that a call has some of them."""
    dispatch.batch_size.jobs = 16
    return dispatch


def test_an_executor_takes_jobs_of_a_role_that_it_knows_before_others(short: Dispatch) -> None:
    first, second = executor(), executor()
    short.homes.add(ADA, first)
    short.homes.add(BOB, second)
    short.waiting.add([batch_job(1, ADA), batch_job(2, BOB)])

    assert [take(short, second), take(short, second)] == [BOB, ADA]


def test_a_role_that_nobody_knows_has_its_turn(short: Dispatch) -> None:
    first, second = executor(), executor()
    short.homes.add(BOB, second)
    short.waiting.add([batch_job(1, ADA), batch_job(2, BOB)])

    assert [take(short, second), take(short, first)] == [ADA, BOB]


def test_a_role_is_passed_over_no_more_than_twice_for_each_executor(short: Dispatch) -> None:
    busy, free = executor(), executor()
    short.homes.add(ADA, busy)
    short.homes.add(BOB, free)
    short.waiting.add([batch_job(1, ADA), *(batch_job(n, BOB) for n in range(2, 2000))])

    roles = [take(short, free, size=4) for _ in range(12)]

    assert roles == [*[BOB] * 8, ADA, *[BOB] * 3]


def test_long_jobs_pass_no_role_over(dispatch: Dispatch) -> None:
    busy, free = executor(), executor()
    dispatch.batch_size.jobs = 2
    dispatch.homes.add(ADA, busy)
    dispatch.homes.add(BOB, free)
    dispatch.waiting.add([batch_job(1, ADA), batch_job(2, BOB)])

    assert take(dispatch, free) == ADA


def test_an_executor_with_a_new_session_knows_no_role(short: Dispatch) -> None:
    first, second = executor(), executor()
    for role in (ADA, BOB):
        short.homes.add(role, first)
    short.homes.add(BOB, second)

    short.homes.forget(first)

    assert short.homes.suits(ADA, [second])  # nobody knows it
    assert not short.homes.suits(BOB, [first])
    assert short.homes.among(BOB, [second, first]) is second
    assert short.homes.among(BOB, [first]) is None


def test_a_role_that_may_have_no_executor_is_not_passed_over(short: Dispatch) -> None:
    first, second = executor(), executor()
    short.running[first] = Chunk([batch_job(1)])
    short.homes.add(BOB, first)
    short.waiting.add([batch_job(2), batch_job(3, BOB)])
    short.waiting.add(batch_job(n, 3) for n in range(4, 400))
    short.homes.add(ADA, first)
    short.homes.add(3, second)

    assert [take(short, second, size=2) for _ in range(5)] == [3, 3, 3, 3, BOB]
    short.running.clear()
    assert [take(short, second, size=2) for _ in range(5)] == [3, 3, 3, 3, ADA]


def test_a_role_that_has_its_share_of_executors_waits(dispatch: Dispatch) -> None:
    dispatch.running[executor()] = Chunk([batch_job(1)])
    dispatch.waiting.add([batch_job(2), batch_job(3, BOB)])

    assert ids(dispatch.next((), size=2, most=2)) == [3]


def test_what_a_job_waits_for_comes_first_though_no_executor_is_left(dispatch: Dispatch) -> None:
    waiting = executor()
    dispatch.running[waiting] = top_level_job(1)
    dispatch.waiting.add([batch_job(2), batch_job(3)])
    assert dispatch.waits.begin(waiting, Awaited(3, Waiter(1, 1, ADA)))

    assert ids(dispatch.next((), size=1, most=1)) == [3]


def test_what_a_job_waits_for_is_to_be_claimed_if_it_is_not_here(dispatch: Dispatch) -> None:
    waiting, awaited = executor(), Awaited(9, Waiter(1, 1, ADA))
    dispatch.running[waiting] = top_level_job(1)
    dispatch.waits.begin(waiting, awaited)

    assert dispatch.next((), size=1, most=1) == awaited


def test_there_are_executors_for_what_waits_as_far_as_a_role_may_have_them(dispatch: Dispatch) -> None:
    dispatch.batch_size.jobs = 10
    dispatch.waiting.add([batch_job(n) for n in range(100)] + [batch_job(200, BOB)])

    assert dispatch.executors_wanted(most=4) == 3 + 1


def test_a_worker_holds_some_rounds_of_jobs_for_each_executor(dispatch: Dispatch) -> None:
    assert dispatch.jobs_wanted(size=4) == 4 * 2

    dispatch.batch_size.stock = 20

    assert dispatch.jobs_wanted(size=4) == 4 * 20
    assert dispatch.supply(size=4) == JobSupply(3 * 20, {}, is_ample=False, has_free=True)


@pytest.mark.parametrize(
    ("size", "mine", "others", "is_ample"),
    [
        # One executor holds the share of a role, and has room for as many jobs of others, which may never come.
        (1, 20, 0, True),
        (1, 10, 0, False),
        # A role that has its share leaves the second executor free, and jobs beyond it are not for that one.
        (2, 20, 0, False),
        (2, 60, 0, False),
        (2, 20, 1, True),
        (4, 60, 0, True),
    ],
)
def test_the_jobs_are_ample_when_the_executors_that_may_run_them_have_half_of_what_they_need(
    dispatch: Dispatch, size: int, mine: int, others: int, is_ample: bool
) -> None:
    dispatch.batch_size.stock = 20
    dispatch.waiting.add([batch_job(n) for n in range(mine)] + [batch_job(1000 + n, BOB) for n in range(others)])

    assert dispatch.supply(size).is_ample is is_ample


def test_a_job_that_waits_for_others_takes_no_place_of_its_role(dispatch: Dispatch) -> None:
    waiting, busy = executor(), executor()
    dispatch.running[waiting], dispatch.running[busy] = top_level_job(1), top_level_job(2)
    dispatch.waits.begin(waiting, Awaited(9, Waiter(1, 1, ADA)))

    assert dispatch.supply(size=4).held == {ADA: 1}


def test_a_few_short_jobs_go_to_one_executor_and_not_one_to_each(dispatch: Dispatch) -> None:
    dispatch.batch_size.jobs = 100
    dispatch.waiting.add([batch_job(n) for n in range(8)])

    assert len(ids(dispatch.next((), size=4, most=4))) == 8


def test_a_few_jobs_of_unknown_length_go_to_an_executor_each(dispatch: Dispatch) -> None:
    dispatch.waiting.add([batch_job(n) for n in range(8)])

    assert len(ids(dispatch.next((), size=4, most=4))) == 1


def test_what_a_role_holds_beyond_its_share_takes_nobodys_place(dispatch: Dispatch) -> None:
    dispatch.waiting.add([batch_job(n) for n in range(9)])

    limit, held, *_ = dispatch.supply(size=2)

    assert (limit, held) == (2, {ADA: 9})
    assert dispatch.jobs_wanted(size=2) == 2 * 2 + (9 - 2)


def test_after_a_call_for_celery_that_fails_the_others_are_made_the_next_time() -> None:
    changes: list[None] = []
    made: list[int] = []
    calls = CallsForCelery(lambda: changes.append(None))
    for number in (1, 0, 2):
        calls.add(lambda number=number: made.append(10 // number))

    with pytest.raises(ZeroDivisionError):
        calls.make()
    # Once for the first, and once for what is left.
    assert (made, len(changes), bool(calls)) == ([10], 2, True)
    calls.make()

    assert (made, bool(calls)) == ([10, 5], False)


def test_a_call_for_celery_is_reported_again_if_nobody_has_made_the_ones_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    changes: list[None] = []
    calls = CallsForCelery(lambda: changes.append(None))
    for now in (100.0, 100.01, 100.05):
        monkeypatch.setattr(calls_for_celery, "monotonic", lambda now=now: now)
        calls.add(lambda: None)

    assert len(changes) == 2


def test_of_two_calls_that_are_left_at_the_same_time_one_is_reported() -> None:
    changes: list[None] = []
    calls = CallsForCelery(lambda: changes.append(None))
    calls.add(lambda: None)
    calls.make()

    class Interrupted(deque[Any]):
        """Another thread leaves a call before the first one goes on."""

        def append(self, call: Any) -> None:
            super().append(call)
            if len(self) == 1:
                calls.add(lambda: None)

    calls._calls = Interrupted()
    calls.add(lambda: None)

    assert len(changes) == 2


def test_the_size_of_chunks_follows_the_last_ones_and_not_a_single_one() -> None:
    size = BatchSize()
    for _ in range(10):
        size.adapt(16, 0.016)
    assert size.jobs == 50

    size.adapt(16, 0.032)
    assert 40 < size.jobs < 50


def test_a_long_job_makes_chunks_small_at_once_and_short_ones_make_them_grow_step_by_step() -> None:
    size = BatchSize()
    for _ in range(10):
        size.adapt(16, 0.016)

    size.adapt(1, 5.0)
    assert size.jobs == 1

    sizes = []
    for _ in range(12):
        size.adapt(size.jobs, size.jobs * 0.001)
        sizes.append(size.jobs)
    assert sizes == [1, 1, 1, 1, 1, 1, 1, 2, 4, 8, 16, 32]


def test_jobs_that_are_given_back_from_behind_a_long_one_are_divided_among_the_executors() -> None:
    size = BatchSize()
    for _ in range(10):
        size.adapt(16, 0.016)

    size.note_long()

    assert (size.jobs, size.stock) == (1, 2)


@pytest.mark.parametrize("meanwhile", [lambda size: size.note_long(), lambda size: size.adapt(1, 5.0)])
def test_a_chunk_that_ends_meanwhile_takes_nothing_back_of_what_a_long_job_has_changed(
    meanwhile: Callable[[BatchSize], None],
) -> None:
    is_reading, may_go_on = threading.Event(), threading.Event()

    class PausedChunks(deque[tuple[int, float]]):
        def __iter__(self) -> Iterator[tuple[int, float]]:
            for each in super().__iter__():
                is_reading.set()
                may_go_on.wait(10)
                yield each

    size = BatchSize()
    for _ in range(10):
        size.adapt(16, 0.016)
    size._last = PausedChunks(size._last, 8)
    with ThreadPoolExecutor() as threads:
        ended = threads.submit(size.adapt, 16, 0.016)
        is_reading.wait(10)
        long = threads.submit(meanwhile, size)
        with contextlib.suppress(TimeoutError):
            long.result(0.1)  # without a lock it would be done now
        may_go_on.set()
        ended.result()
        long.result()

    assert (size.jobs, size.stock) == (1, 2)


def settled(seconds_per_job: float, waiting: int | None = None) -> BatchSize:
    """The size after many chunks; where it was sampled, of 10 sessions so many waited for themselves."""
    size = BatchSize()
    for _ in range(20):
        if waiting is not None:
            size.note_waits(waiting, 10)
        size.adapt(size.jobs, size.jobs * seconds_per_job)
    return size


def test_on_a_busy_server_calls_stay_as_large_as_keeps_them_cheap() -> None:
    assert (settled(0.006).jobs, settled(0.006, waiting=0).jobs) == (8, 32)
    # Not for longer than 250 ms.
    assert settled(0.03, waiting=1).jobs == 8
    assert settled(0.3, waiting=0).jobs == 1
    # The size of calls of jobs that are short anyway is the same.
    assert settled(0.001, waiting=0).jobs == settled(0.001).jobs == 50


def test_jobs_that_sleep_run_side_by_side() -> None:
    assert settled(0.02, waiting=9).jobs == 2


def test_jobs_that_come_to_wait_are_spread_within_a_few_samples() -> None:
    size = settled(0.013, waiting=0)
    for _ in range(3):
        size.note_waits(10, 10)
        size.adapt(16, 16 * 0.02)

    assert size.jobs <= 3


def test_one_long_job_among_short_ones_ends_large_calls_on_a_busy_server() -> None:
    size = settled(0.013, waiting=0)

    size.adapt(1, 5.0)

    assert size.jobs == 1


@pytest.mark.parametrize(("seconds", "rounds"), [(0.001, 4), (0.013, 3), (0.3, 2)])
def test_a_worker_holds_four_rounds_of_short_jobs_three_on_a_busy_server_and_two_of_long_ones(
    seconds: float, rounds: int
) -> None:
    size = settled(seconds, waiting=0)

    assert size.stock == rounds * size.jobs


def test_jobs_that_may_share_a_commit_go_to_one_executor(dispatch: Dispatch) -> None:
    dispatch.batch_size.jobs = 4
    dispatch.waiting.add([BatchJob(n, 1, ADA, f"{n}:1", "audit", 10) for n in range(30)])

    work = dispatch.next((), 8, 8)

    assert isinstance(work, Chunk)
    assert len(work.jobs) == 10


@pytest.mark.parametrize(
    ("document", "expected"), [(7, BatchJob(1, 2, 7, "1:2")), ([7, 50], BatchJob(1, 2, 7, "1:2", "audit", 50))]
)
def test_a_claim_says_how_many_jobs_may_share_a_commit(document: Any, expected: BatchJob) -> None:
    assert BatchJob.from_claim(1, 2, document, "1:2", "audit") == expected


def test_a_group_has_no_more_jobs_than_its_queue_allows_and_than_it_will_come_to() -> None:
    jobs = [BatchJob(n, 1, ADA, f"{n}:1", "audit", 5) for n in range(9)]

    assert Chunk(jobs).next_jobs(jobs, 3) == jobs[:3]
    assert Chunk(jobs).next_jobs(jobs, 100) == jobs[:5]


def test_groups_that_do_not_come_to_all_of_their_jobs_shrink_step_by_step_and_grow_again() -> None:
    size = GroupSize()
    sizes = []
    for tried in (40, 40, 40, 3, 3, 3):
        size.adapt(size.jobs, tried)
        sizes.append(size.jobs)
    assert sizes == [51, 51, 51, 25, 12, 10]

    # What is left of a chunk says nothing of more jobs.
    size.adapt(9, 9)
    assert size.jobs == 10
    for _ in range(4):
        size.adapt(size.jobs, size.jobs)
    assert size.jobs == 100


def work_queue(dispatch: Dispatch, executors: int) -> tuple[WorkQueue, list[Any]]:
    """A work queue whose executors are all free, and what each of them finds to do, the next one first."""
    threads = ExecutorThreads(executors, executors, lambda _number: executor())
    work = WorkQueue(dispatch, threads, *[lambda: None] * 4)
    threads.threads += [free_executor() for _ in range(executors)]
    return work, [threads.add_idle(thread) for thread in threads.threads][::-1]


def announced_job(number: int) -> AnnouncedJob:
    return AnnouncedJob(number, ["q"], 7, lambda: None)


def test_a_free_executor_claims_an_announced_job(dispatch: Dispatch) -> None:
    work, inboxes = work_queue(dispatch, 3)

    assert work.let_claim(announced_job(5)) == 1

    assert inboxes[0].get_nowait().id == 5
    assert bool(work)
    assert work.info["running"].popitem()[1] == [5]


def test_executors_claim_announced_jobs_only_as_far_as_one_role_may_have_all_of_them(dispatch: Dispatch) -> None:
    """Whose job it is, is known after the claim."""
    work, inboxes = work_queue(dispatch, 3)

    assert [work.let_claim(announced_job(n)) for n in range(1, 4)] == [1, 0, None]

    assert inboxes[2].empty()


def test_no_announced_job_comes_before_jobs_that_wait(dispatch: Dispatch) -> None:
    work, _inboxes = work_queue(dispatch, 3)
    dispatch.waiting.add([batch_job(1)])

    assert work.let_claim(announced_job(5)) is None


def test_no_announced_job_is_claimed_without_a_free_executor_or_once_the_worker_ends(dispatch: Dispatch) -> None:
    none_free, _inboxes = work_queue(Dispatch(Limit(), most_waits=4), 0)  # type: ignore[arg-type]
    ending, _inboxes = work_queue(dispatch, 3)
    ending.close()

    assert none_free.let_claim(announced_job(5)) is None
    assert ending.let_claim(announced_job(5)) is None


def test_the_worker_knows_the_claims_of_all_jobs_that_run(dispatch: Dispatch) -> None:
    """Also of those that executors have claimed by themselves: after a lost connection they are not given back."""
    work, _inboxes = work_queue(dispatch, 3)
    work.let_claim(announced_job(5))
    (runs,) = dispatch.running
    assert work.running_tags() == ["5:0"]

    work.assign(runs, top_level_job(5))
    work.add([batch_job(6, BOB), batch_job(7, BOB)])

    assert sorted(work.running_tags()) == ["5:1", "6:1", "7:1"]


def test_what_an_executor_has_claimed_goes_to_a_free_one_that_knows_the_role(dispatch: Dispatch) -> None:
    work, inboxes = work_queue(dispatch, 3)
    knows_bob, claims = work._threads.threads[1:]
    dispatch.homes.add(BOB, knows_bob)
    work.let_claim(announced_job(5))
    assert dispatch.running.keys() == {claims}

    assert work.assign(claims, top_level_job(5, BOB)) is False

    assert inboxes[1].get_nowait().id == 5
    assert dispatch.running[knows_bob].role == BOB


def test_what_an_executor_has_claimed_it_runs_if_it_knows_the_role_itself_or_no_free_one_does(
    dispatch: Dispatch,
) -> None:
    for knowing in ([0, 2], []):
        work, _inboxes = work_queue(Dispatch(Limit(), most_waits=4), 3)  # type: ignore[arg-type]
        threads = work._threads.threads
        for number in knowing:
            work._dispatch.homes.add(BOB, threads[number])
        work.let_claim(announced_job(5))

        assert work.assign(threads[2], top_level_job(5, BOB)) is True


def test_a_role_gets_no_executor_beyond_its_limit_for_a_job_that_may_be_of_another(dispatch: Dispatch) -> None:
    work, inboxes = work_queue(dispatch, 3)
    for number in (1, 2):
        work.let_claim(announced_job(number))
    claiming = list(dispatch.running)

    work.add([top_level_job(3, ADA)])
    for number, executor_ in enumerate(claiming, 1):
        work.assign(executor_, top_level_job(number, ADA))

    assert [each.role for each in dispatch.running.values()] == [ADA, ADA]
    assert inboxes[2].empty()


def test_announced_jobs_take_places_until_they_have_ended_also_where_they_were_handed_over(dispatch: Dispatch) -> None:
    work, _inboxes = work_queue(dispatch, 3)
    knows_bob, claims = work._threads.threads[1:]
    dispatch.homes.add(BOB, knows_bob)
    work.let_claim(announced_job(5))
    assert work.own_claims == 1

    work.assign(claims, top_level_job(5, BOB))
    work.close()
    assert work.take(claims) is None
    assert work.own_claims == 1
    assert work.take(knows_bob) is None
    assert work.own_claims == 0
