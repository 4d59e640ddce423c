"""pgqueue.configure: what it takes, from whom, and where it shows."""

import pytest

from tests.harness.people import fetch_value, refused

SET = "select pgqueue.configure('group_commit', %s, queue => %s)"
SHOWN = "select group_commit from pgqueue.queues where queue = %s"


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
    assert alice.execute("select * from pgqueue.configuration").fetchall() == [("group_commit", "audit", "100", None)]
    owner.execute(SET, ["007", "audit"])
    assert fetch_value(alice, SHOWN, ["audit"]) == 7
    owner.execute(SET, [None, "audit"])

    assert fetch_value(alice, SHOWN, ["audit"]) == 1
    assert alice.execute("select * from pgqueue.configuration").fetchall() == []


def test_a_queue_that_has_no_message_yet_can_be_configured_and_is_shown(owner):
    owner.execute(SET, ["5", "later"])

    assert fetch_value(owner, SHOWN, ["later"]) == 5


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
        ("group_commits", "5", "audit", "There is: group_commit"),
        (None, "5", "audit", "There is: group_commit"),
        ("group_commit", "5", None, "queue =>"),
        ("group_commit", "5", "", None),
        ("group_commit", "5", "x" * 256, None),
    ],
)
def test_what_no_setting_can_be_is_refused_at_the_door(owner, setting, value, queue, told):
    error = refused(owner, "select pgqueue.configure(%s, %s, %s)", [setting, value, queue])

    assert error.sqlstate == "22023"
    assert told is None or told in error.diag.message_hint
    assert fetch_value(owner, "select count(*) from pgqueue.configured") == 0


def test_only_administrators_and_whoever_has_declared_a_queue_configure_it(db, owner, alice, bob):
    db.create_role("boss", enrolled=False)
    owner.execute("grant pgqueue_admin to boss")
    db.create_role("stranger", enrolled=False)
    declare(alice, "audit")

    db.connect("boss").execute(SET, ["3", "other"])
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


def test_a_role_configures_its_own_jobs_and_sees_no_strangers_setting(alice, bob, owner, worker):
    declare(alice, "audit")
    alice.execute(SET, ["5", "audit"])
    enqueue(alice, 2)
    enqueue(bob, 2)

    claims = worker.claim("audit")

    assert sorted(sizes(claims)) == [1, 1, 5, 5]
    assert fetch_value(bob, "select count(*) from pgqueue.configuration") == 0
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
