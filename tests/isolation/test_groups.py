"""Jobs that share a transaction, and whoever acts or dies between two lines of it.

The lines: the claim; the call (the locks of all rows, job after job, the end of the group, the commit, the gate); the answer; what failed in the group, by itself. Who acts between them: the session that runs the group, which may
be ended; its worker, which may die or lose its presence; another worker that takes over; whoever cancels; other
transactions that want the same rows.
"""

import psycopg
import pytest

from pgqueue.worker.batch import BatchJob, Chunk
from pgqueue.worker.batch_lane import BatchRunner
from pgqueue.worker.batch_monitor import BatchMonitor
from pgqueue.worker.running.error_fields import ConnectionLost
from tests.harness import eventually, wait_until_blocked
from tests.harness.claimant import Claimant, terminate
from tests.harness.people import fetch_value

WORDS = "select coalesce(array_agg(word order by word), '{}') from public.seen"
ENDED = "select array_agg(state::text order by id) from pgqueue.jobs where ended_at is not null"
ATTEMPTS = "select array_agg(attempts order by id) from pgqueue.jobs"
CANCEL = "select pgqueue.cancel(%s::pgqueue.handle)"
RUNS = "select pid from pg_stat_activity where datname = current_database() and application_name like '%batches' and wait_event_type = 'Lock'"
TRANSACTIONS = "select count(distinct xact) from pgqueue.history"


@pytest.fixture(autouse=True)
def seen(owner, alice):
    owner.execute(
        """create table public.seen (word text); create table public.door ();
           grant all on public.seen, public.door to alice;
           select pgqueue.configure('group_commit', '100', queue => 'default')"""
    )


@pytest.fixture
def runner(alice, owner, worker, context, kept):
    """An executor that has run jobs before: to plan them for the first time takes longer than a group may."""
    made = BatchRunner("pgqueue executor 1", context, kept, lambda *_told: None)
    enqueue(alice, *[f"lock table public.door; {insert('warm')}"] * 4)
    made.run(chunk_of(worker))
    owner.execute("delete from pgqueue.history; delete from public.seen")
    return made


@pytest.fixture
def warm(db, alice, owner, worker):
    """A session of an executor that has run jobs before."""
    enqueue(alice, *[f"lock table public.door; {insert('warm')}"] * 4)
    group = Group(db, worker)
    group.run()
    owner.execute("delete from pgqueue.history; delete from public.seen")
    return group.session


def insert(word):
    return f"insert into public.seen values ('{word}')"


def behind_the_door(word):
    return f"lock table public.door; {insert(word)}"


def enqueue(session, *statements):
    rows = session.execute(
        "select h::text, (h).id from pgqueue.enqueue_many(%s) h order by 2", [list(statements)]
    ).fetchall()
    return [row[0] for row in rows]


class Group:
    """Jobs that a worker has claimed, and the session that runs them as one."""

    def __init__(self, db, worker, session=None):
        self.session = session or db.connect_executor()
        self.claims = worker.claim()
        self.ids = [claim.id for claim in self.claims]
        self.tokens = [claim.token for claim in self.claims]
        (self.role,) = {role_of(claim) for claim in self.claims}

    @property
    def pid(self):
        return self.session.info.backend_pid

    def run(self):
        """Call, again for what was not begun; return which failed, or the error that ended it."""
        call = f"call pgqueue_run.groups_{self.role}(%s, %s, 'w1', null, null)"
        failed, place = [], 0
        while place < len(self.ids):
            try:
                alone, tried = self.session.execute(call, [self.ids[place:], self.tokens[place:]]).fetchone()
            except psycopg.Error as error:
                return error
            failed += alone
            place += tried
        return failed


def end(group, running):
    """Return which failed when the door is open: on a busy machine it was closed for longer than a group may take."""
    result = running.result()
    if isinstance(result, psycopg.errors.QueryCanceled) and "500 ms" in str(result):
        return group.run()
    return result


def role_of(claim):
    return claim.message if isinstance(claim.message, int) else claim.message[0]


def chunk_of(worker):
    return Chunk([BatchJob.from_claim(c.id, c.token, c.message, f"{c.id}:{c.token}", c.queue) for c in worker.claim()])


def close_door(owner):
    owner.execute("begin; lock table public.door")


def test_jobs_of_a_group_commit_together(db, alice, owner, worker, warm, in_background):
    enqueue(alice, insert("a"), insert("b"), behind_the_door("c"))
    group = Group(db, worker, warm)
    close_door(owner)
    running = in_background(group.run)
    wait_until_blocked(db.server.admin, group.pid)

    assert fetch_value(db.connect(), WORDS) == []
    owner.execute("commit")

    assert end(group, running) == []
    assert fetch_value(owner, WORDS) == ["a", "b", "c"]
    assert fetch_value(alice, ENDED) == ["succeeded"] * 3
    assert fetch_value(owner, TRANSACTIONS) == 1
    assert fetch_value(owner, "select count(*) from pgqueue.message") == 0


def test_a_worker_that_dies_between_the_claim_and_the_call_loses_and_doubles_nothing(db, alice, owner, worker):
    enqueue(alice, insert("a"), insert("b"))
    group = Group(db, worker)

    worker.kill()
    rescuer = Claimant(db, "w2")
    rescuer.tick()
    # What is left of the dead worker calls with claims of old.
    assert group.run() == []
    assert fetch_value(owner, WORDS) == []
    again = Group(db, rescuer)

    assert again.ids == group.ids
    # They had not begun, so they share a transaction again.
    assert all(not claim.redelivered and isinstance(claim.message, list) for claim in again.claims)
    assert again.run() == []
    assert fetch_value(owner, WORDS) == ["a", "b"]


def test_a_presence_that_is_lost_while_a_group_runs_costs_no_job_and_repeats_none(
    db, alice, owner, worker, warm, in_background
):
    enqueue(alice, insert("a"), insert("b"), behind_the_door("c"))
    group = Group(db, worker, warm)
    close_door(owner)
    running = in_background(group.run)
    wait_until_blocked(db.server.admin, group.pid)

    worker.kill()
    rescuer = Claimant(db, "w2")
    rescuer.tick()
    assert rescuer.claim() == []
    owner.execute("commit")

    assert end(group, running) == []
    rescuer.tick()
    assert [rescuer.run(claim) for claim in rescuer.claim()] in ([], ["succeeded"] * 3)
    assert fetch_value(owner, WORDS) == ["a", "b", "c"]
    assert fetch_value(alice, ATTEMPTS) == [1, 1, 1]


def test_a_worker_and_a_session_that_die_while_a_group_runs_leave_jobs_that_run_by_themselves(
    db, alice, owner, worker, warm, in_background
):
    enqueue(alice, insert("a"), insert("b"), behind_the_door("c"))
    group = Group(db, worker, warm)
    close_door(owner)
    running = in_background(group.run)
    wait_until_blocked(db.server.admin, group.pid)

    worker.kill()
    terminate(db, group.session)
    assert isinstance(running.result(), psycopg.OperationalError)
    owner.execute("commit")
    assert fetch_value(owner, WORDS) == []
    rescuer = Claimant(db, "w2")
    rescuer.tick()
    claims = rescuer.claim()

    # One of them may have been the reason: which one, their next runs show.
    assert [type(claim.message) for claim in claims] == [int] * 3
    assert [rescuer.run(claim) for claim in claims] == ["succeeded"] * 3
    assert fetch_value(owner, WORDS) == ["a", "b", "c"]
    assert fetch_value(alice, ATTEMPTS) == [1, 1, 1]


def test_a_session_that_is_ended_counts_for_no_job_of_its_group(db, alice, owner, worker, runner, in_background):
    owner.execute(f"alter database {db.name} set pgqueue.max_lost_sessions = 1")
    enqueue(alice, insert("a"), behind_the_door("b"), insert("c"))
    chunk = chunk_of(worker)
    close_door(owner)

    run = in_background(runner.run, chunk)
    [(pid,)] = eventually(lambda: db.execute(RUNS))
    owner.execute("select pg_terminate_backend(%s)", [pid])
    owner.execute("commit")
    run.result()

    assert fetch_value(alice, ENDED) == ["succeeded"] * 3
    assert fetch_value(alice, ATTEMPTS) == [1, 1, 1]
    assert fetch_value(owner, WORDS) == ["a", "b", "c"]
    assert fetch_value(owner, "select count(*) from pgqueue.lost_session") == 0
    assert fetch_value(owner, TRANSACTIONS) == 3


def test_a_job_that_ends_each_session_it_runs_in_is_found_and_fails_alone(db, alice, superuser, owner, worker, runner):
    owner.execute(f"alter database {db.name} set pgqueue.max_lost_sessions = 1")
    superuser.execute(
        """create function public.fall() returns void language sql security definer as 'select pg_terminate_backend(pg_backend_pid())';
           grant execute on function public.fall() to alice"""
    )
    enqueue(alice, insert("a"), f"{insert('b')}; select public.fall()", insert("c"))

    runner.run(chunk_of(worker))

    assert fetch_value(alice, ENDED) == ["succeeded", "failed", "succeeded"]
    assert fetch_value(owner, WORDS) == ["a", "c"]
    assert fetch_value(alice, ATTEMPTS) == [1, 1, 1]


def test_an_answer_that_is_lost_after_the_commit_repeats_no_job(alice, owner, worker, kept, runner, monkeypatch):
    enqueue(alice, insert("a"), insert("b"))
    chunk = chunk_of(worker)
    session = kept.open()
    call = session.call_named

    def lose(*args, **params):
        call(*args, **params)
        session.close()
        raise ConnectionLost(psycopg.OperationalError("the connection is lost"))

    monkeypatch.setattr(session, "call_named", lose)
    runner.run(chunk)

    assert fetch_value(owner, WORDS) == ["a", "b"]
    assert fetch_value(alice, ATTEMPTS) == [1, 1]
    assert fetch_value(owner, TRANSACTIONS) == 1


def test_a_worker_that_dies_between_a_group_and_what_failed_in_it_leaves_that_to_another(db, alice, owner, worker):
    enqueue(alice, insert("a"), "select 1 / 0", insert("c"))
    group = Group(db, worker)

    assert group.run() == [group.ids[1]]
    assert fetch_value(owner, WORDS) == ["a", "c"]
    worker.kill()
    rescuer = Claimant(db, "w2")
    rescuer.tick()
    claim = rescuer.claim_one()

    assert (claim.id, type(claim.message)) == (group.ids[1], int)
    assert rescuer.run(claim) == "failed"
    assert fetch_value(alice, ENDED) == ["succeeded", "failed", "succeeded"]
    assert fetch_value(alice, ATTEMPTS) == [1, 1, 1]


@pytest.mark.parametrize("canceled", [0, 1, 2], ids=["has run", "runs", "is to run"])
def test_a_job_that_is_canceled_while_its_group_runs_does_not_commit_and_the_others_do(
    db, alice, owner, worker, runner, in_background, canceled
):
    handles = enqueue(alice, insert("a"), behind_the_door("b"), insert("c"))
    chunk = chunk_of(worker)
    close_door(owner)
    run = in_background(runner.run, chunk)
    eventually(lambda: db.execute(RUNS))

    # Whatever becomes of the signal: here nobody sends one.
    assert fetch_value(alice, CANCEL, [handles[canceled]]) is True
    owner.execute("commit")
    run.result()

    expected = ["succeeded"] * 3
    expected[canceled] = "canceled"
    assert fetch_value(alice, ENDED) == expected
    assert fetch_value(owner, WORDS) == [word for n, word in enumerate("abc") if n != canceled]


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_a_cancel_that_comes_after_the_end_of_the_group_was_written_waits_for_it(
    db, alice, owner, worker, in_background, end
):
    handles = enqueue(alice, insert("a"), insert("b"))
    group = Group(db, worker)
    session = db.connect()
    session.execute("begin")
    session.execute(f"select pgqueue_take.takes_{group.role}(%s, %s)", [group.ids, group.tokens])
    session.execute(
        "select pgqueue_run.finish_group(%s, %s, '{1, 1}', array[now(), now()], array[now(), now()], 'w1')",
        [group.ids, group.tokens],
    )

    canceled = in_background(fetch_value, alice, CANCEL, [handles[0]])
    eventually(lambda: fetch_value(owner, "select count(*) = 1 from pgqueue.request"))
    assert not canceled.done()
    session.execute(end)

    # After a rollback it is a job that has not begun.
    assert canceled.result(timeout=20) is (end == "rollback")
    assert (fetch_value(alice, ENDED) or []) == (["succeeded"] * 2 if end == "commit" else [])


def test_a_job_whose_claim_is_lost_before_the_end_of_its_group_runs_once(db, alice, owner, worker):
    # A session that did not lock first: the token alone has to hold.
    enqueue(alice, insert("a"), insert("b"))
    group = Group(db, worker)
    worker.kill()
    rescuer = Claimant(db, "w2")
    rescuer.tick()
    [first, *_] = rescuer.claim(max_count=1)
    session = db.connect()
    finish = "select pgqueue_run.finish_group(%s, %s, '{1, 1}', array[now(), now()], array[now(), now()], 'w1')"

    with pytest.raises(psycopg.Error) as raised:
        session.execute(finish, [group.ids, group.tokens])

    assert raised.value.sqlstate == "PQ002"
    assert rescuer.claim()[0].id == group.ids[1]
    assert first.id == group.ids[0]


def test_a_signal_that_comes_after_the_commit_of_a_group_reaches_nobody(
    db, alice, owner, worker, runner, in_background
):
    enqueue(alice, insert("a"), behind_the_door("b"))
    chunk = chunk_of(worker)
    close_door(owner)
    run = in_background(runner.run, chunk)
    [(pid,)] = eventually(lambda: db.execute(RUNS))
    monitor = db.connect()
    monitor.execute("begin; lock table pgqueue.run_gate in exclusive mode")
    # It has seen that the group runs. Now the group ends, and then comes the signal.
    owner.execute("commit")
    eventually(lambda: fetch_value(alice, ENDED) == ["succeeded"] * 2)
    wait_until_blocked(db.server.admin, pid)
    monitor.execute("select pg_cancel_backend(%s)", [pid])
    monitor.execute("commit")
    run.result()

    assert fetch_value(owner, WORDS) == ["a", "b"]
    assert fetch_value(alice, ENDED) == ["succeeded"] * 2
    assert fetch_value(owner, "select count(*) from pgqueue.message") == 0


def test_a_signal_for_a_job_that_has_just_failed_reaches_no_job_of_the_next_group(
    db, alice, owner, worker, runner, in_background
):
    """That group would roll back, unless its job catches the signal, as this one does."""
    catches = "do $$ begin perform pg_sleep(0.2); exception when query_canceled then insert into public.seen values ('x'); end $$"
    enqueue(alice, "lock table public.door; select 1 / 0", catches, insert("b"))
    [failing, *others] = chunk_of(worker).jobs
    close_door(owner)
    run = in_background(runner.run, Chunk([failing._replace(group_commit=1), *others]))
    [(pid,)] = eventually(lambda: db.execute(RUNS))
    monitor = db.connect()
    monitor.execute("begin; lock table pgqueue.run_gate in exclusive mode")
    # The monitor has seen that the job runs. Now it ends, and then comes the signal.
    owner.execute("commit")
    eventually(lambda: fetch_value(alice, ENDED) == ["failed"])
    # At the gate, or in the job that catches.
    eventually(
        lambda: db.execute(
            "select pid from pg_stat_activity where pid = %s and wait_event_type in ('Lock', 'Timeout')", [pid]
        )
    )
    monitor.execute("select pg_cancel_backend(%s)", [pid])
    monitor.execute("commit")
    run.result()

    assert fetch_value(alice, ENDED) == ["failed", "succeeded", "succeeded"]
    assert fetch_value(owner, WORDS) == ["b"]


def test_a_signal_for_a_group_does_not_reach_a_job_of_it_that_runs_again_by_itself(
    db, alice, owner, worker, in_background
):
    enqueue(alice, behind_the_door("a"), insert("b"))
    group = Group(db, worker)
    close_door(owner)
    running = in_background(group.run)
    wait_until_blocked(db.server.admin, group.pid)
    monitor = db.connect(worker.role)
    pids = [group.pid] * 2
    observed = "select xact from pgqueue._oversee(%s, %s, %s, 0, 2000)"
    xacts = {row[0] for row in monitor.execute(observed, [group.ids, group.tokens, pids]).fetchall()}
    assert len(xacts) == 1
    stop = "select pgqueue._stop_run(%s, %s, %s, false, '{}', '{}', %s)"
    key = [group.ids[0], group.tokens[0], group.pid]

    assert fetch_value(monitor, stop, [*key, *xacts]) is True
    assert running.result().sqlstate == "57014"
    call = f"call pgqueue_run.jobs_{group.role}(%s, %s, 'w1')"
    again = in_background(group.session.execute, call, [group.ids, group.tokens])
    wait_until_blocked(db.server.admin, group.pid)

    assert fetch_value(monitor, stop, [*key, *xacts]) is False
    owner.execute("commit")
    again.result()
    assert fetch_value(owner, WORDS) == ["a", "b"]


def test_what_becomes_deferrable_while_a_group_runs_breaks_it_up(db, alice, owner, worker, runner, in_background):
    """The group has begun where nothing could be deferred, and has spared its jobs a step for that."""
    owner.execute(
        """create table public.item (n int); grant all on public.item to alice;
           create function public.late() returns trigger language plpgsql as
             $$ begin insert into public.seen values (current_user || ' ' || new.n); return null; end $$"""
    )
    enqueue(alice, insert("a"), behind_the_door("b"), "insert into public.item values (1)", insert("d"))
    chunk = chunk_of(worker)
    close_door(owner)
    run = in_background(runner.run, chunk)
    eventually(lambda: db.execute(RUNS), what="the group waits at the door")

    owner.execute(
        """create constraint trigger late after insert on public.item deferrable initially deferred
             for each row execute function public.late()"""
    )
    owner.execute("commit")
    run.result()

    assert fetch_value(alice, ENDED) == ["succeeded"] * 4
    assert fetch_value(alice, ATTEMPTS) == [1] * 4
    assert fetch_value(owner, WORDS) == ["a", "alice 1", "b", "d"]
    assert fetch_value(owner, TRANSACTIONS) == 4


def test_a_deadlock_fails_no_job_of_the_group(db, alice, owner, worker, runner, in_background):
    owner.execute("create table public.item (id int primary key, n int); insert into public.item values (1, 0), (2, 0)")
    owner.execute("grant all on public.item to alice")
    enqueue(alice, insert("a"), *[f"update public.item set n = n + 1 where id = {n}" for n in (1, 2)], insert("d"))
    chunk = chunk_of(worker)
    other = db.connect()
    other.execute("begin; update public.item set n = n + 10 where id = 2")
    run = in_background(runner.run, chunk)
    eventually(lambda: db.execute(RUNS), what="the group waits for the other transaction")

    # Who has waited for longer is the one that the server chooses: the group.
    other.execute("update public.item set n = n + 10 where id = 1")
    other.execute("commit")
    run.result()

    assert fetch_value(alice, ENDED) == ["succeeded"] * 4
    assert fetch_value(alice, ATTEMPTS) == [1] * 4
    assert fetch_value(owner, "select array_agg(n order by id) from public.item") == [11, 11]
    assert fetch_value(owner, WORDS) == ["a", "d"]


def test_a_conflict_that_a_job_reports_breaks_the_group_up_and_is_that_jobs_own(alice, owner, worker, runner):
    raises = "do $$ begin raise 'again' using errcode = '40001'; end $$"
    enqueue(alice, insert("a"), raises, insert("c"))

    runner.run(chunk_of(worker))

    left = owner.execute("select state::text, attempts, last_error ->> 'sqlstate' from pgqueue.message").fetchall()
    assert left == [("delayed", 1, "40001")]
    assert fetch_value(owner, WORDS) == ["a", "c"]
    assert fetch_value(
        alice, "select array_agg(attempts order by id) from pgqueue.jobs where ended_at is not null"
    ) == [1, 1]


@pytest.mark.parametrize("is_watched", [True, False])
def test_a_group_that_takes_long_does_not_commit_and_its_jobs_run_by_themselves(
    alice, owner, worker, context, runner, is_watched
):
    # It catches whatever cancels it: what it does then must not be what commits.
    sly = "do $$ begin perform pg_sleep(0.7); exception when query_canceled then insert into public.seen values ('x'); end $$"
    enqueue(alice, insert("a"), sly, insert("c"))
    chunk = chunk_of(worker)
    watch = BatchMonitor(context.database, lambda: [chunk], *[lambda *_told: None] * 3)

    if is_watched:
        watch.start()
    runner.run(chunk)
    watch.stop()

    states = fetch_value(alice, ENDED)
    assert states[:2] == ["succeeded"] * 2
    assert "x" not in fetch_value(owner, WORDS)
    assert fetch_value(alice, "select max(attempts) from pgqueue.jobs") == 1


def test_what_waits_behind_the_job_of_a_group_that_is_not_over_is_not_given_back(
    db, alice, owner, worker, in_background
):
    enqueue(alice, behind_the_door("a"), insert("b"))
    group = Group(db, worker)
    close_door(owner)
    running = in_background(group.run)
    wait_until_blocked(db.server.admin, group.pid)

    released = db.connect(worker.role).execute("select pgqueue._release_waiting(%s, %s)", [group.ids, group.tokens])
    assert released.fetchone() == (None,)
    owner.execute("commit")

    assert end(group, running) == []


def test_two_groups_that_enqueue_for_each_other_lose_nothing(db, alice, owner, worker, in_background):
    more = "select pgqueue.enqueue(format('insert into public.seen values (%L)', w)) from unnest(array['x', 'y']) w"
    enqueue(alice, behind_the_door("a"), more)
    first = Group(db, worker)
    enqueue(alice, insert("b"), more)
    second = Group(db, worker)
    close_door(owner)
    running = in_background(first.run)
    wait_until_blocked(db.server.admin, first.pid)
    assert second.run() == []
    owner.execute("commit")
    assert end(first, running) == []

    rest = Group(db, worker)
    assert rest.run() == []
    assert fetch_value(owner, WORDS) == ["a", "b", "x", "x", "y", "y"]


def test_jobs_of_two_queues_share_no_transaction(db, alice, owner, worker, runner):
    owner.execute("select pgqueue.configure('group_commit', '2', queue => 'other')")
    for queue, word in zip(["default", "other"] * 3, "abcdef", strict=True):
        alice.execute("select pgqueue.enqueue(%s, queue => %s)", [insert(word), queue])
    claims = worker.claim("default", "other")
    chunk = Chunk([BatchJob.from_claim(c.id, c.token, c.message, f"{c.id}:{c.token}", c.queue) for c in claims])

    runner.run(chunk)

    by_transaction = "select array_agg(n order by n) from (select count(*) n, count(distinct queue) q from pgqueue.history group by xact) x where q = 1"
    assert fetch_value(owner, by_transaction) == [1, 2, 3]


def test_jobs_that_were_lost_or_have_failed_run_by_themselves(alice, owner, worker, runner):
    enqueue(alice, insert("a"), insert("b"), insert("c"))
    worker.release(*worker.claim(max_count=1), undelivered=False)
    owner.execute("update pgqueue.message set attempts = 1 where id = (select max(id) from pgqueue.message)")

    assert sorted(type(claim.message).__name__ for claim in worker.claim()) == ["int", "int", "list"]


def test_the_largest_group_is_as_configured(alice, owner, worker, runner):
    owner.execute("select pgqueue.configure('group_commit', '2', queue => 'default')")
    enqueue(alice, *map(insert, "abcde"))

    runner.run(chunk_of(worker))

    sizes = "select array_agg(n order by n) from (select count(*) n from pgqueue.history group by xact) x"
    assert fetch_value(owner, sizes) == [1, 2, 2]


@pytest.mark.parametrize(("kinds", "is_async"), [(["async", "async"], True), (["async", "sync"], False)])
def test_a_group_waits_for_the_disk_unless_no_job_of_it_does(alice, worker, db, warm, kinds, is_async):
    for kind in kinds:
        alice.execute("select pgqueue.enqueue('select 1', durability => %s)", [kind])
    group = Group(db, worker, warm)

    run = f"select is_async, cardinality(done_ids) from pgqueue_run.group_{group.role}(%s, %s)"
    assert group.session.execute(run, [group.ids, group.tokens]).fetchone() == (is_async, 2)
