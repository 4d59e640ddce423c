"""Workers that are lost: who finds out, what comes back, what must not.

Who acts between two lines: a worker that registers, claims and dies; the ticks of others, which look for claims without
a lock. A tick reads the claims through its snapshot and the locks as they are now.
"""

from tests.harness import wait_until_blocked
from tests.harness.claimant import Claimant, terminate
from tests.harness.people import fetch_one, fetch_value, refused

STATES = "select state::text, count(*)::int from pgqueue.message group by 1 order by 1"


def enqueue(session, count):
    session.execute("select pgqueue.enqueue_many(array_fill('select 1'::text, array[%s]))", [count])


def test_what_a_lost_worker_held_comes_back_flagged_as_redelivered_but_for_jobs_that_it_did_not_begin(
    db, alice, worker
):
    enqueue(alice, 4)
    alice.execute("select pgqueue.send_task('a.b')")
    rescuer = Claimant(db, "w2")
    jobs = worker.claim(max_count=3, top_level=True)
    lost = jobs + worker.claim("celery", kind="task")
    worker.executor("alice").begin(jobs[0])
    worker.executor("alice").lock(jobs[1])

    worker.kill()
    terminate(db, worker.executor("alice").session)
    assert [claim.redelivered for claim in rescuer.claim()] == [False]
    rescuer.tick()

    back = rescuer.claim() + rescuer.claim("celery", kind="task")
    assert {claim.id for claim in back} == {claim.id for claim in lost}
    assert [claim.redelivered for claim in sorted(back, key=lambda claim: claim.id)] == [True, True, False, True]


def test_jobs_that_wait_in_a_worker_that_is_lost_again_and_again_are_not_given_up(db, alice, owner):
    owner.execute(f"alter database {db.name} set pgqueue.max_deliveries = 2")
    enqueue(alice, 3)
    rescuer = Claimant(db, "rescuer")

    for n in range(4):
        victim = Claimant(db, f"victim {n}")
        victim.executor("alice").begin(victim.claim(top_level=True)[0])
        victim.kill()
        rescuer.tick()

    assert fetch_value(alice, "select array_agg(state::text order by id) from pgqueue.jobs") == [
        "failed",
        "failed",
        "queued",
    ]
    assert owner.execute("select state::text, deliveries from pgqueue.message").fetchall() == [("ready", 0)]


def test_a_job_that_was_rescued_before_its_worker_could_acquit_it_is_acquitted(db, alice, owner, worker):
    enqueue(alice, 2)
    first, second = worker.claim(top_level=True)
    worker.executor("alice").begin(first)
    rescuer = Claimant(db, "w2")
    worker.kill()
    rescuer.tick()
    deliveries = "select array_agg(deliveries order by id) from pgqueue.message"
    assert fetch_value(owner, deliveries) == [1, 0]

    acquit = "select pgqueue._acquit(%s, %s)"
    worker.session.execute(acquit, [[first.id, second.id], [first.token, second.token]])

    acquittals = "select id, suspicions, acquittals from pgqueue.lost_session"
    assert owner.execute(acquittals).fetchall() == [(first.id, 0, 1)]
    # Also while it runs again; what somebody has meanwhile is his.
    again = rescuer.claim()
    rescuer.executor("alice").begin(again[0])
    rescuer.executor("alice").lock(again[0])
    worker.session.execute(acquit, [[first.id, second.id], [first.token, second.token]])
    rescuer.executor("alice").session.execute("rollback")
    assert fetch_value(owner, deliveries) == [2, 1]
    assert owner.execute(acquittals).fetchall() == [(first.id, 0, 2)]
    owner.execute(f"alter database {db.name} set pgqueue.max_deliveries = 1")
    rescuer.kill()
    last = Claimant(db, "w3")
    last.tick()
    assert [last.run(claim) for claim in last.claim()] == ["succeeded", "succeeded"]
    last.tick()
    assert owner.execute(acquittals).fetchall() == []


def test_a_job_that_is_suspected_too_often_is_given_up_although_its_claim_is_lost(db, alice, worker):
    enqueue(alice, 1)
    claim = worker.claim_one()
    worker.release(claim)
    suspect = (
        """select pgqueue._fail_any_job(%s, %s, '{"sqlstate": "08006", "message": "lost", "session_lost": "true"}')"""
    )

    assert [fetch_value(worker.session, suspect, [claim.id, claim.token]) for _ in range(4)] == [
        *("gone", "gone", "failed", "gone")
    ]
    assert fetch_one(alice, "select state, sqlstate from pgqueue.jobs") == ("failed", "08006")


def test_a_job_that_was_suspected_late_is_given_up_by_whoever_rescues_it_next(db, alice, owner):
    enqueue(alice, 1)
    suspect = (
        """select pgqueue._fail_any_job(%s, %s, '{"sqlstate": "08006", "message": "lost", "session_lost": "true"}')"""
    )
    for n in range(3):
        victim, rescuer = Claimant(db, f"victim {n}"), Claimant(db, f"rescuer {n}")
        claim = victim.claim_one(top_level=True)
        victim.executor("alice").begin(claim)
        victim.kill()
        rescuer.tick()
        # It runs again already.
        again = rescuer.claim_one()
        assert fetch_value(victim.session, suspect, [claim.id, claim.token]) == "gone"
        if n < 2:
            rescuer.release(again)
    assert fetch_value(alice, "select state::text from pgqueue.jobs") == "queued"

    rescuer.kill()
    Claimant(db, "last").tick()

    assert fetch_one(alice, "select state, sqlstate from pgqueue.jobs") == ("failed", "08006")


def test_what_a_living_worker_holds_stays_with_it_however_long(db, alice, owner, worker):
    enqueue(alice, 1)
    claim = worker.claim_one()
    owner.execute("update pgqueue.worker set last_seen_at = 'epoch', started_at = 'epoch'")
    rescuer = Claimant(db, "w2")

    for _ in range(3):
        rescuer.tick()

    assert rescuer.claim() == []
    assert worker.run(claim) == "succeeded"


def test_an_old_claim_changes_nothing_after_the_rescue(db, alice, worker):
    alice.execute("select pgqueue.send_task('a.b')")
    old = worker.claim_one("celery", kind="task")
    session = worker.session
    rescuer = Claimant(db, "w2")
    worker.kill()
    rescuer.tick()
    new = rescuer.claim_one("celery", kind="task")

    assert new.token != old.token
    assert worker.ack(old) == 0
    assert worker.release(old) == 0
    assert rescuer.ack(new) == 1
    assert session.closed is False


def test_a_worker_that_was_given_up_is_told_to_register_again(db, alice, worker):
    enqueue(alice, 1)
    rescuer = Claimant(db, "w2")
    worker.kill()
    rescuer.tick()

    error = refused(worker.session, "select * from pgqueue._claim(%s, 'job', array['default'], 1)", [worker.id])

    assert error.sqlstate == "PQ003"
    assert len(Claimant(db, "w1").claim()) == 1


def test_a_worker_whose_session_was_seen_to_be_gone_hears_so_and_takes_nothing_more(db, alice, worker):
    alice.execute("select pgqueue.send_task('a.b'), pgqueue.send_task('a.b')")
    running = worker.claim_one("celery", kind="task")
    rescuer = Claimant(db, "w2")
    old = worker.id
    worker.kill(noticed=False)
    rescuer.tick()

    claim = "select * from pgqueue._claim(%s, 'task', array['celery'], 1)"
    assert refused(worker.session, claim, [old]).sqlstate == "PQ003"
    assert refused(worker.session, "select pgqueue._tick(%s, 0, null)", [old]).sqlstate == "PQ003"

    worker.register(old, [running])
    assert len(worker.claim("celery", kind="task")) == 1
    assert worker.ack(running) == 1


def test_a_worker_that_registers_during_a_tick_is_no_lost_one(db, alice, owner, worker):
    # Its lock comes first, its row is not committed yet.
    enqueue(alice, 1)
    coming = db.connect(worker.role)
    coming.execute("begin")
    worker_id = fetch_value(coming, "select pgqueue._register_worker('w2', 1)")
    worker.tick()
    coming.execute("commit")
    worker.tick()

    assert fetch_value(owner, "select count(*) from pgqueue.worker where id = %s", [worker_id]) == 1
    assert (
        len(coming.execute("select id from pgqueue._claim(%s, 'job', array['default'], 5)", [worker_id]).fetchall())
        == 1
    )
    worker.tick()
    assert owner.execute(STATES).fetchall() == [("claimed", 1)]


def test_a_registration_that_fails_leaves_nothing(db, owner, worker):
    coming = db.connect(worker.role)
    coming.execute("begin")
    coming.execute("select pgqueue._register_worker('w2', 1)")
    coming.execute("rollback")
    coming.close()
    worker.tick()

    assert fetch_value(owner, "select count(*) from pgqueue.worker") == 1


def test_the_lock_of_another_session_keeps_no_lost_worker_alive(db, alice, owner, worker):
    enqueue(alice, 1)
    worker.claim_one()
    rescuer = Claimant(db, "w2")
    worker.kill()
    impostor = db.connect("alice")
    impostor.execute("select pg_advisory_lock(1886417201, %s)", [worker.id])

    rescuer.tick()

    assert len(rescuer.claim()) == 1


def test_locks_taken_ahead_by_somebody_else_keep_no_worker_from_registering(db, worker):
    stranger = db.connect(db.create_role("stranger", enrolled=False))
    stranger.execute("select pg_try_advisory_lock(1886417201, n) from generate_series(1, 50) n")

    assert Claimant(db, "w2").id > 50


def test_claims_of_a_worker_whose_row_is_gone_come_back(db, alice, owner, worker):
    enqueue(alice, 1)
    worker.claim_one()
    owner.execute("delete from pgqueue.worker")
    rescuer = Claimant(db, "w2")

    # A claim without a worker's row should not be: one tick in fifty looks for it.
    for _ in range(1000):
        rescuer.tick()
        if claims := rescuer.claim():
            break

    assert len(claims) == 1


def test_two_ticks_at_once_bring_each_message_back_once(db, alice, owner, worker, in_background):
    enqueue(alice, 50)
    worker.claim(max_count=50)
    rescuers = [Claimant(db, f"r{n}") for n in range(2)]
    worker.kill()

    rescuers[0].session.execute("begin")
    rescuers[0].tick()
    rescuers[1].tick()  # somebody else does the upkeep: nothing to wait for
    assert owner.execute(STATES).fetchall() == [("claimed", 50)]
    rescuers[0].session.execute("commit")

    assert owner.execute(STATES).fetchall() == [("ready", 50)]


def test_a_rescuer_that_dies_in_its_tick_leaves_it_to_the_next(db, alice, worker):
    enqueue(alice, 5)
    worker.claim()
    first, second = Claimant(db, "w2"), Claimant(db, "w3")
    worker.kill()

    first.session.execute("begin")
    first.tick()
    terminate(db, first.session)
    second.tick()

    assert len(second.claim()) == 5


def test_an_ack_that_is_about_to_commit_is_not_undone_by_a_rescue(db, alice, owner, worker):
    alice.execute("select pgqueue.send_task('a.b')")
    claim = worker.claim_one("celery", kind="task")
    rescuer = Claimant(db, "w2")
    worker.session.execute("begin")
    assert worker.ack(claim) == 1
    worker.kill()

    rescuer.tick()  # the row is locked by the ack: skipped
    worker.session.execute("commit")
    rescuer.tick()

    assert fetch_value(owner, "select count(*) from pgqueue.message") == 0


def test_an_ack_that_rolls_back_leaves_the_message_to_a_rescue(db, alice, worker):
    alice.execute("select pgqueue.send_task('a.b')")
    claim = worker.claim_one("celery", kind="task")
    rescuer = Claimant(db, "w2")
    worker.session.execute("begin")
    worker.ack(claim)
    worker.kill()
    rescuer.tick()
    worker.session.execute("rollback")
    rescuer.tick()

    assert rescuer.claim_one("celery", kind="task").redelivered is True


def test_an_end_in_good_order_during_a_tick_releases_once(db, alice, owner, worker, in_background):
    enqueue(alice, 3)
    worker.claim()
    rescuer = Claimant(db, "w2")

    worker.presence.execute("begin")
    worker.presence.execute("select pgqueue._unregister_worker(%s)", [worker.id])
    rescuer.tick()
    worker.presence.execute("commit")
    worker.presence.close()
    rescuer.tick()

    assert [claim.redelivered for claim in rescuer.claim()] == [False] * 3


def test_what_waits_in_workers_that_end_in_order_is_no_dead_letter_however_often(db, alice, owner):
    owner.execute(f"alter database {db.name} set pgqueue.max_deliveries = 2")
    for _ in range(2):
        alice.execute("select pgqueue.send_task('a.b')")

    for n in range(5):
        worker = Claimant(db, f"restart {n}")
        begun, *waiting = sorted(worker.claim("celery", kind="task"), key=lambda claim: claim.id)
        worker.unregister(begun=[begun] if waiting else [])

    # The first was begun twice, by which it is known; the other has waited five times.
    assert owner.execute("select queue, deliveries from pgqueue.message order by id").fetchall() == [
        ("celery", 0),
        ("celery.dead", 0),
    ]


def test_a_job_that_a_worker_began_and_left_counts_as_delivered(db, alice, worker):
    enqueue(alice, 2)
    begun, waiting = worker.claim(top_level=True)
    worker.executor("alice").lock(begun)
    worker.executor("alice").session.execute("rollback")

    worker.unregister()

    back = Claimant(db, "w2").claim()
    assert {claim.id: claim.redelivered for claim in back} == {begun.id: True, waiting.id: False}


def test_a_worker_that_ends_waits_for_no_job_that_still_runs(db, alice, owner, worker):
    enqueue(alice, 2)
    running, waiting = worker.claim(top_level=True)
    session = worker.executor("alice").session
    worker.executor("alice").begin(running)
    worker.executor("alice").lock(running)

    worker.session.execute("set statement_timeout = '5s'")
    worker.unregister()

    rescuer = Claimant(db, "w2")
    assert [claim.id for claim in rescuer.claim()] == [waiting.id]
    assert fetch_value(owner, "select count(*) from pgqueue.worker where lost_at is not null") == 1
    rescuer.tick()
    assert rescuer.claim() == []
    session.execute("rollback")
    rescuer.tick()
    assert [(claim.id, claim.redelivered) for claim in rescuer.claim()] == [(running.id, True)]
    assert fetch_value(owner, "select count(*) from pgqueue.worker where lost_at is not null") == 0


def test_a_job_that_took_down_its_worker_twenty_times_is_given_up(db, alice, owner):
    handle = fetch_value(alice, "select pgqueue.launch('select 1')")
    rescuer = Claimant(db, "rescuer")

    for n in range(20):
        victim = Claimant(db, f"victim {n}")
        claim = victim.claim_one()
        assert claim.redelivered is (n > 0)
        victim.executor("alice").begin(claim)
        victim.kill()
        rescuer.tick()

    assert rescuer.claim() == []
    assert fetch_one(alice, "select state, sqlstate from pgqueue.jobs") == ("failed", "08006")
    assert refused(alice, "select * from pgqueue.result(%s::pgqueue.handle) as (x int)", [handle]).sqlstate == "08006"


def test_the_session_of_a_rescued_run_that_comes_back_to_life_is_fenced(db, alice, owner, worker, in_background):
    # The executor's network was cut, not its process: its transaction goes on later, after somebody else has the job.
    owner.execute("create table public.item (id int); grant all on public.item to alice")
    alice.execute("select pgqueue.launch('insert into public.item values (1)')")
    claim = worker.claim_one()
    executor = worker.executor("alice")
    executor.begin(claim)
    rescuer = Claimant(db, "w2")
    worker.kill()
    rescuer.tick()
    again = rescuer.claim_one()
    second = rescuer.executor("alice", fresh=True)
    second.begin(again)
    second.lock(again)
    second.execute(again)

    # The old run reaches for its lock while the new one holds the row.
    old = in_background(executor.session.execute, "select pgqueue._lock_job(%s, %s)", [claim.id, claim.token])
    # The row no longer has the old token, so there is nothing to wait for.
    assert old.exception().sqlstate == "PQ002"
    second.commit()
    assert fetch_value(owner, "select count(*) from public.item") == 1


def test_releasing_what_is_being_rescued_is_harmless(db, alice, owner, worker, in_background):
    enqueue(alice, 1)
    claim = worker.claim_one()
    rescuer = Claimant(db, "w2")
    worker.kill()

    rescuer.session.execute("begin")
    rescuer.tick()
    released = in_background(worker.release, claim)
    wait_until_blocked(owner, worker.session.info.backend_pid)
    rescuer.session.execute("commit")

    assert released.result() == 0
    assert owner.execute(STATES).fetchall() == [("ready", 1)]


def test_a_worker_that_registers_anew_keeps_what_it_runs(db, alice, owner, worker):
    for _ in range(2):
        alice.execute("select pgqueue.send_task('a.b')")
    running, forgotten = worker.claim("celery", kind="task")
    rescuer = Claimant(db, "w2")
    old = worker.id
    worker.kill(noticed=False)

    rescuer.tick()  # the session is seen to be gone, and its process has not said anything yet
    assert rescuer.claim("celery", kind="task") == []
    worker.register(old, [running])

    assert [(claim.id, claim.redelivered) for claim in rescuer.claim("celery", kind="task")] == [(forgotten.id, False)]
    assert worker.ack(running) == 1


def test_what_a_worker_that_registers_anew_had_begun_and_gave_up_counts_as_delivered(db, alice, worker):
    for _ in range(2):
        alice.execute("select pgqueue.send_task('a.b')")
    canceled, waiting = worker.claim("celery", kind="task")
    rescuer = Claimant(db, "w2")
    old = worker.id
    worker.kill(noticed=False)

    worker.register(old, begun=[canceled])
    rescuer.tick()

    back = rescuer.claim("celery", kind="task")
    assert {claim.id: claim.redelivered for claim in back} == {canceled.id: True, waiting.id: False}


def test_a_registration_leaves_the_job_that_its_predecessor_still_runs(db, alice, owner, worker):
    enqueue(alice, 2)
    running, waiting = worker.claim(top_level=True)
    worker.executor("alice").lock(running)
    rescuer = Claimant(db, "w2")
    old = worker.id
    worker.kill(noticed=False)

    worker.register(old)
    rescuer.tick()

    assert [(claim.id, claim.redelivered) for claim in rescuer.claim()] == [(waiting.id, False)]


def test_a_worker_that_registers_anew_keeps_the_jobs_that_it_runs_outside_a_transaction(db, alice, owner, worker):
    alice.execute("select pgqueue.launch('vacuum'), pgqueue.launch('select 1')")
    running, forgotten = worker.claim()
    assert worker.executor("alice").begin(running) is None
    rescuer = Claimant(db, "w2")
    old = worker.id
    worker.kill(noticed=False)

    worker.register(old)
    rescuer.tick()

    assert [claim.id for claim in rescuer.claim()] == [forgotten.id]
    assert fetch_value(owner, "select token from pgqueue.message where id = %s", [running.id]) == running.token


def test_what_begins_outside_a_transaction_while_its_worker_registers_anew_runs_once(db, alice, owner, worker):
    alice.execute("select pgqueue.launch('vacuum')")
    [claim] = worker.claim()
    rescuer = Claimant(db, "w2")
    old = worker.id
    worker.kill(noticed=False)
    worker.register(old)

    assert worker.executor("alice").begin(claim) is None
    rescuer.tick()

    assert rescuer.claim() == []
    where = "select token, worker_id from pgqueue.message where id = %s"
    assert owner.execute(where, [claim.id]).fetchone() == (claim.token, worker.id)


def test_a_job_that_was_not_begun_before_its_worker_registered_anew_begins_only_elsewhere(db, alice, worker):
    alice.execute("select pgqueue.launch('vacuum')")
    [claim] = worker.claim()
    rescuer = Claimant(db, "w2")
    old = worker.id
    worker.kill(noticed=False)
    worker.register(old)

    rescuer.tick()

    assert worker.executor("alice").begin(claim) == "gone"
    assert [other.id for other in rescuer.claim()] == [claim.id]


def test_what_a_running_job_waits_for_is_claimed_for_the_number_that_its_worker_has_now(db, alice, owner, worker):
    enqueue(alice, 1)
    [waiter] = worker.claim(top_level=True)
    worker.executor("alice").lock(waiter)
    awaited = fetch_value(alice, "select (pgqueue.launch('vacuum')).id")
    worker.session.execute("select pgqueue._set_worker_queues(%s, %s)", [worker.id, ["default"]])
    rescuer = Claimant(db, "w2")
    for _ in range(2):
        old = worker.id
        worker.kill(noticed=False)
        worker.register(old)
        worker.session.execute("select pgqueue._set_worker_queues(%s, %s)", [worker.id, ["default"]])

    claim = "select id from pgqueue._claim_awaited(%s, %s, %s)"
    assert worker.session.execute(claim, [waiter.id, waiter.token, awaited]).fetchall() == [(awaited,)]
    rescuer.tick()

    assert rescuer.claim() == []
    assert fetch_value(owner, "select worker_id from pgqueue.message where id = %s", [awaited]) == worker.id


def test_a_worker_that_sorts_its_claims_gives_back_no_job_that_runs_outside_a_transaction(alice, worker):
    alice.execute("select pgqueue.launch('vacuum'), pgqueue.launch('select 1')")
    running, forgotten = worker.claim()
    assert worker.executor("alice").begin(running) is None

    worker.session.execute("select pgqueue._keep_claims(%s, '{}', '{}')", [worker.id])

    assert [claim.id for claim in worker.claim()] == [forgotten.id]


def test_a_rescue_during_a_registration_leaves_what_goes_over(db, alice, owner, worker):
    alice.execute("select pgqueue.send_task('a.b')")
    claim = worker.claim_one("celery", kind="task")
    rescuer = Claimant(db, "w2")
    worker.kill()
    coming = db.connect(worker.role)
    coming.execute("begin")
    coming.execute("select pgqueue._register_worker('w1', 1, %s, %s, %s)", [worker.id, [claim.id], [claim.token]])

    rescuer.tick()  # its row is locked: skipped
    coming.execute("commit")
    rescuer.tick()

    assert owner.execute(STATES).fetchall() == [("claimed", 1)]
    assert worker.ack(claim) == 1


def test_a_registration_that_comes_after_the_rescue_gets_nothing(db, alice, owner, worker, in_background):
    alice.execute("select pgqueue.send_task('a.b')")
    claim = worker.claim_one("celery", kind="task")
    rescuer = Claimant(db, "w2")
    old = worker.id
    worker.kill()

    rescuer.session.execute("begin")
    rescuer.tick()
    coming = db.connect(worker.role)
    registered = in_background(
        coming.execute,
        "select pgqueue._register_worker('w1', 1, %s, %s, %s)",
        [old, [claim.id], [claim.token]],
    )
    wait_until_blocked(owner, coming.info.backend_pid)
    rescuer.session.execute("commit")
    registered.result()

    assert rescuer.claim_one("celery", kind="task").redelivered is True
    assert worker.ack(claim) == 0


def test_a_worker_that_stays_away_is_rescued_when_the_grace_is_over(db, alice, owner, worker):
    alice.execute("select pgqueue.send_task('a.b')")
    worker.claim_one("celery", kind="task")
    rescuer = Claimant(db, "w2")
    worker.kill(noticed=False)

    assert rescuer.tick()[0] == 1.0  # comes back when the grace is over, sooner than after a naptime
    owner.execute("update pgqueue.worker set lost_at = lost_at - interval '1 s' where lost_at is not null")
    assert rescuer.tick()[0] == 3.0

    assert rescuer.claim_one("celery", kind="task").redelivered is True
