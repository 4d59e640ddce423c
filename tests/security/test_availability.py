"""What any role can hold on to, and that it stops neither upkeep nor results nor those who wait."""

import psycopg
import pytest

from tests.harness import eventually
from tests.harness.people import fetch_value, refused
from tests.security.conftest import call_of

CLASSES = ("worker", "sleeper", "upkeep", "next_sleeper", "storing", "result_waiter", "leader", "follower")


@pytest.fixture
def mallory(db):
    """A role with no rights in pgqueue at all, which can connect."""
    db.create_role("mallory", enrolled=False)
    return db.connect("mallory")


def hold_every_lock(session, owner, numbers=range(65)):
    """Take all of pgqueue's advisory locks that somebody could think of."""
    for purpose in CLASSES:
        lock_class = fetch_value(owner, "select pgqueue._lock_class(%s)", [purpose])
        session.execute("select pg_try_advisory_lock(%s, n) from unnest(%s::int[]) n", [lock_class, list(numbers)])


def test_whoever_holds_the_locks_of_upkeep_does_not_stop_it(mallory, owner, worker):
    hold_every_lock(mallory, owner)
    owner.execute("insert into pgqueue.nonce values (1, now() - interval '1 h')")

    worker.tick()

    assert fetch_value(owner, "select count(*) from pgqueue.nonce") == 0


def test_a_lost_workers_jobs_are_rescued_although_somebody_holds_its_locks(db, mallory, alice, owner, worker):
    from tests.harness.claimant import Claimant

    rescuer = Claimant(db, "w2")
    alice.execute("select pgqueue.launch('select 1')")
    worker.claim_one()
    number = worker.id
    worker.kill()
    hold_every_lock(mallory, owner, [0, number])

    rescuer.tick()

    # Nobody had begun it.
    assert not rescuer.claim_one().redelivered


def test_results_are_stored_although_somebody_holds_their_locks(mallory, alice, owner):
    hold_every_lock(mallory, owner)

    alice.execute("select pgqueue._store_task_result('t', 'SUCCESS', 'application/json', '{\"result\": 1}', '1 h')")

    assert fetch_value(alice, "select pgqueue.task_result('t') ->> 'state'") == "SUCCESS"


def test_a_wait_ends_although_somebody_holds_the_lock_of_the_job(mallory, alice, owner, worker, in_background):
    handle = fetch_value(alice, "select pgqueue.launch('select 1')")
    claim = worker.claim_one()
    executor = worker.executor("alice")
    executor.lock(claim)
    # Before it runs nobody can know the key. Then whoever comes first is next.
    seen = "select (classid::bigint << 32) | objid::bigint from pg_locks where locktype = 'advisory' and objsubid = 1"
    [(key,)] = mallory.execute(seen + " and pid = %s", [executor.session.info.backend_pid]).fetchall()
    taken = in_background(mallory.execute, "select pg_advisory_lock(%s)", [key])
    waiters = "select count(*) = %s from pg_locks where locktype = 'advisory' and not granted"
    eventually(lambda: fetch_value(owner, waiters, [1]))
    waiting = in_background(fetch_value, alice, "select pgqueue.wait(%s::pgqueue.handle)", [handle])
    eventually(lambda: fetch_value(owner, waiters, [2]))

    executor.execute(claim)
    executor.commit()
    taken.result(timeout=20)

    assert waiting.result(timeout=20) is True


def test_a_worker_registers_and_sleeps_beside_taken_locks(db, mallory, owner):
    from tests.harness.claimant import Claimant

    hold_every_lock(mallory, owner, range(-5, 50))

    worker = Claimant(db, "w3")

    worker.fall_asleep("default")
    assert worker.claim() == []


def test_an_event_trigger_that_refuses_partitions_does_not_stop_the_rescue_of_jobs(db, alice, owner, superuser, worker):
    from tests.harness.claimant import Claimant

    alice.execute("select pgqueue.launch('select 1')")
    worker.claim_one()
    worker.kill()
    newest = "select max(inhrelid::regclass::text) from pg_inherits where inhparent = 'pgqueue.history'::regclass and inhrelid::regclass::text ~ '[0-9]$'"
    owner.execute(f"drop table {fetch_value(owner, newest)}")
    superuser.execute(
        """create function refuse() returns event_trigger language plpgsql as $$ begin raise exception 'no changes today'; end $$;
           create event trigger guard on ddl_command_start execute function refuse()"""
    )
    rescuer = Claimant(db, "w2")
    warnings = []
    rescuer.session.add_notice_handler(lambda notice: warnings.append(notice.message_primary))

    rescuer.tick()

    assert rescuer.claim_one()
    assert warnings == ["upkeep of pgqueue failed (new partitions): no changes today"]
    assert fetch_value(owner, "select part from pgqueue.upkeep_failure") == "new partitions"


def test_no_lock_that_a_stranger_can_take_keeps_a_job_from_being_canceled(
    db, mallory, alice, owner, worker, in_background
):
    ids = [
        fetch_value(alice, f"select (pgqueue.submit('{statement}')).id")
        for statement in ("select 1", "select pg_sleep(60)")
    ]
    tokens = {claim.id: claim.token for claim in worker.claim()}
    executor = db.connect_executor()
    running = in_background(refused, executor, call_of(alice), [ids, [tokens[number] for number in ids]])
    run = [ids[1], tokens[ids[1]], executor.info.backend_pid]
    eventually(lambda: fetch_value(owner, "select pgqueue._runs(%s, %s, %s)", run))
    # Every advisory lock that anybody holds, and the one for which the key of its lock was made before.
    for keys in owner.execute(
        "select classid::bigint, objid::bigint from pg_locks where locktype = 'advisory'"
    ).fetchall():
        mallory.execute("select pg_try_advisory_lock_shared((%s::bigint << 32) | %s)", keys)
    assert refused(mallory, "do $$ begin lock table pgqueue.run_gate in access share mode; end $$").sqlstate == "42501"
    assert refused(mallory, "select from pgqueue.message for update").sqlstate == "42501"

    overseer = db.connect(worker.role)
    assert fetch_value(overseer, "select pgqueue._stop_run(%s, %s, %s, false, '{}', '{}')", run) is True
    assert running.result(timeout=20).sqlstate == "57014"
    assert fetch_value(alice, "select state::text from pgqueue.jobs where id = %s", [ids[0]]) == "succeeded"


def test_an_executor_that_is_frozen_between_two_jobs_holds_up_neither_the_others_nor_a_cancel_for_long(
    db, alice, owner, worker, in_background
):
    # A session that was stopped while it passes the gate keeps the gate's lock.
    owner.execute("begin; lock table pgqueue.run_gate in row share mode")
    overseer = db.connect(worker.role)
    overseer.execute("set statement_timeout = '20 s'")
    assert fetch_value(overseer, "select pgqueue._stop_run(1, 1, 1, false, '{}', '{}')") is False
    number = fetch_value(alice, "select (pgqueue.submit('select 1')).id")
    claim = worker.claim_one()

    executor = db.connect_executor()
    executor.execute("set statement_timeout = '20 s'")
    executor.execute(call_of(alice), [[number], [claim.token]])

    assert fetch_value(alice, "select state::text from pgqueue.jobs") == "succeeded"


def test_a_queue_that_somebody_is_declaring_holds_up_no_worker(db, bob, owner, worker):
    other = db.connect("bob")
    for session in (bob, other):
        session.execute("select pgqueue._declare_queue('mine', true, false, false, '{\"x-expires\": 1}')")
    bob.execute("begin; select pgqueue._declare_queue('mine', true, false, true, null)")

    worker.set_queues("mine", "default")
    worker.tick()

    bob.execute("rollback")
    owner.execute("set lock_timeout = '1s'")
    worker.session.execute("select pgqueue._declare_queue('default', true, false, false, null)")


def test_a_group_that_somebody_holds_in_a_transaction_holds_up_no_upkeep(bob, owner, worker):
    bob.execute("select pgqueue._set_chord_size('g', 5, '-1 s')")
    bob.execute("begin; select pgqueue._add_chord_part('g', 1, 't', '', '1 h')")
    owner.execute("insert into pgqueue.nonce values (1, now() - interval '1 h')")

    worker.tick()

    assert fetch_value(owner, "select count(*) from pgqueue.nonce") == 0


def test_a_reader_that_stays_in_its_transaction_holds_up_no_upkeep(alice, owner, worker):
    owner.execute("insert into pgqueue.nonce values (1, now() - interval '1 h')")
    owner.execute(
        """create table pgqueue.history_20200101 partition of pgqueue.history for values from ('2020-01-01 00:00+00') to ('2020-01-02 00:00+00')"""
    )

    alice.execute("begin; select count(*) from pgqueue.jobs")

    worker.tick()

    assert fetch_value(owner, "select count(*) from pgqueue.nonce") == 0


@pytest.mark.parametrize("channel", ["pgqueue.w.1", "pgqueue.q.1", "pgqueue.bindings", "pgqueue.r.1"])
def test_notifications_of_a_stranger_carry_nothing_and_reveal_nothing(mallory, alice, worker, channel):
    mallory.execute(psycopg.sql.SQL("listen {}").format(psycopg.sql.Identifier(channel)))
    worker.fall_asleep("default")
    alice.execute("select pgqueue.launch('select ''secret''')")
    mallory.execute('select pg_notify(%s, \'{"op": "cancel", "id": 1}\')', [channel])

    assert worker.run_next() == "succeeded"
    assert "secret" not in str(list(mallory.notifies(timeout=0.2)))


def test_a_stranger_reaches_neither_views_nor_functions_nor_the_schema(db, mallory):
    for statement in (
        "select * from pgqueue.jobs",
        "select pgqueue.launch('select 1')",
        "select pgqueue._lock_class('sleeper')",
        "create table pgqueue.mine ()",
        f"select * from {db.server.dblink_schema}.dblink('select 1') as t (x int)",
    ):
        assert refused(mallory, statement).sqlstate == "42501", statement


def test_the_sleepers_locks_held_by_a_stranger_lose_no_message(mallory, alice, owner, worker):
    lock_class = fetch_value(owner, "select pgqueue._lock_class('sleeper')")
    key = fetch_value(owner, "select hashtext('default')")
    for shared in ("", "_shared"):
        mallory.execute(f"select pg_advisory_lock{shared}(%s, %s)", [lock_class, key])
        worker.fall_asleep("default")
        alice.execute("select pgqueue.launch('select 1')")
        assert worker.run_next() == "succeeded"
        worker.wake_up("default")
        mallory.execute("select pg_advisory_unlock_all()")
