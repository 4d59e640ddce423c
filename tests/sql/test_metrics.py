"""What monitoring reads: backlogs, numbers of messages, and waits and runs of jobs by intervals."""

import pytest

from tests.harness.claimant import Claimant
from tests.harness.people import fetch_one, fetch_value, refused

BACKLOG = "select pgqueue.backlog(%s, %s)"
MESSAGES = "select queue, kind, state, messages, is_exact from pgqueue._messages(%s, %s) order by 1, 2, 3"


@pytest.fixture
def monitor(db):
    db.create_role("monica", enrolled=False)
    db.execute("grant pgqueue_monitor to monica")
    return db.connect("monica")


def enqueue(session, count, **options):
    arguments = "".join(f", {name} => %({name})s" for name in options)
    statement = (
        f"select pgqueue.enqueue_many(array(select 'select ' || n from generate_series(1, %(count)s) n){arguments})"
    )
    session.execute(statement, {"count": count, **options})


# The backlog


def test_an_empty_queue_has_no_backlog(monitor):
    assert fetch_value(monitor, BACKLOG, ["nobody", 10]) == 0


def test_ready_and_due_messages_are_counted_and_others_are_not(alice, monitor):
    enqueue(alice, 3)
    enqueue(alice, 2, queue="mail")
    enqueue(alice, 4, delay="1 hour")
    alice.execute("select pgqueue.send_task('shop.place', queue => 'default')")

    assert fetch_value(monitor, BACKLOG, ["default", 100]) == 4
    assert fetch_value(monitor, BACKLOG, ["mail", 100]) == 2


def test_it_is_counted_up_to_the_bound(alice, monitor):
    enqueue(alice, 30)

    assert fetch_value(monitor, BACKLOG, ["default", 7]) == 7


def test_a_message_that_is_due_counts_although_no_worker_has_made_it_ready(alice, owner, monitor):
    enqueue(alice, 2, delay="1 hour")
    owner.execute("update pgqueue.message set due_at = now() - interval '1 s'")

    assert fetch_value(monitor, BACKLOG, ["default", 100]) == 2


def test_messages_of_the_last_worker_count_when_it_was_killed(db, alice, monitor):
    enqueue(alice, 3)
    last = Claimant(db, "last")
    last.claim("default")
    last.kill(noticed=False)

    # Else nobody would start a worker that finds them.
    assert fetch_value(monitor, BACKLOG, ["default", 100]) == 3


def test_a_schedule_that_is_due_counts(alice, owner, monitor):
    alice.execute("select pgqueue.schedule('tidy', '1 hour', 'select 1')")
    assert fetch_value(monitor, BACKLOG, ["default", 100]) == 0

    owner.execute("update pgqueue.schedule set next_at = now() - interval '1 s'")
    assert fetch_value(monitor, BACKLOG, ["default", 100]) == 1


def test_a_schedule_whose_instants_nobody_has_worked_out_counts(alice, owner, monitor):
    alice.execute("select pgqueue.schedule('tidy', '0 2 * * *', 'select 1')")
    owner.execute("update pgqueue.schedule set next_at = null, plan_at = now() - interval '1 s'")

    assert fetch_value(monitor, BACKLOG, ["default", 100]) == 1


@pytest.mark.parametrize(
    ("queue", "most"), [(None, 10), ("", 10), ("q" * 256, 10), ("q", None), ("q", 0), ("q", -1), ("q", 1_000_001)]
)
def test_what_means_nothing_is_refused(monitor, queue, most):
    assert refused(monitor, BACKLOG, [queue, most]).sqlstate == "22023"


def test_users_may_not_ask_for_the_backlog_of_others(alice):
    assert refused(alice, BACKLOG, ["default", 10]).sqlstate == "42501"


# Numbers of messages


def test_a_small_table_is_counted(alice, worker, monitor):
    enqueue(alice, 5)
    enqueue(alice, 2, delay="1 hour")
    worker.claim("default", max_count=1)

    assert monitor.execute(MESSAGES, [100, 100]).fetchall() == [
        ("default", "job", "claimed", 1, True),
        ("default", "job", "delayed", 2, True),
        ("default", "job", "ready", 4, True),
    ]


def test_of_a_large_table_small_numbers_are_counted_and_large_ones_estimated(alice, bob, owner, monitor):
    enqueue(alice, 20_000)
    enqueue(bob, 5_000)
    enqueue(bob, 7, queue="mail", priority=9)
    enqueue(alice, 3, queue="mail")
    enqueue(alice, 11, queue="later", delay="1 hour")
    owner.execute("vacuum analyze pgqueue.message")

    found = {row[:3]: row[3:] for row in monitor.execute(MESSAGES, [200, 1000]).fetchall()}

    assert set(found) == {("default", "job", "ready"), ("later", "job", "delayed"), ("mail", "job", "ready")}
    assert found["mail", "job", "ready"] == (10, True)
    assert found["later", "job", "delayed"] == (11, True)
    number, is_exact = found["default", "job", "ready"]
    assert number == pytest.approx(25_000, rel=0.3)
    assert not is_exact


def test_an_estimate_stays_the_same_while_the_table_does(alice, monitor):
    enqueue(alice, 20_000)

    first, second = (monitor.execute(MESSAGES, [50, 100]).fetchall() for _ in range(2))

    assert first == second


@pytest.mark.parametrize("pages", [1, 10_000])
def test_the_age_is_that_of_the_first_message_in_line(alice, bob, owner, monitor, pages):
    enqueue(alice, 3000, priority=9)
    enqueue(bob, 1)
    owner.execute(
        "update pgqueue.message set launched_at = now() - interval '1 hour' where submitter = 'bob'::regrole and priority = 0"
    )

    assert fetch_one(
        monitor,
        "select queue, kind, round(extract(epoch from now() - oldest_at) / 60) from pgqueue._messages(%s) where state = 'ready'",
        [pages],
    ) == ("default", "job", 60)


@pytest.mark.parametrize("pages", [1, 10_000])
def test_a_message_that_was_delayed_is_as_old_as_it_is_due(alice, owner, monitor, pages):
    enqueue(alice, 3000, delay="1 day")
    owner.execute(
        "update pgqueue.message set launched_at = now() - interval '1 day', due_at = now() - interval '1 min', state = 'ready'"
    )

    age = fetch_value(
        monitor, "select extract(epoch from now() - oldest_at)::float8 from pgqueue._messages(%s)", [pages]
    )

    assert 60 <= age < 90


# Waits and runs


def test_waits_and_runs_are_counted_by_interval_once(alice, worker, monitor):
    for statement in ("select 1", "select pg_sleep(0.06)", "select 1 / 0"):
        alice.execute("select pgqueue.enqueue(%s)", [statement])
    worker.run_all()
    canceled = fetch_value(alice, "select pgqueue.enqueue('select 3', delay => '1 hour')")
    alice.execute("select pgqueue.cancel(%s::pgqueue.handle)", [canceled])
    for _ in range(3):
        worker.tick()

    queue, succeeded, failed, gone, expired, wait, run, waits, runs = fetch_one(
        monitor, "select * from pgqueue._job_totals()"
    )

    assert (queue, succeeded, failed, gone, expired) == ("default", 2, 1, 1, 0)
    # What never ran has neither waited nor run.
    assert sum(waits) == sum(runs) == 3
    assert sum(runs[2:]) >= 1
    assert 0.06 <= run < 60
    assert wait >= 0


def test_numbers_of_roles_are_added_up(alice, bob, worker, monitor):
    for session in (alice, bob, alice):
        session.execute("select pgqueue.enqueue('select 1')")
    worker.run_all()
    worker.tick()
    alice.execute("select pgqueue.enqueue('select 1')")
    worker.run_all()
    worker.tick()

    succeeded, runs = fetch_one(monitor, "select succeeded, run_counts from pgqueue._job_totals()")

    assert (succeeded, sum(runs), len(runs)) == (4, 4, 13)


def test_a_wait_begins_when_a_delayed_job_is_due(alice, owner, worker, monitor):
    alice.execute("select pgqueue.enqueue('select 1', delay => '1 hour')")
    owner.execute("update pgqueue.message set launched_at = now() - interval '1 day', due_at = now() - interval '20 s'")
    worker.run_all()
    worker.tick()

    assert 20 <= fetch_value(monitor, "select wait_seconds from pgqueue._job_totals()") < 50


def test_a_reset_forgets_the_intervals_too(alice, owner, worker, monitor):
    alice.execute("select pgqueue.enqueue('select 1')")
    worker.run_all()
    owner.execute("select pgqueue.reset_stats()")

    assert monitor.execute("select * from pgqueue._job_totals()").fetchall() == []


def test_queues_are_listed_with_the_workers_that_live(db, worker, owner, monitor):
    worker.set_queues("default", "mail")
    dead = Claimant(db, "dead")
    dead.set_queues("mail", "gone")
    dead.kill(noticed=False)
    owner.execute("select pgqueue.pause('mail')")

    assert monitor.execute("select * from pgqueue._used_queues() order by 1").fetchall() == [
        ("default", False, 1),
        ("gone", False, 0),
        ("mail", True, 1),
    ]


def test_lateness_is_that_of_the_schedule_that_is_due_for_longest(alice, owner, monitor):
    for name in ("a", "b", "c", "d"):
        alice.execute("select pgqueue.schedule(%s, '1 hour', 'select 1')", [name])
    alice.execute("select pgqueue.pause_schedule('d')")
    owner.execute("update pgqueue.schedule set next_at = now() - interval '90 s' where name in ('a', 'd')")
    owner.execute("update pgqueue.schedule set next_at = now() - interval '9 s' where name = 'b'")

    active, paused, failing, overdue, seconds = fetch_one(monitor, "select * from pgqueue._schedule_lateness()")

    assert (active, paused, failing, overdue) == (3, 1, 0, 2)
    assert 90 <= seconds < 120
