"""pgqueue.configure: what it takes, from whom, and where it shows."""

import psycopg
import pytest

from tests.harness.people import fetch_value, refused

SET = "select pgqueue.configure('group_commit', %s, queue => %s)"
OF_QUEUES = "select * from pgqueue.configuration where queue is not null"
OF_DATABASE = "select value, source from pgqueue.configuration where setting = %s and queue is null and role is null"
CONFIGURE = "select pgqueue.configure(%s, %s, %s)"
SHOWN = "select group_commit from pgqueue.queues where queue = %s"


@pytest.fixture
def boss(db, owner):
    """A session of an administrator of pgqueue who is no superuser."""
    db.create_role("boss", enrolled=False)
    owner.execute("grant pgqueue_admin to boss")
    return db.connect("boss")


def declare(session, queue):
    attributes = '{"durable": true, "exclusive": false, "auto_delete": false, "arguments": {}}'
    session.execute(
        "insert into pgqueue.declaration (act, name, attributes) values ('declare queue', %s, %s)", [queue, attributes]
    )


def enqueue(session, count, queue="audit"):
    session.execute(
        "select count(*) from pgqueue.enqueue_many(array_fill('select 1'::text, array[%s]), queue => %s)",
        [count, queue],
    )


def sizes(claims):
    return [claim.message[1] if isinstance(claim.message, list) else None for claim in claims]


def test_a_setting_shows_in_the_view_of_queues_and_is_reset_by_null(owner, alice):
    enqueue(alice, 1)
    assert fetch_value(alice, SHOWN, ["audit"]) == 1

    owner.execute(SET, ["100", "audit"])
    assert fetch_value(alice, SHOWN, ["audit"]) == 100
    assert alice.execute(OF_QUEUES).fetchall() == [("group_commit", "audit", "100", None, "queue")]
    owner.execute(SET, ["007", "audit"])
    assert fetch_value(alice, SHOWN, ["audit"]) == 7
    owner.execute(SET, [None, "audit"])

    assert fetch_value(alice, SHOWN, ["audit"]) == 1
    assert alice.execute(OF_QUEUES).fetchall() == []


def test_a_queue_that_has_no_message_yet_can_be_configured_and_is_shown(owner, boss):
    owner.execute(SET, ["5", "later"])

    assert fetch_value(boss, SHOWN, ["later"]) == 5


@pytest.mark.parametrize(
    ("setting", "value", "queue", "told"),
    [
        ("group_commit", "0", "audit", "1 (the default) to 100"),
        ("group_commit", "101", "audit", "1 (the default) to 100"),
        ("group_commit", "-1", "audit", "1 (the default) to 100"),
        ("group_commit", "many", "audit", "1 (the default) to 100"),
        ("group_commit", "1.5", "audit", "1 (the default) to 100"),
        ("group_commit", "", "audit", "1 (the default) to 100"),
        ("group_commit", "99999999999999999999", "audit", "1 (the default) to 100"),
        ("group_commits", "5", "audit", "group_commit, max_attempts"),
        (None, "5", "audit", "group_commit, max_attempts"),
        ("group_commit", "5", None, "queue =>"),
        ("group_commit", "5", "", None),
        ("group_commit", "5", "x" * 256, None),
        ("naptime", "soon", None, "0.1 s to 1 hour"),
        ("naptime", "-1 s", None, "0.1 s to 1 hour, by default 3 s"),
        ("naptime", "1 year", None, "0.1 s to 1 hour"),
        ("naptime", "3 s", "audit", "Name none"),
        ("max_items", "0", None, "1 to 10000, by default 500"),
        ("max_items", "1e3", None, "1 to 10000"),
        ("max_attempts", "1001", "audit", "1 to 1000"),
        ("max_attempts", "5", None, "queue =>"),
        ("timeout", "0", "audit", "1 ms to 1000 years"),
        ("timeout", "1 mon -29 days -23:59:59", "audit", "1 ms to 1000 years"),
        ("retain_failed", "1 mon -29 days", "audit", "1 hour to 1000 years"),
        ("result_ttl", "30", None, "1 hour to 1000 years"),
        ("backoff", "2 years", "audit", "0 to 1 year"),
        ("durability", "fsync", "audit", "sync (the default) or async"),
        ("retain_failed", "59 min", "audit", "1 hour to 1000 years"),
        ("loopback", "none", None, "session (the default) or call"),
        ("inherit", "app.tenant", None, "alter role app set pgqueue.inherit"),
    ],
)
def test_what_no_setting_can_be_is_refused_at_the_door(owner, setting, value, queue, told):
    error = refused(owner, "select pgqueue.configure(%s, %s, %s)", [setting, value, queue])

    assert error.sqlstate == "22023"
    assert told is None or told in error.diag.message_hint
    assert fetch_value(owner, "select count(*) from pgqueue.configured") == 0


def test_only_administrators_and_whoever_has_declared_a_queue_configure_it(db, owner, alice, bob, boss):
    db.create_role("stranger", enrolled=False)
    declare(alice, "audit")

    boss.execute(SET, ["3", "other"])
    alice.execute(SET, ["5", "audit"])

    for session, queue in ((bob, "audit"), (bob, "default"), (alice, "other"), (db.connect("stranger"), "audit")):
        assert refused(session, SET, ["9", queue]).sqlstate == "42501"
    # What an administrator has said holds for all.
    owner.execute(SET, ["2", "audit"])
    assert refused(alice, SET, ["9", "audit"]).sqlstate == "42501"
    assert refused(alice, SET, [None, "audit"]).sqlstate == "42501"


def test_nobody_speaks_for_another_role(alice, bob):
    declare(alice, "audit")

    insert = "insert into pgqueue.configuring (role, setting, value, queue) values (0, 'group_commit', '5', 'audit')"
    assert refused(alice, insert).sqlstate == "42501"
    assert refused(bob, "insert into pgqueue.configured values ('group_commit', 'audit', 0, '5')").sqlstate == "42501"


def test_an_administrators_group_of_one_counts_before_a_roles_own(alice, owner, worker):
    declare(alice, "audit")
    alice.execute(SET, ["5", "audit"])
    owner.execute(SET, ["1", "audit"])
    enqueue(alice, 1)

    assert sizes(worker.claim("audit")) == [None]


def test_a_role_configures_its_own_jobs_and_sees_no_strangers_setting(alice, bob, owner, worker):
    declare(alice, "audit")
    alice.execute(SET, ["5", "audit"])
    enqueue(alice, 2)
    enqueue(bob, 2)

    claims = worker.claim("audit")

    assert sizes(claims).count(5) == 2
    assert sizes(claims).count(None) == 2
    assert bob.execute(OF_QUEUES).fetchall() == []
    assert (fetch_value(alice, SHOWN, ["audit"]), fetch_value(bob, SHOWN, ["audit"])) == (5, 1)
    # An administrator's counts first.
    owner.execute(SET, ["2", "audit"])
    enqueue(alice, 1)
    assert sizes(worker.claim("audit")) == [2]


def test_a_declaration_of_a_worker_ends_the_owners_right_to_configure(alice, db, worker):
    declare(alice, "audit")
    declare(db.connect(worker.role), "audit")

    assert refused(alice, SET, ["5", "audit"]).sqlstate == "42501"


def test_a_queue_that_is_not_configured_is_claimed_from_as_ever(alice, owner, worker):
    owner.execute(SET, ["5", "audit"])
    enqueue(alice, 1, "plain")
    enqueue(alice, 1, "audit")

    claims = {claim.queue: claim.message for claim in worker.claim("plain", "audit")}

    number = fetch_value(owner, "select 'alice'::regrole::oid::bigint")
    assert claims == {"plain": number, "audit": [number, 5]}


def test_what_a_dropped_role_has_set_goes_with_it(db, owner, superuser, worker):
    carol = db.connect(db.create_role("carol"))
    declare(carol, "audit")
    carol.execute(SET, ["5", "audit"])
    carol.close()
    superuser.execute("drop owned by carol; drop role carol")

    worker.tick()

    assert fetch_value(owner, "select count(*) from pgqueue.configured") == 0


def test_each_setting_of_the_database_is_set_by_an_administrator_who_is_no_superuser(boss):
    known = boss.execute(
        "select setting, kind, fallback, least_value from pgqueue._known_setting() where of_database"
    ).fetchall()
    assert len(known) > 10

    for setting, kind, fallback, least in known:
        value = {"loopback": "call"}.get(setting, "1 hour" if kind == "interval" else "17")
        assert boss.execute(OF_DATABASE, [setting]).fetchall() == [(fallback, "default")]
        boss.execute(CONFIGURE, [setting, value, None])
        assert boss.execute(OF_DATABASE, [setting]).fetchall() == [
            ("01:00:00" if kind == "interval" else value, "table")
        ]
        boss.execute(CONFIGURE, [setting, None, None])
        assert boss.execute(OF_DATABASE, [setting]).fetchall() == [(fallback, "default")]
        assert least is not None or "|" in kind


def test_nobody_else_sets_what_holds_for_the_database_or_how_a_queue_commits(alice, worker, db):
    declare(alice, "audit")

    for session in (alice, db.connect(worker.role)):
        assert refused(session, CONFIGURE, ["naptime", "1 s", None]).sqlstate == "42501"
        assert refused(session, CONFIGURE, ["durability", "async", "audit"]).sqlstate == "42501"


def test_what_is_configured_counts_before_the_settings_of_the_server(db, owner, superuser, worker):
    database = psycopg.sql.Identifier(db.name)
    superuser.execute(psycopg.sql.SQL("alter database {} set pgqueue.max_items = 7").format(database))
    superuser.execute(psycopg.sql.SQL("alter database {} set pgqueue.max_queues = 7").format(database))
    assert owner.execute(OF_DATABASE, ["max_items"]).fetchall() == [("7", "database")]
    assert worker.tick()[1] == 7

    owner.execute(CONFIGURE, ["max_items", "11", None])
    owner.execute(CONFIGURE, ["naptime", "200 ms", None])
    owner.execute(CONFIGURE, ["max_queues", "12", None])

    assert worker.tick()[:2] == (0.2, 11)
    assert fetch_value(owner, "select pgqueue._limit('max_queues', 1000)") == 12
    owner.execute(CONFIGURE, ["max_items", None, None])
    owner.execute(CONFIGURE, ["max_queues", None, None])
    assert worker.tick()[1] == 7
    assert fetch_value(owner, "select pgqueue._limit('max_queues', 1000)") == 7


def test_a_session_counts_before_what_is_configured_for_all_of_them(db, owner, alice):
    owner.execute(CONFIGURE, ["max_workers", "1", None])
    alice.execute("select pgqueue.launch('select 1')")

    assert refused(alice, "select pgqueue.launch('select 1')").sqlstate == "53400"
    alice.execute("set pgqueue.max_workers = 2")
    alice.execute("select pgqueue.launch('select 1')")


def test_a_queue_says_how_often_its_jobs_are_tried_unless_they_say_it(alice, owner, worker):
    owner.execute(CONFIGURE, ["max_attempts", "2", "audit"])
    owner.execute(CONFIGURE, ["backoff", "1 ms", "audit"])
    alice.execute("select pgqueue.enqueue('select 1 / 0', queue => 'audit')")
    alice.execute("select pgqueue.enqueue('select 1 / 0', queue => 'audit', max_attempts => 1)")
    alice.execute("select pgqueue.enqueue('select 1 / 0', queue => 'default')")

    assert sorted(worker.run(claim) for claim in worker.claim("audit")) == ["failed", "retried"]
    assert [worker.run(claim) for claim in worker.claim("default")] == ["failed"]
    assert fetch_value(owner, "select due_at < clock_timestamp() + interval '0.5 s' from pgqueue.message")
    fetch_value(owner, "select pg_sleep(0.1)")
    worker.tick()
    assert [worker.run(claim) for claim in worker.claim("audit")] == ["failed"]
    shown = "select attempts, max_attempts from pgqueue.jobs where queue = 'audit' order by 1"
    assert alice.execute(shown).fetchall() == [(1, 1), (2, None)]


def test_a_queue_says_how_long_its_jobs_may_run_unless_they_say_it(alice, owner, worker):
    timeout = "select coalesce(timeout, queue_timeout) from pgqueue.message where id = %s"
    ids = {}
    owner.execute(CONFIGURE, ["worker_timeout", "3 s", None])
    owner.execute(CONFIGURE, ["timeout", "2 s", "audit"])
    for name, options in {"own": "queue => 'audit', timeout => '1 s'", "queue": "queue => 'audit'", "all": ""}.items():
        call = (
            f"select (pgqueue.enqueue('select 1', {options})).id"
            if options
            else "select (pgqueue.enqueue('select 1')).id"
        )
        ids[name] = fetch_value(alice, call)

    claims = worker.claim("audit", "default")

    assert len(claims) == 3
    seconds = {name: fetch_value(owner, timeout, [job_id]).total_seconds() for name, job_id in ids.items()}
    assert seconds == {"own": 1, "queue": 2, "all": 3}
    assert [worker.run(claim) for claim in claims] == ["succeeded"] * 3


def test_what_a_role_sets_for_its_queue_holds_for_its_jobs_only(alice, bob, owner, worker):
    declare(alice, "audit")
    alice.execute(CONFIGURE, ["timeout", "2 s", "audit"])
    alice.execute(CONFIGURE, ["max_attempts", "3", "audit"])
    enqueue(alice, 1)
    enqueue(bob, 1)

    worker.claim("audit")

    rows = owner.execute(
        "select submitter::regrole::text, queue_timeout is null from pgqueue.message order by 1"
    ).fetchall()
    assert rows == [("alice", False), ("bob", True)]


def test_the_durability_of_a_queue_is_one_setting_under_both_names(owner, boss):
    owner.execute(CONFIGURE, ["durability", "async", "audit"])
    assert fetch_value(boss, "select durability from pgqueue.queues where queue = 'audit'") == "async"

    owner.execute("select pgqueue.set_durability('audit', 'sync')")
    assert owner.execute(OF_QUEUES).fetchall() == [("durability", "audit", "sync", None, "queue")]
    owner.execute(CONFIGURE, ["durability", None, "audit"])
    assert owner.execute(OF_QUEUES).fetchall() == []


def test_a_queue_keeps_its_ended_jobs_for_as_long_as_it_says(alice, bob, owner, worker):
    for session in (alice, bob):
        session.execute("select pgqueue.enqueue('select 1 as n', queue => 'audit', keep_result => true)")
        session.execute("select pgqueue.enqueue('select 1 / 0', queue => 'audit')")
        session.execute("select pgqueue.enqueue('select 2 as n', queue => 'default', keep_result => true)")
    worker.run_all("audit", "default")
    totals = owner.execute("select sum(workers_launched), sum(workers_failed) from pgqueue.stats_total").fetchall()
    declare(bob, "audit")
    bob.execute(CONFIGURE, ["retain_succeeded", "1 hour", "audit"])
    left = "select queue, submitter, state::text from pgqueue.jobs order by 1, 2, 3"
    everything = owner.execute(left).fetchall()

    worker.tick()
    assert owner.execute(left).fetchall() == everything
    owner.execute("update pgqueue.history set ended_at = ended_at - interval '2 hours'")
    owner.execute("update pgqueue.configured set pruned_to = null")
    worker.tick()

    gone = [("audit", "bob", "succeeded")]
    assert owner.execute(left).fetchall() == [row for row in everything if row not in gone]
    assert fetch_value(owner, "select count(distinct id) from pgqueue.result") == 3
    assert fetch_value(owner, "select count(*) from pgqueue.upkeep_failure") == 0
    assert (
        owner.execute("select sum(workers_launched), sum(workers_failed) from pgqueue.stats_total").fetchall() == totals
    )
    # Nothing is read again before ten minutes have passed.
    seen = fetch_value(owner, "select pruned_to from pgqueue.configured")
    worker.tick()
    assert fetch_value(owner, "select pruned_to from pgqueue.configured") == seen


def test_a_task_is_given_up_after_as_many_deliveries_as_its_queue_says(owner):
    owner.execute(CONFIGURE, ["max_deliveries", "2", "mail"])

    assert fetch_value(owner, "select pgqueue._max_deliveries('mail', 0::oid)") == 2
    assert fetch_value(owner, "select pgqueue._max_deliveries('other', 0::oid)") == 20
    owner.execute(CONFIGURE, ["max_deliveries", "5", None])
    assert fetch_value(owner, "select pgqueue._max_deliveries('other', 0::oid)") == 5


def test_a_queue_that_forgets_its_failed_jobs_forgets_their_parameters(alice, owner, worker):
    alice.execute(
        "select pgqueue.enqueue('select 1 / $1::int', array['0'], queue => 'audit', max_attempts => 2, backoff => '0')"
    )
    assert worker.run_all("audit") == ["retried", "failed"]
    owner.execute(CONFIGURE, ["retain_failed", "1 hour", "audit"])
    owner.execute("update pgqueue.history set ended_at = ended_at - interval '2 hours'")

    worker.tick()

    for table in ("history", "failed_job", "attempt"):
        assert fetch_value(owner, f"select count(*) from pgqueue.{table}") == 0


def test_a_job_that_runs_again_has_what_its_queue_says_then(alice, owner, worker):
    owner.execute(CONFIGURE, ["timeout", "1 s", "audit"])
    owner.execute(CONFIGURE, ["max_attempts", "2", "audit"])
    failing = "select pgqueue.enqueue('select 1 / 0', queue => 'audit', backoff => '0')"
    handle = fetch_value(alice, failing)
    claim = worker.claim_one("audit")
    assert worker.run(claim) == "retried"
    owner.execute(CONFIGURE, ["timeout", "10 min", "audit"])
    owner.execute(CONFIGURE, ["max_attempts", "3", "audit"])
    worker.tick()

    claim = worker.claim_one("audit")
    timeout = "select extract(epoch from coalesce(timeout, queue_timeout))::int from pgqueue.message where id = %s"
    assert fetch_value(owner, timeout, [claim.id]) == 600
    assert worker.run(claim) == "retried"
    worker.tick()
    assert worker.run(worker.claim_one("audit")) == "failed"
    # A job that an operator retries is a new one in this, too.
    owner.execute(CONFIGURE, ["timeout", None, "audit"])
    owner.execute(CONFIGURE, ["max_attempts", None, "audit"])
    alice.execute("select pgqueue.retry(%s::pgqueue.handle)", [handle])
    claim = worker.claim_one("audit")
    assert fetch_value(owner, "select num_nonnulls(timeout, queue_timeout, max_attempts) from pgqueue.message") == 0
    assert worker.run(claim) == "failed"
