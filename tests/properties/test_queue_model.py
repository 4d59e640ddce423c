"""Any order of what can happen to messages, against a model: nothing lost, nothing twice, old tokens open nothing.

Three workers, jobs and tasks, real sessions. Time passes only when a rule says so.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.harness import Database
from tests.harness.claimant import Claim, Claimant
from tests.harness.people import fetch_value

QUEUES = ("a", "b")
FAILURE = {"sqlstate": "22012", "message": "division by zero"}
COUNT_EFFECTS = "select id, count(*) from public.effect group by id"


@dataclass
class Message:
    """What the model knows of one message."""

    kind: str
    queue: str
    state: str = "ready"  # ready, delayed, claimed, ended
    end: str | None = None
    holder: int | None = None
    token: int | None = None
    is_cancel_asked: bool = False
    attempts_left: int = 1
    is_expired: bool = False
    #: Whether it counts as delivered: the next claim is told that it is redelivered.
    delivered: bool = False
    #: Whether it counted before its claim, and whether it has begun since.
    delivered_before: bool = False
    begun: bool = False


@dataclass
class Place:
    """The database that all examples share; each begins by emptying it."""

    db: Database
    owner: object
    alice: object
    claimants: list[Claimant]


class Queue(RuleBasedStateMachine):
    """The machine; `place` is set before it runs."""

    place: Place
    handles = Bundle("handles")
    claims = Bundle("claims")

    def __init__(self):
        super().__init__()
        self.model: dict[int, Message] = {}
        self.handle_of: dict[int, str] = {}
        self.dead: set[int] = set()
        owner = self.place.owner
        owner.execute(
            "truncate pgqueue.message, pgqueue.history, pgqueue.result, pgqueue.request, pgqueue.activity, public.effect"
        )
        owner.execute("delete from pgqueue.stat_total; delete from pgqueue.stat_session")
        owner.execute("update pgqueue.stat_fold set snapshot = pg_current_snapshot()")
        self.workers = {claimant.id: claimant for claimant in self.place.claimants}

    # What can happen

    @rule(
        target=handles,
        queue=st.sampled_from(QUEUES),
        delayed=st.booleans(),
        attempts=st.integers(1, 2),
        way=st.sampled_from(["launch", "enqueue", "task"]),
    )
    def publish(self, queue, delayed, attempts, way):
        delay = "'1 day'" if delayed else "null"
        if way == "task":
            self.place.alice.execute(f"select pgqueue.send_task('a.b', queue => '{queue}', delay => {delay})")
            number = fetch_value(self.place.owner, "select max(id) from pgqueue.message")
        else:
            handle = fetch_value(
                self.place.alice,
                f"select pgqueue.{way}('insert into public.effect select $1::bigint', queue => '{queue}', delay => {delay}, max_attempts => {attempts}, backoff => '1 day')",
            )
            number = int(handle[1:].split(",")[0])
            self.handle_of[number] = handle
            self.place.owner.execute("update pgqueue.message set params = array[id::text] where id = %s", [number])
        self.model[number] = Message(
            "task" if way == "task" else "job", queue, "delayed" if delayed else "ready", attempts_left=attempts
        )
        return number

    @rule(queue=st.sampled_from(QUEUES))
    def publish_and_roll_back(self, queue):
        self.place.alice.execute("begin")
        self.place.alice.execute(f"select pgqueue.enqueue('select 1', queue => '{queue}')")
        self.place.alice.execute("rollback")

    @rule(target=claims, who=st.integers(0, 2), kind=st.sampled_from(["job", "task"]), count=st.integers(1, 3))
    def claim(self, who, kind, count):
        claimant = self._worker(who)
        got = claimant.claim(*QUEUES, kind=kind, max_count=count)
        ready = {n for n, m in self.model.items() if m.kind == kind and m.state == "ready"}
        expired = {
            n for n, m in self.model.items() if m.kind == "task" and m.is_expired and m.state in ("ready", "delayed")
        }
        assert {claim.id for claim in got} <= ready - expired
        assert len({claim.id for claim in got}) == len(got) <= count
        # An expired task that was looked at is gone, and counts against the batch. A claim that found nothing else gets past
        # all that have expired, a claim of jobs too.
        gone = expired - self._present()
        assert len(got) + len(gone & ready) >= min(count, len(ready))
        for number in gone:
            self._end(number, "dropped")
        for claim in got:
            message = self.model[claim.id]
            assert claim.redelivered is message.delivered
            message.delivered_before, message.delivered, message.begun = message.delivered, True, False
            message.state, message.holder, message.token = "claimed", claimant.id, claim.token
        return tuple((claimant.id, claim) for claim in got)

    @rule(batch=claims, run_to=st.sampled_from(["end", "end", "end", "failure", "crash"]))
    def run(self, batch, run_to):
        for worker_id, claim in batch:
            message, is_ours = self._ours(claim)
            if message.kind == "task":
                acked = self.workers[worker_id].ack(claim)
                assert acked == int(is_ours)
                if is_ours:
                    self._end(claim.id, "acked")
                continue
            self._run_job(self.workers[worker_id], claim, message, is_ours, run_to)

    @rule(batch=consumes(claims), undelivered=st.booleans())
    def release(self, batch, undelivered):
        for worker_id, claim in batch:
            message, is_ours = self._ours(claim)
            before = message.delivered
            assert self.workers[worker_id].release(claim, undelivered=undelivered) == int(is_ours)
            if is_ours:
                message.state, message.holder, message.token = "ready", None, None
                message.delivered = claim.redelivered if undelivered else before

    @rule(number=handles)
    def cancel(self, number):
        message = self.model[number]
        if message.kind == "task":
            return
        told = fetch_value(self.place.alice, "select pgqueue.cancel(%s::pgqueue.handle)", [self.handle_of[number]])
        assert told is (message.state != "ended")
        if message.state == "claimed":
            message.is_cancel_asked = True
        elif message.state != "ended":
            self._end(number, "canceled")

    @rule(number=handles)
    def let_it_expire(self, number):
        if self.model[number].state != "ended":
            self.place.owner.execute(
                "update pgqueue.message set expires_at = now() - interval '1 s' where id = %s", [number]
            )
            self.model[number].is_expired = True

    @rule(number=handles)
    def let_it_become_due(self, number):
        if self.model[number].state == "delayed":
            self.place.owner.execute(
                "update pgqueue.message set due_at = now() - interval '1 s' where id = %s", [number]
            )
            self.place.owner.execute("select pgqueue._promote(1000)")
            self.model[number].state = "ready"

    @precondition(lambda self: len(self.dead) < 2)
    @rule(who=st.integers(0, 2))
    def kill_a_worker(self, who):
        claimant = self._worker(who)
        claimant.kill()
        self.dead.add(claimant.id)
        claimant.register()
        self.workers[claimant.id] = claimant

    @rule(who=st.integers(0, 2))
    def tick(self, who):
        self._worker(who).tick()
        for message in self.model.values():
            if message.state == "claimed" and message.holder in self.dead:
                message.state, message.holder, message.token = "ready", None, None
                # A job that had not begun is not the cause of the loss.
                if message.kind == "job" and not message.begun:
                    message.delivered = message.delivered_before
        self.dead.clear()
        present = self._present()
        for number, message in self.model.items():
            # Upkeep removes expired tasks from any queue; jobs say that they have expired when their turn comes.
            if message.kind == "task" and message.is_expired and message.state in ("ready", "delayed"):
                assert number not in present
                self._end(number, "dropped")

    # What must always hold

    @invariant()
    def nothing_is_lost_and_nothing_stays(self):
        rows = self.place.owner.execute(
            "select id, state::text, worker_id, token from pgqueue.message order by id"
        ).fetchall()
        expected = [(n, m.state, m.holder, m.token) for n, m in sorted(self.model.items()) if m.state != "ended"]
        assert rows == expected

    @invariant()
    def every_job_ends_once_as_the_model_says(self):
        rows = self.place.owner.execute("select id, state::text from pgqueue.history order by id").fetchall()
        assert rows == [(n, m.end) for n, m in sorted(self.model.items()) if m.kind == "job" and m.state == "ended"]

    @invariant()
    def an_effect_is_there_once_exactly_when_its_job_succeeded(self):
        rows = self.place.owner.execute(COUNT_EFFECTS).fetchall()
        assert sorted(rows) == [(n, 1) for n, m in sorted(self.model.items()) if m.end == "succeeded"]

    @invariant()
    def every_end_is_counted_once(self):
        counted = fetch_value(
            self.place.owner,
            "select coalesce(sum(workers_completed + workers_failed + workers_canceled), 0)::int from pgqueue.stats_total",
        )
        assert counted == sum(m.kind == "job" and m.state == "ended" for m in self.model.values())

    def teardown(self):
        # Whatever happened, what is left can be finished.
        self.tick(0)
        self.place.owner.execute("update pgqueue.message set due_at = now() - interval '1 s' where state = 'delayed'")
        self.place.owner.execute(
            "update pgqueue.message set state = 'ready', token = null, worker_id = null where state = 'claimed'"
        )
        finisher = self._worker(0)
        finisher.run_all(*QUEUES)
        while tasks := finisher.claim(*QUEUES, kind="task"):
            finisher.ack(*tasks)
        left = self.place.owner.execute("select state::text, max_attempts, attempts from pgqueue.message").fetchall()
        assert left == []

    # Helpers

    def _worker(self, who):
        return self.place.claimants[who]

    def _ours(self, claim: Claim) -> tuple[Message, bool]:
        message = self.model[claim.id]
        return message, message.state == "claimed" and message.token == claim.token

    def _present(self):
        return {row[0] for row in self.place.owner.execute("select id from pgqueue.message")}

    def _end(self, number, how):
        message = self.model[number]
        message.state, message.end, message.holder, message.token = "ended", how, None, None

    def _run_job(self, claimant, claim, message, is_ours, run_to):
        if claim.lane == "batch":
            self._run_in_batch_lane(claimant, claim, message, is_ours, run_to)
            return
        executor = claimant.executor("alice")
        begun = executor.begin(claim)
        if not is_ours:
            assert begun == "gone"
        elif message.is_cancel_asked:
            assert begun == "canceled"
            self._end(claim.id, "canceled")
        elif message.is_expired:
            assert begun == "expired"
            self._end(claim.id, "expired")
        else:
            assert begun is None
            message.begun = True
            executor.lock(claim)
            executor.execute(claim)
            if run_to == "end":
                executor.commit()
                self._end(claim.id, "succeeded")
            elif run_to == "crash":
                executor.session.execute("rollback")  # the server does it when the session is gone
            else:
                self._fail(executor, claim, message)

    def _run_in_batch_lane(self, claimant, claim, message, is_ours, run_to):
        if not is_ours:
            claimant.run(claim)  # it does nothing, and nobody is told so
        elif message.is_cancel_asked or message.is_expired:
            how = "canceled" if message.is_cancel_asked else "expired"
            assert claimant.run(claim) == how
            self._end(claim.id, how)
        elif run_to == "end":
            assert claimant.run(claim) == "succeeded"
            self._end(claim.id, "succeeded")
        else:
            message.begun = True
            claimant.batch_executor.abandon(claim)
            if run_to == "failure":
                self._fail(claimant.batch_executor, claim, message)

    def _fail(self, executor, claim, message):
        outcome = executor.fail(claim, FAILURE)
        message.attempts_left -= 1
        if message.attempts_left > 0:
            assert outcome == "retried"
            message.state, message.holder, message.token, message.delivered = "delayed", None, None, False
        else:
            assert outcome == "failed"
            self._end(claim.id, "failed")


@pytest.mark.slow
@pytest.mark.timeout(600)  # thousands of round trips, which a busy machine makes slow
def test_any_order_of_events_loses_nothing_and_doubles_nothing(db):
    owner, alice = db.connect(), db.connect(db.create_role("alice"))
    owner.execute("create table public.effect (id bigint); grant insert on public.effect to alice")
    Queue.place = Place(db, owner, alice, [Claimant(db, f"w{n}") for n in range(3)])

    run_state_machine_as_test(
        Queue,
        settings=settings(
            max_examples=25,
            stateful_step_count=35,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            database=None,
        ),
    )
