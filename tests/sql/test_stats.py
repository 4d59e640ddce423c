"""Statistics: each ended job is counted once, in its session, its role and its queue."""

import pytest

from tests.harness.claimant import Claimant
from tests.harness.people import fetch_one, fetch_value

STATS = """select workers_launched, workers_completed, workers_failed, workers_canceled, workers_active
           from pgqueue.stats"""
TOTAL = """select submitter, queue, workers_launched, workers_completed, workers_failed, workers_canceled, workers_active
           from pgqueue.stats_total order by submitter, queue"""


def run_some(session, worker):
    """Two jobs succeed, one fails, one is canceled, one expires, one stays."""
    for statement in ("select 1", "select 2", "select 1 / 0"):
        session.execute("select pgqueue.launch(%s)", [statement])
    worker.run_all()
    canceled = fetch_value(session, "select pgqueue.launch('select 3')")
    session.execute("select pgqueue.cancel(%s::pgqueue.handle)", [canceled])
    session.execute("select pgqueue.launch('select 4', delay => '1 h')")


def test_a_session_that_did_nothing_has_nothing(alice):
    assert fetch_one(alice, "select * from pgqueue.stats") == (0, 0, 0, 0, 0, 0, None)


def test_the_columns_are_those_of_pg_background(alice):
    cursor = alice.execute("select * from pgqueue.stats")

    types = {column.name: column.type_display for column in cursor.description}
    assert types == {
        "workers_launched": "int8",
        "workers_completed": "int8",
        "workers_failed": "int8",
        "workers_canceled": "int8",
        "workers_active": "int4",
        "avg_execution_ms": "float8",
        "max_workers": "int4",
    }


def test_each_end_is_counted_where_it_belongs(alice, worker):
    run_some(alice, worker)

    assert fetch_one(alice, STATS) == (5, 2, 1, 1, 1)


def test_the_numbers_are_the_same_before_between_and_after_folding(alice, worker):
    run_some(alice, worker)
    before = (fetch_one(alice, STATS), alice.execute(TOTAL).fetchall())

    for _ in range(3):
        worker.tick()
        assert (fetch_one(alice, STATS), alice.execute(TOTAL).fetchall()) == before

    alice.execute("select pgqueue.launch('select 1')")
    worker.run_next()
    assert fetch_one(alice, STATS) == (6, 3, 1, 1, 1)
    worker.tick()
    assert fetch_one(alice, STATS) == (6, 3, 1, 1, 1)


def test_sessions_are_counted_apart(db, alice, worker):
    other = db.connect("alice")
    alice.execute("select pgqueue.launch('select 1')")
    other.execute("select pgqueue.enqueue('select 1'), pgqueue.submit('select 1')")
    other.execute("select pgqueue.enqueue_many(array['select 1', 'select 2'])")
    worker.run_all()

    assert fetch_one(alice, STATS) == (1, 1, 0, 0, 0)
    assert fetch_one(other, STATS) == (4, 4, 0, 0, 0)
    worker.tick()
    assert fetch_one(other, STATS) == (4, 4, 0, 0, 0)


def test_a_launch_of_a_transaction_that_rolled_back_is_counted(alice, worker):
    alice.execute("begin")
    alice.execute("select pgqueue.launch('select 1')")
    alice.execute("rollback")
    worker.run_all()

    assert fetch_one(alice, STATS) == (1, 1, 0, 0, 0)


def test_an_enqueue_of_a_transaction_that_rolled_back_is_not_counted(alice, worker):
    alice.execute("begin")
    alice.execute("select pgqueue.enqueue('select 1')")
    alice.execute("rollback")
    worker.run_all()

    assert fetch_one(alice, STATS) == (0, 0, 0, 0, 0)


def test_a_retried_job_is_active_and_counted_once_it_ends(alice, owner, worker):
    alice.execute("select pgqueue.launch('select 1 / 0', max_attempts => 2, backoff => '0')")
    worker.run_next()
    assert fetch_one(alice, STATS) == (1, 0, 0, 0, 1)
    owner.execute("update pgqueue.message set due_at = now()")
    worker.run_next()

    assert fetch_one(alice, STATS) == (1, 0, 1, 0, 0)


def test_an_expired_job_counts_as_failed(alice, owner, worker):
    alice.execute("select pgqueue.launch('select 1', expires => now() + interval '1 h')")
    owner.execute("update pgqueue.message set expires_at = now()")
    worker.run_all()

    assert fetch_one(alice, STATS) == (1, 0, 1, 0, 0)


def test_the_average_is_of_the_jobs_that_ran(alice, owner, worker):
    alice.execute("select pgqueue.launch('select pg_sleep(0.05)'), pgqueue.launch('select 1')")
    worker.run_all()
    canceled = fetch_value(alice, "select pgqueue.launch('select 1')")
    alice.execute("select pgqueue.cancel(%s::pgqueue.handle)", [canceled])

    for _ in range(2):
        average = fetch_value(alice, "select avg_execution_ms from pgqueue.stats")
        assert average == pytest.approx(fetch_value(alice, "select avg(duration_ms) from pgqueue.jobs"), rel=1e-6)
        assert 25 < average < 1000
        worker.tick()


def test_max_workers_is_the_sessions_setting(alice):
    alice.execute("set pgqueue.max_workers = 7")

    assert fetch_value(alice, "select max_workers from pgqueue.stats") == 7


def test_totals_are_by_role_and_queue_and_each_role_sees_its_own(db, alice, bob, owner, worker):
    db.create_role("monitor", enrolled=False)
    owner.execute("grant pgqueue_monitor to monitor")
    alice.execute("select pgqueue.launch('select 1', queue => 'a')")
    alice.execute("select pgqueue.launch('select 1', queue => 'b')")
    bob.execute("select pgqueue.launch('select 1 / 0', queue => 'a')")
    worker.run_all("a", "b")

    mine = [("alice", "a", 1, 1, 0, 0, 0), ("alice", "b", 1, 1, 0, 0, 0)]
    his = [("bob", "a", 1, 0, 1, 0, 0)]
    for _ in range(2):
        assert alice.execute(TOTAL).fetchall() == mine
        assert bob.execute(TOTAL).fetchall() == his
        assert db.connect("monitor").execute(TOTAL).fetchall() == mine + his
        worker.tick()


def test_a_running_job_is_active_in_the_totals(alice, worker):
    alice.execute("select pgqueue.launch('select 1')")
    claim = worker.claim_one()
    assert alice.execute(TOTAL).fetchall() == []

    worker.executor("alice").begin(claim)

    assert alice.execute(TOTAL).fetchall() == [("alice", "default", 1, 0, 0, 0, 1)]


def test_resetting_sets_the_totals_to_zero_and_later_jobs_count(alice, owner, worker):
    run_some(alice, worker)
    owner.execute("select pgqueue.reset_stats()")
    assert alice.execute(TOTAL).fetchall() == []

    alice.execute("select pgqueue.launch('select 1')")
    worker.run_all()
    worker.tick()

    assert alice.execute(TOTAL).fetchall() == [("alice", "default", 1, 1, 0, 0, 0)]


def test_a_job_that_a_tick_gives_up_is_counted_once(db, alice, owner, worker):
    # The tick ends the job and folds the statistics in one transaction, whose own snapshot does not list it.
    alice.execute("select pgqueue.launch('select 1')")
    claim = worker.claim_one()
    owner.execute("update pgqueue.message set deliveries = 20")
    worker.executor("alice").begin(claim)
    worker.kill()
    rescuer = Claimant(db, "w2")

    for _ in range(3):
        rescuer.tick()
        assert alice.execute(TOTAL).fetchall() == [("alice", "default", 1, 0, 1, 0, 0)]
        assert fetch_one(alice, STATS) == (1, 0, 1, 0, 0)
    assert fetch_one(alice, "select state, sqlstate from pgqueue.jobs") == ("failed", "08006")


def test_a_job_that_a_tick_gives_up_is_counted_although_later_transactions_have_ended(db, alice, owner, worker):
    alice.execute("select pgqueue.launch('select 1')")
    claim = worker.claim_one()
    owner.execute("update pgqueue.message set deliveries = 20")
    worker.executor("alice").begin(claim)
    worker.kill()
    rescuer = Claimant(db, "w2")

    # The tick's transaction has its number before others begin and end: its own snapshot is past itself.
    rescuer.session.execute("begin")
    rescuer.session.execute("select pg_current_xact_id()")
    alice.execute("select pgqueue.submit('select 1')")
    Claimant(db, "w3").run_all()
    rescuer.tick()
    rescuer.session.execute("commit")
    for _ in range(2):
        rescuer.tick()

    assert alice.execute(TOTAL).fetchall() == [("alice", "default", 2, 1, 1, 0, 0)]


@pytest.mark.parametrize("options", ["", ", 'label=noted'"])
@pytest.mark.parametrize("level", ["row", "statement", "transition"])
def test_jobs_of_triggers_are_no_jobs_of_the_session(alice, owner, worker, level, options):
    job = "'select 1', ''" if level == "statement" else "'select $1', 'n'"
    owner.execute(
        f"""create table noted (n int); grant insert on noted to alice;
            create trigger note after insert on noted {"referencing new table as added" if level == "transition" else ""}
              for each {"row" if level == "row" else "statement"} execute function pgqueue.enqueue_trigger('sql', {job}{options})"""
    )
    alice.execute("select pgqueue.enqueue('select 2')")
    alice.execute("set pgqueue.max_workers = 2")

    alice.execute("insert into noted values (1)")
    alice.execute("select pgqueue.submit('select 3')")

    assert fetch_one(alice, STATS) == (2, 0, 0, 0, 2)
    worker.run_all()
    worker.tick()
    assert fetch_one(alice, STATS) == (2, 2, 0, 0, 0)
    assert alice.execute(TOTAL).fetchall() == [("alice", "default", 3, 3, 0, 0, 0)]


@pytest.mark.parametrize("view", ["stats", "stats_total"])
def test_reading_them_scans_neither_the_history_nor_the_queue(db, alice, owner, worker, view):
    db.connect("alice").execute("select pgqueue.enqueue_many(array_fill('select 1'::text, array[3000]))")
    alice.execute("select pgqueue.launch('select 1')")
    worker.run_next()
    owner.execute(
        """insert into pgqueue.history (id, cookie, xact, launched_at, submitter, state, kept, priority, attempts, queue, sql)
           select g, 1, '3', now(), 'alice'::regrole, 'succeeded', 'none', 0, 1, 'default', 'select 1'
           from generate_series(1, 20000) g"""
    )
    owner.execute("analyze pgqueue.history, pgqueue.message, pgqueue.activity")
    worker.tick()

    plan = fetch_value(alice, f"explain (analyze, format json) select * from pgqueue.{view}")[0]["Plan"]

    scans = [node for node in nodes_of(plan) if "Relation Name" in node]
    touched = {node["Relation Name"]: node["Actual Rows"] + node.get("Rows Removed by Filter", 0) for node in scans}
    assert any(relation.startswith("history_2") for relation in touched)
    assert max(touched.values()) < 100, touched
    assert not [node for node in scans if node["Relation Name"] == "message" and node["Node Type"] == "Seq Scan"]


def nodes_of(plan):
    """All nodes of a plan in JSON."""
    yield plan
    for child in plan.get("Plans", []):
        yield from nodes_of(child)
