"""Claiming from queues: turns, pauses, settings."""

import psycopg
import pytest

from tests.harness.claimant import Claimant
from tests.harness.people import fetch_value, refused

DAYS = "from pg_inherits where inhparent = 'pgqueue.history'::regclass and inhrelid::regclass::text ~ '_[0-9]{8}$'"
LONG_AGO = "for values from ('2020-01-01 00:00+00') to ('2020-01-02 00:00+00')"


def enqueue(session, queue, count, **options):
    more = "".join(f", {name} => {value}" for name, value in options.items())
    session.execute(
        f"select pgqueue.enqueue_many(array_fill('select 1'::text, array[%s]), queue => %s{more})", [count, queue]
    )


def test_each_queue_has_its_turn(alice, worker):
    enqueue(alice, "busy", 50)
    enqueue(alice, "quiet", 2)

    claims = worker.claim("busy", "quiet", max_count=6)

    assert sorted(claim.queue for claim in claims) == ["busy"] * 4 + ["quiet"] * 2


def test_only_the_queues_asked_for_are_claimed_from(alice, worker):
    enqueue(alice, "a", 2)
    enqueue(alice, "b", 2)

    assert {claim.queue for claim in worker.claim("b", "empty")} == {"b"}
    assert worker.claim("empty") == []


def test_a_batch_is_no_larger_than_asked(alice, worker):
    enqueue(alice, "a", 30)
    enqueue(alice, "b", 30)

    assert [len(worker.claim("a", "b", max_count=n)) for n in (1, 7, 20)] == [1, 7, 20]
    assert worker.claim("a", "b", max_count=0) == []


def test_a_queue_named_twice_is_claimed_from_once(alice, worker):
    enqueue(alice, "a", 3)

    claims = worker.claim("a", "a", max_count=10)

    assert len({claim.id for claim in claims}) == len(claims) == 3


def test_a_paused_queue_is_left_alone_until_it_is_resumed(alice, owner, worker):
    enqueue(alice, "a", 2)
    enqueue(alice, "b", 1)

    assert fetch_value(owner, "select pgqueue.pause('a')") is True
    assert fetch_value(owner, "select pgqueue.pause('a')") is False
    assert [claim.queue for claim in worker.claim("a", "b")] == ["b"]
    assert fetch_value(alice, "select paused from pgqueue.queues where queue = 'a'") is True

    assert fetch_value(owner, "select pgqueue.resume('a')") is True
    assert fetch_value(owner, "select pgqueue.resume('a')") is False
    assert len(worker.claim("a", "b")) == 2


def test_a_paused_queue_accepts_jobs_and_its_running_ones_go_on(alice, owner, worker):
    enqueue(alice, "a", 1)
    claim = worker.claim_one("a")
    owner.execute("select pgqueue.pause('a')")
    alice.execute("select pgqueue.launch('select 1', queue => 'a')")

    assert worker.run(claim) == "succeeded"
    assert worker.claim("a") == []


def test_a_queue_that_nobody_used_can_be_paused_ahead(alice, owner, worker):
    owner.execute("select pgqueue.pause('later')")
    enqueue(alice, "later", 1)

    assert worker.claim("later") == []


def test_claiming_needs_a_registered_worker(alice, worker):
    enqueue(alice, "default", 1)
    worker.unregister()

    error = refused(worker.session, "select * from pgqueue._claim(%s, 'job', array['default'], 1)", [worker.id])

    assert error.sqlstate == "PQ003"
    assert refused(worker.session, "select * from pgqueue._tick(%s, 0, null)", [worker.id]).sqlstate == "PQ003"


def test_what_a_worker_gives_back_undelivered_was_never_delivered(alice, worker):
    enqueue(alice, "default", 2)
    first, second = worker.claim()

    assert worker.release(first, undelivered=True) == 1
    assert worker.release(second) == 1
    assert worker.release(first) == 0

    assert [claim.redelivered for claim in worker.claim()] == [False, True]


def test_an_ended_worker_gives_everything_back(db, alice, worker):
    enqueue(alice, "default", 3)
    worker.claim()
    worker.unregister()

    assert [claim.redelivered for claim in Claimant(db, "w2").claim()] == [False, False, False]


def test_a_worker_keeps_only_the_claims_it_knows(alice, worker):
    enqueue(alice, "default", 3)
    known, _, other = worker.claim()

    keep = "select pgqueue._keep_claims(%s, %s, '{}')"
    released = fetch_value(worker.session, keep, [worker.id, [known.id, other.id]])

    assert released == 1
    assert [claim.redelivered for claim in worker.claim()] == [False]


def test_what_a_worker_began_and_forgot_has_been_delivered(alice, worker):
    for _ in range(2):
        alice.execute("select pgqueue.send_task('a.b')")
    begun, unbegun = worker.claim("celery", kind="task")

    keep = "select pgqueue._keep_claims(%s, '{}', %s)"
    assert fetch_value(worker.session, keep, [worker.id, [begun.id]]) == 2

    back = worker.claim("celery", kind="task")
    assert {claim.id: claim.redelivered for claim in back} == {begun.id: True, unbegun.id: False}


def test_an_acknowledged_message_is_gone_and_cannot_be_acknowledged_again(alice, owner, worker):
    alice.execute("select pgqueue.send_task('a.b')")
    claim = worker.claim_one("celery", kind="task")

    assert worker.ack(claim) == 1
    assert worker.ack(claim) == 0
    assert fetch_value(owner, "select count(*) from pgqueue.message") == 0


def test_settings_of_the_database_and_the_role_reach_workers_without_a_restart(db, superuser, worker):
    assert worker.tick() == (3.0, 500)

    database, role = psycopg.sql.Identifier(db.name), psycopg.sql.Identifier(worker.role)
    superuser.execute(psycopg.sql.SQL("alter database {} set pgqueue.naptime = '250 ms'").format(database))
    superuser.execute(psycopg.sql.SQL("alter database {} set pgqueue.max_items = 7").format(database))
    assert worker.tick() == (0.25, 7)

    superuser.execute(psycopg.sql.SQL("alter role {} set pgqueue.max_items = 8").format(role))
    assert worker.tick() == (0.25, 8)
    superuser.execute(psycopg.sql.SQL("alter role {} in database {} set pgqueue.max_items = 9").format(role, database))
    assert worker.tick() == (0.25, 9)
    superuser.execute(psycopg.sql.SQL("alter role {} in database {} reset all").format(role, database))
    superuser.execute(psycopg.sql.SQL("alter role {} reset all").format(role))


@pytest.mark.parametrize(
    ("setting", "value", "expected"),
    [
        ("naptime", "soon", (3.0, 500)),
        ("naptime", "0", (0.1, 500)),
        ("naptime", "-1 s", (0.1, 500)),
        ("naptime", "1 year", (3600.0, 500)),
        ("naptime", "", (3.0, 500)),
        ("max_items", "many", (3.0, 500)),
        ("max_items", "0", (3.0, 1)),
        ("max_items", "1e9", (3.0, 500)),
        ("max_items", "2000000000", (3.0, 10000)),
        ("max_items", "20000000000", (3.0, 500)),
        ("result_ttl", "forever", (3.0, 500)),
        ("result_ttl", "-1 year", (3.0, 500)),
        ("result_ttl", "infinity", (3.0, 500)),
    ],
)
def test_a_setting_that_makes_no_sense_stops_no_worker(db, alice, owner, superuser, worker, setting, value, expected):
    alice.execute("select pgqueue.launch('select 1')")
    worker.run_all()
    change = psycopg.sql.SQL("alter database {} set {} = {}")
    superuser.execute(change.format(psycopg.sql.Identifier(db.name), psycopg.sql.Identifier("pgqueue", setting), value))

    assert worker.tick() == expected
    assert fetch_value(owner, "select count(*) from pgqueue.history") == 1


def test_old_days_of_history_and_results_are_dropped_by_a_tick(db, alice, owner, worker):
    for statement in ("select 1", "select 2"):
        alice.execute("select pgqueue.launch(%s)", [statement])
    worker.run_all()
    owner.execute("select pgqueue._make_partitions()")
    for parent in ("history", "result"):
        owner.execute(f"create table pgqueue.{parent}_20200101 partition of pgqueue.{parent} {LONG_AGO}")
    owner.execute("update pgqueue.history set ended_at = '2020-01-01 12:00+00' where sql = 'select 1'")

    worker.tick()

    assert [row[0] for row in alice.execute("select statement from pgqueue.jobs")] == ["select 2"]
    assert fetch_value(
        owner,
        "select to_regclass('pgqueue.history_20200101') is null and to_regclass('pgqueue.result_20200101') is null",
    )
    assert fetch_value(alice, "select workers_completed from pgqueue.stats") == 2


def test_what_has_no_partition_of_its_day_is_kept_and_dropped_all_the_same(alice, owner, worker):
    alice.execute("select pgqueue.launch('select 1')")
    worker.run_all()
    owner.execute("update pgqueue.history set ended_at = '2019-06-01 12:00+00'")
    assert fetch_value(owner, "select count(*) from pgqueue.history_default") == 1

    worker.tick()

    assert fetch_value(owner, "select count(*) from pgqueue.history") == 0
    assert fetch_value(alice, "select workers_completed from pgqueue.stats") == 1


def test_the_retention_is_a_setting(db, alice, owner, superuser, worker):
    alice.execute("select pgqueue.launch('select 1')")
    worker.run_all()
    owner.execute(f"create table pgqueue.history_20200101 partition of pgqueue.history {LONG_AGO}")
    owner.execute("update pgqueue.history set ended_at = '2020-01-01 12:00+00'")
    set_ttl = psycopg.sql.SQL("alter database {} set pgqueue.result_ttl = {}")
    superuser.execute(set_ttl.format(psycopg.sql.Identifier(db.name), "100 years"))
    worker.tick()
    assert fetch_value(owner, "select count(*) from pgqueue.history") == 1

    superuser.execute(set_ttl.format(psycopg.sql.Identifier(db.name), "1 day"))
    worker.tick()

    assert fetch_value(owner, "select count(*) from pgqueue.history") == 0


def test_partitions_of_the_next_days_exist_ahead(owner, worker):
    for (name,) in owner.execute(f"select inhrelid::regclass::text {DAYS}").fetchall():
        owner.execute(f"drop table {name}")

    worker.tick()

    days = owner.execute(
        f"select right(inhrelid::regclass::text, 8)::date - (now() at time zone 'UTC')::date {DAYS} order by 1"
    ).fetchall()
    assert [day for (day,) in days] == [0, 1, 2, 3]


def test_to_pause_a_queue_that_nobody_knows_is_a_notice(alice, owner, worker):
    notices = []
    owner.add_notice_handler(lambda notice: notices.append(notice.message_primary))

    alice.execute("select pgqueue.enqueue('select 1', queue => 'has a message')")
    worker.set_queues("has a worker")
    for queue in ("default", "celery", "has a message", "has a worker"):
        assert fetch_value(owner, "select pgqueue.pause(%s)", [queue]) is True
    assert notices == []

    assert fetch_value(owner, "select pgqueue.resume('typo')") is False
    assert fetch_value(owner, "select count(*) from pgqueue.queues where queue = 'typo'") == 0
    assert fetch_value(owner, "select pgqueue.pause('typo')") is True
    assert notices == ['queue "typo" is not known', 'no message and no worker knows queue "typo" yet']
