"""What users and operators look at: jobs, queues, workers."""

from tests.harness.claimant import Claimant, terminate
from tests.harness.people import fetch_one, fetch_value

JOBS = [
    "id",
    "state",
    "queue",
    "priority",
    "label",
    "statement",
    "submitter",
    "launched_at",
    "eta",
    "started_at",
    "ended_at",
    "duration_ms",
    "attempts",
    "max_attempts",
    "worker",
    "backend_pid",
    "progress_pct",
    "progress_msg",
    "rows",
    "command_tag",
    "sqlstate",
    "error",
    "error_detail",
    "error_hint",
    "error_context",
    "handle",
    "retried_from",
    "parents",
    "snoozes",
]
WORKERS = ["worker", "started_at", "last_seen_at", "status", "items_processed", "last_run_at", "executors", "running"]
QUEUES = [
    "queue",
    "ready",
    "delayed",
    "claimed",
    "oldest_ready_at",
    "paused",
    "consumers",
    "durability",
    "group_commit",
    "waiting",
]


def columns_of(session, view):
    return [column.name for column in session.execute(f"select * from pgqueue.{view}").description]


def test_the_views_have_the_columns_that_are_promised(alice):
    assert columns_of(alice, "jobs") == JOBS
    assert columns_of(alice, "workers")[: len(WORKERS)] == WORKERS
    assert columns_of(alice, "queues") == QUEUES
    stats = columns_of(alice, "stats")
    assert columns_of(alice, "stats_total") == ["submitter", "queue", *stats]


def test_a_job_is_shown_through_all_its_states(alice, worker):
    alice.execute("select pgqueue.launch('select g from generate_series(1, 3) g', label => 'three')")
    columns = "state, attempts, worker, backend_pid is null, started_at is null, ended_at is null, rows, command_tag"
    assert fetch_one(alice, f"select {columns} from pgqueue.jobs") == ("queued", 0, None, True, True, True, None, None)

    claim = worker.claim_one()
    assert fetch_one(alice, f"select {columns} from pgqueue.jobs")[:3] == ("queued", 0, "w1")

    executor = worker.executor("alice")
    executor.begin(claim)
    assert fetch_one(alice, f"select {columns} from pgqueue.jobs") == (
        "running",
        1,
        "w1",
        False,
        False,
        True,
        None,
        None,
    )

    executor.lock(claim)
    executor.execute(claim)
    executor.commit()
    assert fetch_one(alice, f"select {columns} from pgqueue.jobs") == (
        *("succeeded", 1, "w1", False, False, False),
        *(3, "SELECT 3"),
    )
    assert fetch_value(alice, "select duration_ms >= 0 and launched_at <= started_at from pgqueue.jobs")
    # Microseconds, and not what binary fractions make of them.
    assert fetch_value(alice, "select length(split_part(duration_ms::text, '.', 2)) <= 3 from pgqueue.jobs")


def test_a_role_sees_its_own_jobs_only_whether_they_wait_or_ended(alice, bob, worker):
    alice.execute("select pgqueue.launch('select 1')")
    worker.run_next()
    alice.execute("select pgqueue.launch('select 2')")
    bob.execute("select pgqueue.launch('select 3')")

    assert {row[0] for row in alice.execute("select statement from pgqueue.jobs")} == {"select 1", "select 2"}
    assert {row[0] for row in bob.execute("select statement from pgqueue.jobs")} == {"select 3"}


def test_a_member_of_a_role_sees_that_roles_jobs(alice, bob, owner):
    owner.execute("grant alice to bob")
    alice.execute("select pgqueue.launch('select 1')")

    assert fetch_one(bob, "select submitter, statement from pgqueue.jobs") == ("alice", "select 1")


def test_a_leaky_function_in_a_query_sees_no_other_roles_jobs(alice, bob):
    alice.execute("select pgqueue.launch('select secret')")
    bob.execute(
        """create function pg_temp.leak(what text) returns boolean language plpgsql cost 0.0001 as
           $$ begin raise warning 'leak %', what; return true; end $$"""
    )
    said = []
    bob.add_notice_handler(lambda notice: said.append(notice.message_primary))

    bob.execute("select * from pgqueue.jobs where pg_temp.leak(queue) and pg_temp.leak(statement)")

    assert said == []


def test_the_statement_is_a_preview_of_whole_characters(alice):
    alice.execute("select pgqueue.launch(%s)", ["select '" + "\U0001f418" * 100 + "'"])

    preview = fetch_value(alice, "select statement from pgqueue.jobs")

    assert preview == "select '" + "\U0001f418" * 28
    assert len(preview.encode()) == 120


def test_tasks_are_no_jobs(alice):
    alice.execute("select pgqueue.send_task('a.b')")

    assert alice.execute("select * from pgqueue.jobs").fetchall() == []


def test_jobs_of_a_role_that_was_dropped_are_still_shown_to_administrators(db, owner, superuser, worker):
    db.create_role("leaver")
    leaver = db.connect("leaver")
    leaver.execute("select pgqueue.launch('select 1')")
    worker.run_next()
    leaver.close()
    for executor in worker._executors.values():
        executor.session.close()
    owner.execute("select pgqueue.unenroll('leaver'); drop role leaver")

    assert fetch_value(superuser, "select submitter from pgqueue.jobs").startswith("unknown (OID=")


def test_queues_are_counted_by_state(alice, owner, worker):
    alice.execute("select pgqueue.enqueue_many(array_fill('select 1'::text, array[3]), queue => 'q')")
    alice.execute("select pgqueue.enqueue('select 1', queue => 'q', delay => '1 h')")
    alice.execute("select pgqueue.send_task('a.b', queue => 'q')")
    worker.claim("q", max_count=2)
    worker.set_queues("q", "idle")
    alice.execute("select pgqueue._declare_queue('declared', true, false, false, null)")

    rows = alice.execute(
        "select queue, ready, delayed, claimed, paused, consumers from pgqueue.queues order by 1"
    ).fetchall()

    assert rows == [("declared", 0, 0, 0, False, 0), ("q", 2, 1, 2, False, 1)]
    assert fetch_value(alice, "select oldest_ready_at <= now() from pgqueue.queues where queue = 'q'")
    assert fetch_value(alice, "select oldest_ready_at from pgqueue.queues where queue = 'declared'") is None


def test_a_worker_shows_what_it_does(alice, owner, worker):
    alice.execute("select pgqueue.launch('select 1')")
    claim = worker.claim_one()
    worker.executor("alice").begin(claim)
    worker.set_queues("default")
    worker.tick(items_processed=5)

    row = fetch_one(
        alice,
        """select worker, status, items_processed, executors, running, queues, last_seen_at >= started_at, last_run_at is not null
           from pgqueue.workers""",
    )

    assert row == ("w1", "online", 5, 1, [claim.id], None, True, True)
    assert fetch_value(worker.session, "select queues from pgqueue.workers") == ["default"]


def test_a_worker_whose_session_is_gone_is_lost_until_another_has_waited_for_it(db, alice, owner, worker):
    terminate(db, worker.presence)
    other = Claimant(db, "w2")
    other.tick()
    lost_and_online = "select worker, status from pgqueue.workers order by worker"
    assert alice.execute(lost_and_online).fetchall() == [("w1", "lost"), ("w2", "online")]

    owner.execute("update pgqueue.worker set lost_at = lost_at - interval '1 s'")
    other.tick()

    assert alice.execute("select worker, status from pgqueue.workers").fetchall() == [("w2", "online")]


def test_a_worker_that_ends_in_good_order_is_gone_at_once(alice, worker):
    worker.unregister()

    assert alice.execute("select * from pgqueue.workers").fetchall() == []
