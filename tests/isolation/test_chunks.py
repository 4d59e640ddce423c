"""Chunks of the batch lane whose worker is lost in the middle of them.

Who acts between two lines: the session that runs the chunk, which may outlive the worker's presence; the worker, which
may die between the end of a call and the next; and another worker that takes over what is free.
"""

import json

import psycopg
import pytest

from tests.harness import eventually, wait_until_blocked
from tests.harness.claimant import Claimant
from tests.harness.people import fetch_value

WORDS = "select array_agg(word order by word) from public.seen"
ENDED = "select array_agg(state::text order by id) from pgqueue.jobs where ended_at is not null"


@pytest.fixture(autouse=True)
def seen(owner, alice):
    owner.execute(
        "create table public.seen (word text); create table public.door (); grant all on public.seen, public.door to alice"
    )


def enqueue(session, *statements):
    session.execute("select count(*) from pgqueue.enqueue_many(%s)", [list(statements)])


def insert(word):
    return f"insert into public.seen values ('{word}')"


class Chunk:
    """Jobs that a worker has claimed, and its session that runs them."""

    def __init__(self, db, worker):
        self.session = db.connect_executor()
        self._worker_session = worker.session
        self._worker = worker.name
        self.claims = worker.claim()

    @property
    def ids(self):
        return [claim.id for claim in self.claims]

    @property
    def tokens(self):
        return [claim.token for claim in self.claims]

    def run(self):
        """Call what is left; return the error that ended it."""
        (role,) = {claim.message for claim in self.claims}
        call = f"call pgqueue_run.jobs_{role}(%s, %s, %s)"
        try:
            self.session.execute(call, [self.ids, self.tokens, self._worker])
        except psycopg.Error as error:
            return error
        return None

    def settle(self, error):
        """Let the database decide about the job that raised it, if its context names one."""
        context = error.diag.context or ""
        fields = {"sqlstate": error.sqlstate, "message": error.diag.message_primary, "context": context}
        is_jobs = "pgqueue_run.job_" in context
        return self._worker_session.execute(
            "select id, ending from pgqueue._settle_run(%s, %s, %s, %s, 0.1, %s)",
            [self.ids, self.tokens, json.dumps(fields), is_jobs, self.session.info.backend_pid],
        ).fetchall()


def test_a_worker_that_dies_between_an_error_and_the_rest_of_its_chunk_loses_and_doubles_nothing(
    db, alice, owner, worker
):
    enqueue(alice, insert("a"), "select 1 / 0", insert("c"), insert("d"))
    chunk = Chunk(db, worker)
    error = chunk.run()
    assert chunk.settle(error) == [(chunk.ids[1], "failed"), (chunk.ids[2], None), (chunk.ids[3], None)]

    worker.kill()
    rescuer = Claimant(db, "w2")
    rescuer.tick()
    rest = Chunk(db, rescuer)

    assert rest.ids == chunk.ids[2:]
    # They had not begun when the worker died.
    assert [claim.redelivered for claim in rest.claims] == [False, False]
    # What is left of the dead worker calls with claims of old.
    assert chunk.run() is None
    assert fetch_value(owner, WORDS) == ["a"]
    assert rest.run() is None
    assert fetch_value(owner, WORDS) == ["a", "c", "d"]
    assert fetch_value(alice, ENDED) == ["succeeded", "failed", "succeeded", "succeeded"]
    assert fetch_value(owner, "select count(*) from pgqueue.message") == 0


def test_a_worker_that_dies_before_it_has_settled_an_error_leaves_the_job_to_fail_with_another(
    db, alice, owner, worker
):
    enqueue(alice, insert("a"), "select 1 / 0", insert("c"))
    chunk = Chunk(db, worker)
    error = chunk.run()

    worker.kill()
    rescuer = Claimant(db, "w2")
    rescuer.tick()
    rest = Chunk(db, rescuer)

    assert rest.ids == chunk.ids[1:]
    # The old one settles late: that is no longer its job.
    assert chunk.settle(error) == []
    assert rest.settle(rest.run()) == [(rest.ids[0], "failed"), (rest.ids[1], None)]
    rest.claims = rest.claims[1:]
    assert rest.run() is None
    assert fetch_value(owner, WORDS) == ["a", "c"]
    assert fetch_value(alice, ENDED) == ["succeeded", "failed", "succeeded"]
    assert fetch_value(alice, "select attempts from pgqueue.jobs where state = 'failed'") == 1


def test_a_presence_that_is_lost_while_a_chunk_runs_costs_no_job_and_repeats_none(
    db, alice, owner, worker, in_background
):
    enqueue(alice, insert("a"), f"lock table public.door; {insert('b')}", insert("c"))
    chunk = Chunk(db, worker)
    owner.execute("begin; lock table public.door")
    running = in_background(chunk.run)
    wait_until_blocked(db.server.admin, chunk.session.info.backend_pid)

    worker.kill()
    rescuer = Claimant(db, "w2")
    rescuer.tick()
    rest = Chunk(db, rescuer)
    # The second one runs: its row is locked, and nobody else gets it.
    assert rest.ids == chunk.ids[2:]
    assert rest.run() is None
    owner.execute("commit")

    assert running.result() is None
    assert fetch_value(owner, WORDS) == ["a", "b", "c"]
    assert fetch_value(alice, ENDED) == ["succeeded"] * 3
    assert fetch_value(owner, "select count(*) from pgqueue.message") == 0


def test_a_presence_that_is_lost_between_two_jobs_of_a_chunk_costs_no_job_and_repeats_none(db, alice, owner, worker):
    enqueue(alice, insert("a"), insert("b"))
    chunk = Chunk(db, worker)

    worker.kill()
    rescuer = Claimant(db, "w2")
    rescuer.tick()
    assert chunk.run() is None
    assert fetch_value(owner, WORDS) is None
    rest = Chunk(db, rescuer)

    assert rest.run() is None
    assert fetch_value(owner, WORDS) == ["a", "b"]


def test_a_cancel_that_comes_too_late_reaches_neither_the_next_job_nor_what_the_session_does_after_the_last(
    db, alice, owner, worker, in_background
):
    enqueue(alice, *[f"lock table public.door; {insert(word)}" for word in "ab"])
    chunk = Chunk(db, worker)
    pid = chunk.session.info.backend_pid
    batch_monitor = db.connect()

    for job in range(2):
        owner.execute("begin; lock table public.door")
        running = in_background(chunk.run)
        wait_until_blocked(db.server.admin, pid)
        batch_monitor.execute("begin")
        batch_monitor.execute("lock table pgqueue.run_gate in exclusive mode")
        behind = chunk.ids[job + 1 :]
        batch_monitor.execute("select from pgqueue.message where id = any (%s) for update", [behind])
        # It has seen that the job runs. Now the job ends, and then comes the signal.
        owner.execute("commit")
        eventually(lambda ended=job + 1: fetch_value(alice, ENDED) == ["succeeded"] * ended)
        wait_until_blocked(db.server.admin, pid)
        batch_monitor.execute("select pg_cancel_backend(%s)", [pid])

        error = running.result()
        batch_monitor.execute("commit")

        # Neither the row of the next job, for which its runner waited, nor the gate behind the last one belongs to a job.
        assert (error.sqlstate, "pgqueue_take.take_" in error.diag.context) == ("57014", job == 0)
        assert chunk.settle(error) == [(id, None) for id in behind]

    assert fetch_value(owner, WORDS) == ["a", "b"]
    assert fetch_value(owner, "select count(*) from pgqueue.message") == 0


def test_who_stops_a_job_holds_the_jobs_behind_it_and_signals_nobody_while_another_has_their_rows(
    db, alice, owner, worker, in_background
):
    enqueue(alice, f"lock table public.door; {insert('a')}", insert("b"))
    chunk = Chunk(db, worker)
    pid = chunk.session.info.backend_pid
    run = [chunk.ids[0], chunk.tokens[0], pid]
    stop, behind = "select pgqueue._stop_run(%s, %s, %s, false, %s, %s)", [chunk.ids[1:], chunk.tokens[1:]]
    owner.execute("begin; lock table public.door")
    running = in_background(chunk.run)
    wait_until_blocked(db.server.admin, pid)
    batch_monitor = db.connect(worker.role)

    # Behind a row that another session has, the job behind would begin when that session lets it go.
    other = db.connect()
    other.execute("begin")
    other.execute("select from pgqueue.message where id = %s for update", [chunk.ids[1]])
    assert fetch_value(batch_monitor, stop, [*run, *behind]) is False
    other.execute("rollback")

    batch_monitor.execute("begin")
    assert fetch_value(batch_monitor, stop, [*run, *behind]) is True
    error = running.result()
    assert (error.sqlstate, chunk.settle(error)) == ("57014", [(chunk.ids[0], "failed"), (chunk.ids[1], None)])
    owner.execute("commit")
    # Until it has sent its signal and committed, the session cannot begin the job behind.
    again = in_background(chunk.run)
    wait_until_blocked(db.server.admin, pid)
    batch_monitor.execute("commit")

    assert again.result() is None
    assert fetch_value(owner, WORDS) == ["b"]
    # A job that has ended is not stopped, and whoever runs is not the one that was meant.
    assert fetch_value(batch_monitor, stop, [*run, *behind]) is False


@pytest.mark.parametrize(
    ("line", "ending"), [("pgqueue_take.take_", None), ("execute pg_catalog.concat(job.sql", "failed")]
)
def test_a_late_signal_just_before_a_runner_takes_its_job_fails_no_job(db, alice, owner, worker, line, ending):
    """Between two statements of the runner nothing but its own line says where it was."""
    enqueue(alice, insert("a"))
    chunk = Chunk(db, worker)
    (role,) = {claim.message for claim in chunk.claims}
    source = fetch_value(owner, "select prosrc from pg_proc where proname = %s", [f"job_{role}"])
    number = next(n for n, text in enumerate(source.split("\n"), 1) if line in text)
    context = f"PL/pgSQL function pgqueue_run.job_{role}(bigint,bigint) line {number} at assignment"
    error = {"sqlstate": "57014", "message": "canceling statement due to user request", "context": context}

    settled = worker.settle_run(chunk.claims, error, chunk.session.info.backend_pid, is_jobs=True)

    assert settled == [(chunk.ids[0], ending)]
