"""A role has no more messages than its quota, by whichever door it hands them in."""

import pytest

from pgqueue.cli.health.examine import examine
from tests.harness.people import fetch_one, fetch_value, refused

DOORS = {
    "launch": "select pgqueue.launch('select 1')",
    "submit": "select pgqueue.submit('select 1')",
    "enqueue": "select pgqueue.enqueue('select 1')",
    "enqueue_many": "select count(*) from pgqueue.enqueue_many(array['select 1', 'select 2'])",
    "delayed": "select pgqueue.enqueue('select 1', delay => '1 hour')",
    "send_task": "select pgqueue.send_task('some.task')",
    "trigger": "insert into noted values (1)",
    "publishing": "select pgqueue._publish_otherwise('x', 'k', '{}', 0, null, null, null)",
    "outbox": "insert into pgqueue.outbox (cookie, kind, queue, sql, settings) values (1, 'job', 'q', 'select 1', '{}')",
    "job_outbox": "insert into pgqueue.job_outbox (cookie, queue, sql, settings) values (1, 'q', 'select 1', '{}')",
}


@pytest.fixture
def limit(db, owner, superuser):
    """Set a quota for each role, and let upkeep count."""

    def set_limit(name, value):
        superuser.execute(f"alter database {db.name} set pgqueue.{name} = {value}")
        count(owner)

    return set_limit


def count(owner):
    owner.execute("update pgqueue.role_usage set seconds = 0")
    owner.execute("select pgqueue._note_usage()")


@pytest.fixture
def doors(alice, owner):
    owner.execute("create table noted (n int); grant all on noted to public")
    owner.execute(
        "create trigger note after insert on noted for each row execute function pgqueue.enqueue_trigger('sql', 'select 1')"
    )
    alice.execute("select pgqueue._declare_exchange('x', 'direct', true, false, null)")
    alice.execute("select pgqueue._declare_queue('q', true, false, false, null)")
    alice.execute("select pgqueue._bind('q', 'x', 'k')")
    return DOORS


@pytest.mark.parametrize("door", DOORS)
def test_a_role_over_its_quota_is_refused_at_each_door(alice, bob, owner, doors, limit, door):
    alice.execute("select count(*) from pgqueue.enqueue_many(array_fill('select 1'::text, array[3]))")
    limit("max_messages", 4)
    alice.execute("select pgqueue.enqueue('select 1')")
    count(owner)

    error = refused(alice, doors[door])

    assert error.sqlstate == "53400"
    assert error.diag.message_primary == 'role "alice" has more messages than one role may have'
    assert error.diag.message_hint.endswith("raise pgqueue.max_messages.")
    bob.execute("select pgqueue.enqueue('select 1')")


def test_what_the_row_triggers_of_a_statement_have_checked_is_checked_again_in_the_next_one(alice, owner, doors):
    names = ["pgqueue.captured_settings", "pgqueue.captured_seal", "pgqueue.row_seals"]
    with alice.transaction():
        alice.execute("insert into noted values (1)")
        kept = alice.execute("select n, current_setting(n) from unnest(%s::text[]) n", [names]).fetchall()
    owner.execute("update pgqueue.role_key set over_quota = 'max_messages' where role = 'alice'::regrole")

    for name, value in kept:
        alice.execute("select set_config(%s, %s, false)", [name, value])
    alice.execute("insert into pgqueue.row_order (statement) values ('select 1')")
    owner.execute("update pgqueue.role_key set over_quota = null")
    # A procedure is one statement, and has several transactions.
    alice.execute(
        """do $$ begin
          insert into noted values (1);
          perform set_config(n, current_setting(n), false)
          from unnest('{pgqueue.captured_settings,pgqueue.captured_seal,pgqueue.row_seals}'::text[]) n;
          commit;
          perform set_config('pgqueue.captured_seal', '', false);
          insert into pgqueue.row_order (statement) values ('select 1');
        end $$"""
    )

    assert all(value for _name, value in kept)
    assert fetch_value(owner, "select count(*) from pgqueue.message") == 2


def test_a_role_is_accepted_again_when_it_has_less_or_may_have_more(alice, owner, worker, limit):
    alice.execute("select count(*) from pgqueue.enqueue_many(array_fill('select 1'::text, array[4]))")
    limit("max_messages", 4)
    assert refused(alice, DOORS["enqueue"]).sqlstate == "53400"

    [worker.run(claim) for claim in worker.claim(max_count=2)]
    count(owner)
    alice.execute(DOORS["enqueue_many"])
    count(owner)
    assert refused(alice, DOORS["enqueue"]).sqlstate == "53400"

    limit("max_messages", 0)
    alice.execute(DOORS["enqueue"])
    assert fetch_value(owner, "select count(*) from pgqueue.role_usage") == 0


@pytest.mark.parametrize(
    ("name", "has"), [("max_delayed", "delayed messages"), ("max_megabytes", "megabytes of messages")]
)
def test_delayed_messages_and_bytes_have_quotas_of_their_own(alice, bob, limit, name, has):
    alice.execute("select pgqueue.enqueue('select 1', delay => '1 hour')")
    alice.execute(
        "select pgqueue.enqueue('select 1', params => array[(select string_agg(random()::text, '') from generate_series(1, 100000))])"
    )
    bob.execute("select pgqueue.enqueue('select 1')")
    limit(name, 1)

    assert has in refused(alice, DOORS["enqueue"]).diag.message_primary
    bob.execute("select pgqueue.enqueue('select 1')")


def test_a_quota_does_not_hold_for_administrators_and_no_role_sets_its_own(alice, bob, owner, limit):
    owner.execute("grant pgqueue_admin to bob")
    for session in (alice, bob):
        session.execute("select count(*) from pgqueue.enqueue_many(array_fill('select 1'::text, array[4]))")
    limit("max_messages", 4)

    alice.execute("set pgqueue.max_messages = 1000")
    assert refused(alice, DOORS["enqueue"]).sqlstate == "53400"
    for door in ("launch", "submit", "enqueue", "send_task"):
        bob.execute(DOORS[door])


def test_each_role_sees_its_own_quotas_and_monitors_all(alice, bob, owner, limit):
    alice.execute("select count(*) from pgqueue.enqueue_many(array_fill('select 1'::text, array[4]))")
    limit("max_messages", 100)

    seen = "select role, messages, max_messages, max_queues from pgqueue.quotas"
    assert fetch_one(alice, seen) == ("alice", 4, 100, 1000)
    assert [row[0] for row in bob.execute(seen)] == ["bob"]
    assert {"alice", "bob"} <= {row[0] for row in owner.execute(seen)}


def test_who_publishes_while_usage_is_counted_waits_for_nobody(db, alice, owner, superuser):
    alice.execute("select count(*) from pgqueue.enqueue_many(array_fill('select 1'::text, array[4]))")
    superuser.execute(f"alter database {db.name} set pgqueue.max_messages = 4")
    counter = db.connect()
    counter.execute("begin")
    counter.execute("select pgqueue._note_usage()")

    # What the count has found holds once it has committed.
    alice.execute("set lock_timeout = '2s'")
    alice.execute("begin")
    alice.execute(DOORS["enqueue"])
    counter.execute("commit")
    assert refused(alice, DOORS["enqueue"]).sqlstate == "53400"
    alice.execute("rollback")


def test_doctor_names_roles_that_are_over_a_quota_or_near_it(db, alice, bob, limit):
    def quotas():
        return next(finding for finding in examine(db.dsn) if finding.check == "quotas")

    assert quotas().text == "no role is near one of its own"
    for session, jobs in ((alice, 10), (bob, 8)):
        session.execute("select count(*) from pgqueue.enqueue_many(array_fill('select 1'::text, array[%s]))", [jobs])
    limit("max_messages", 10)

    assert quotas().text == "alice has more messages than a role may have; bob has 8 of 10 messages"
