"""Upkeep beside everything else: statistics count each job once, partitions never queue in front of the workers.

Who acts between two lines: executors whose transactions stay open and commit in any order, ticks of other workers,
sessions that read the history for long.
"""

import random
import time

import pytest

from tests.harness import wait_until_blocked
from tests.harness.claimant import Claimant
from tests.harness.people import fetch_value

END_A_JOB = """insert into pgqueue.history (id, cookie, session_id, launched_at, submitter, state, kept, priority, attempts, queue, sql)
               values (1, 1, 7, now(), current_user::regrole, 'succeeded', 'none', 0, 1, 'q', 'select 1')"""
COUNTED = "select coalesce(sum(workers_completed), 0)::int from pgqueue.stats_total"
OF_SESSION = """select coalesce((select completed from pgqueue.stat_session where session_id = 7), 0)::int
                + (select count(*) from pgqueue.unfolded where session_id = 7)::int"""
FOLD = "select pgqueue._fold_stats()"


def counts(owner):
    return fetch_value(owner, COUNTED), fetch_value(owner, OF_SESSION)


def test_a_transaction_that_began_before_a_fold_and_commits_after_it_is_counted(db, owner):
    early, late = db.connect(), db.connect()
    early.execute("begin")
    early.execute(END_A_JOB)
    late.execute(END_A_JOB)
    assert counts(owner) == (1, 1)

    owner.execute(FOLD)
    assert counts(owner) == (1, 1)
    early.execute("commit")
    assert counts(owner) == (2, 2)
    owner.execute(FOLD)
    owner.execute(FOLD)

    assert counts(owner) == (2, 2)


def test_a_transaction_that_rolls_back_is_never_counted(db, owner):
    session = db.connect()
    session.execute("begin")
    session.execute(END_A_JOB)
    owner.execute(END_A_JOB)
    owner.execute(FOLD)
    session.execute("rollback")
    owner.execute(END_A_JOB)
    owner.execute(FOLD)

    assert counts(owner) == (2, 2)


def test_a_transaction_that_is_open_over_many_folds_is_counted_once_and_slows_none(db, owner):
    slow = db.connect()
    slow.execute("begin")
    slow.execute(END_A_JOB)
    for n in range(20):
        owner.execute(END_A_JOB)
        owner.execute(FOLD)
        assert counts(owner) == (n + 1, n + 1)
        assert fetch_value(owner, "select count(*) from pgqueue.unfolded") == 0

    slow.execute(END_A_JOB)
    slow.execute("commit")
    assert fetch_value(owner, "select count(*) from pgqueue.unfolded") == 2
    owner.execute(FOLD)
    assert counts(owner) == (22, 22)


def test_ends_in_savepoints_belong_to_their_transaction(db, owner):
    session = db.connect()
    session.execute("begin")
    session.execute("savepoint a")
    session.execute(END_A_JOB)
    owner.execute(END_A_JOB)
    owner.execute(FOLD)
    session.execute("release a")
    session.execute("savepoint b")
    session.execute(END_A_JOB)
    session.execute("rollback to b")
    session.execute("commit")
    owner.execute(FOLD)

    assert counts(owner) == (2, 2)


@pytest.mark.parametrize("seed", range(4))
def test_any_order_of_commits_and_folds_counts_each_end_once(db, owner, seed):
    chance = random.Random(seed)
    sessions = [db.connect() for _ in range(6)]
    pending = dict.fromkeys(range(6), 0)
    is_open = dict.fromkeys(range(6), False)
    committed = 0
    for _ in range(250):
        n = chance.randrange(6)
        act = chance.choice(["end", "end", "commit", "rollback", "fold", "fold inside"])
        if act == "fold":
            owner.execute(FOLD)
        elif act == "fold inside" and is_open[n] and not any(is_open[m] for m in range(6) if m != n):
            sessions[n].execute(FOLD)  # as a tick that itself ends jobs
            sessions[n].execute("commit")
            committed, pending[n], is_open[n] = committed + pending[n], 0, False
        elif act == "end":
            if not is_open[n]:
                sessions[n].execute("begin")
                is_open[n] = True
            sessions[n].execute(END_A_JOB)
            pending[n] += 1
        elif act in ("commit", "rollback") and is_open[n]:
            sessions[n].execute(act)
            committed += pending[n] if act == "commit" else 0
            pending[n], is_open[n] = 0, False
        assert counts(owner) == (committed, committed)


def test_an_upkeep_tick_counts_what_others_finish_meanwhile_later(db, alice, owner, worker):
    other = Claimant(db, "w2")
    alice.execute("select pgqueue.enqueue_many(array_fill('select 1'::text, array[4]), queue => 'q')")
    first, second, third, fourth = worker.claim("q")
    worker.run(first)
    worker.session.execute("begin")
    worker.tick()
    worker.run(second)
    other.tick()
    worker.session.execute("commit")
    worker.run(third)
    other.tick()
    worker.run(fourth)

    assert fetch_value(owner, COUNTED) == 4


def test_twenty_ticks_at_once_neither_wait_nor_fail(db, alice, owner, in_background):
    claimants = [Claimant(db, f"w{n}") for n in range(20)]
    alice.execute("select pgqueue.enqueue_many(array_fill('select 1'::text, array[200]), delay => '1 h')")
    owner.execute("update pgqueue.message set due_at = now()")
    for _ in range(30):
        owner.execute(END_A_JOB)
    lost = claimants.pop()
    lost.kill()

    started = time.monotonic()
    ticks = [in_background(claimant.tick) for claimant in claimants]
    settings = {tick.result() for tick in ticks}

    assert settings == {(3.0, 500)}
    assert time.monotonic() - started < 30
    assert fetch_value(owner, "select count(*) from pgqueue.message where state = 'ready'") == 200
    assert fetch_value(owner, COUNTED) == 30
    assert fetch_value(owner, "select count(*) from pgqueue.worker") == 19


def old_day(owner):
    """A day of history that retention will drop."""
    for parent in ("history", "result"):
        owner.execute(
            f"create table pgqueue.{parent}_20200101 partition of pgqueue.{parent} "
            "for values from ('2020-01-01 00:00+00') to ('2020-01-02 00:00+00')"
        )


def has_old_day(owner):
    return fetch_value(owner, "select to_regclass('pgqueue.history_20200101') is not null")


@pytest.mark.parametrize("what", ["a job that ends", "a long look at the history"])
def test_retention_does_not_wait_for_others_and_nobody_waits_for_it(db, alice, owner, worker, what):
    old_day(owner)
    alice.execute("select pgqueue.enqueue_many(array['select 1', 'select 2'])")
    first, second = worker.claim(top_level=True)
    other = Claimant(db, "w2")
    if what == "a job that ends":
        executor = worker.executor("alice")
        executor.begin(first)
        executor.lock(first)
        executor.execute(first)
        end = executor.commit
    else:
        reader = db.connect("alice", autocommit=False)
        reader.execute("select count(*) from pgqueue.jobs")
        end = reader.commit

    started = time.monotonic()
    other.tick()
    assert time.monotonic() - started < 20
    assert has_old_day(owner)
    assert worker.executor("alice", fresh=True).run(second) == "succeeded"

    end()
    other.tick()
    assert not has_old_day(owner)


def test_a_tick_that_cannot_drop_has_still_done_the_rest(db, alice, owner, worker):
    old_day(owner)
    alice.execute("select pgqueue.enqueue('select 1', delay => '1 h')")
    owner.execute("update pgqueue.message set due_at = now()")
    owner.execute(END_A_JOB)
    reader = db.connect()
    reader.execute("begin")
    reader.execute("select count(*) from pgqueue.history")

    worker.tick()

    assert fetch_value(owner, "select state::text from pgqueue.message") == "ready"
    assert fetch_value(owner, "select completed from pgqueue.stat_total") == 1


def test_statistics_of_a_dropped_day_are_kept(db, owner, worker):
    old_day(owner)
    slow = db.connect()
    slow.execute("begin")
    slow.execute(END_A_JOB.replace("(id,", "(ended_at, id,").replace("values (1,", "values ('2020-01-01 12:00+00', 1,"))
    owner.execute(END_A_JOB)
    worker.tick()
    assert has_old_day(owner)
    slow.execute("commit")
    worker.tick()

    assert not has_old_day(owner)
    assert counts(owner) == (2, 2)


def test_a_reset_waits_for_the_tick_that_folds(db, owner, worker, in_background):
    owner.execute(END_A_JOB)
    worker.session.execute("begin")
    worker.tick()
    session = db.connect()
    reset = in_background(session.execute, "select pgqueue.reset_stats()")
    wait_until_blocked(owner, session.info.backend_pid)
    worker.session.execute("commit")
    reset.result()

    assert fetch_value(owner, COUNTED) == 0


def test_a_server_crash_forgets_what_ran_and_no_job(db, alice, worker, owner):
    alice.execute("select pgqueue.launch('select 1')")
    claim = worker.claim_one()
    worker.executor("alice").begin(claim)
    owner.execute("truncate pgqueue.nonce")  # unlogged, so it is empty after a crash
    worker.kill()
    other = Claimant(db, "w2")
    other.tick()

    assert fetch_value(alice, "select state from pgqueue.jobs") == "queued"
    assert other.run(other.claim_one()) == "succeeded"
    assert fetch_value(alice, "select started_at is not null from pgqueue.jobs") is True


PARTS = {
    "delays": "raise before update on pgqueue.message",
    "proofs": "raise before delete on pgqueue.nonce",
    "statistics": "raise before insert on pgqueue.stat_total",
    "requests": "raise before delete on pgqueue.request",
    "roles": "raise before delete on pgqueue.role_key",
}


def break_part(superuser, part):
    superuser.execute(
        """create or replace function public.refuse() returns trigger language plpgsql as
           $$ begin raise exception 'broken on purpose'; end $$"""
    )
    what = PARTS[part].removeprefix("raise ")
    superuser.execute(f"create trigger broken {what} for each statement execute function public.refuse()")


def failing(owner):
    return [(part, text) for part, _since, text in owner.execute("select * from pgqueue._failing_upkeep()")]


@pytest.mark.parametrize("part", [part for part in PARTS if part != "delays"])
def test_a_part_of_the_upkeep_that_fails_undoes_no_other(db, alice, owner, superuser, worker, part):
    alice.execute("select pgqueue.enqueue('select 1')")
    worker.claim_one()
    worker.kill()
    owner.execute(END_A_JOB)
    break_part(superuser, part)
    other = Claimant(db, "w2")

    other.tick()

    assert fetch_value(owner, "select state::text from pgqueue.message") == "ready"
    assert failing(owner) == [(part, "broken on purpose")]
    if part != "statistics":
        assert fetch_value(owner, "select completed from pgqueue.stat_total") == 1
    superuser.execute(f"drop trigger broken on {PARTS[part].split(' on ')[1]}")
    other.tick()
    assert failing(owner) == []
    assert counts(owner)[0] == 1


def test_delays_that_cannot_end_leave_the_heartbeat_alone(alice, owner, superuser, worker):
    alice.execute("select pgqueue.enqueue('select 1', delay => '1 h')")
    owner.execute("update pgqueue.message set due_at = now()")
    break_part(superuser, "delays")

    worker.tick(items_processed=7)

    assert ("delays", "broken on purpose") in failing(owner)
    assert fetch_value(owner, "select items_processed from pgqueue.worker") == 7


def test_what_fails_in_the_upkeep_is_said_once(superuser, worker):
    said = []
    worker.session.add_notice_handler(lambda notice: said.append(notice.message_primary))
    break_part(superuser, "proofs")

    for _ in range(3):
        worker.tick()

    assert said == ["upkeep of pgqueue failed (proofs): broken on purpose"]


def test_a_publication_of_all_tables_forbids_nothing(db, alice, owner, superuser, worker):
    superuser.execute("create publication everything for all tables")
    tables = owner.execute(
        """select c.oid::regclass::text from pg_class c
           where c.relnamespace = 'pgqueue'::regnamespace and c.relkind in ('r', 'p') and c.relpersistence = 'p'
             and c.relreplident = 'd' and not exists (select from pg_index i where i.indrelid = c.oid and i.indisprimary)"""
    ).fetchall()
    assert tables == []
    [(handle,)] = alice.execute("select pgqueue.launch('select 41 + 1')").fetchall()
    worker.run(worker.claim_one())
    assert fetch_value(alice, "select n from pgqueue.result(%s) as (n int)", [handle]) == 42
    [(other,)] = alice.execute("select pgqueue.launch('select 1')").fetchall()
    worker.run(worker.claim_one())
    alice.execute("select pgqueue.detach(%s)", [other])
    owner.execute(END_A_JOB)
    owner.execute("update pgqueue.worker set last_seen_at = now() - interval '1 min'")

    worker.tick()
    owner.execute("select pgqueue._drop_partitions('-10 days')")

    assert failing(owner) == []
    assert fetch_value(owner, "select count(*) from pgqueue.result") == 0


def test_of_very_many_workers_only_some_do_the_upkeep(owner, worker):
    owner.execute(
        "insert into pgqueue.worker (name, pid, executors) select 'w' || n, 100000 + n, 1 from generate_series(1, 800) n"
    )
    done = 0
    for n in range(100):
        owner.execute("insert into pgqueue.nonce values (%s, now() - interval '1 h')", [n])
        # They are lost, and each tick that does the upkeep would record it.
        owner.execute("update pgqueue.worker set lost_at = null where lost_at is not null")
        worker.tick()
        done += fetch_value(owner, "select not exists (select from pgqueue.nonce)")

    # Two of a hundred are expected; that of 100 more than 20 do it has a probability of less than 1 in 10^12.
    assert done <= 20
