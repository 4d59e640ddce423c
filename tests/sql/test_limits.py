"""Limits of queues: what pgqueue.set_limit takes, from whom, what a claim then gives, and where it shows."""

import json
import time

import pytest

from pgqueue.sql import query
from tests.harness import eventually
from tests.harness.claimant import Claimant
from tests.harness.people import fetch_value, refused
from tests.sql.test_configuration import declare

ENQUEUE = "select id from pgqueue.enqueue_many(array_fill('select 1'::text, array[%s]), queue => %s, limit_key => %s)"


def enqueue(session, count, key=None, queue="mail"):
    return [row[0] for row in session.execute(ENQUEUE, [count, queue, key])]


def send(session, count, key=None, queue="mail"):
    for _ in range(count):
        session.execute("select pgqueue.send_task('t', queue => %s, limit_key => %s)", [queue, key])


def ids(claims):
    return [claim.id for claim in claims]


def end(session, claims):
    session.execute("delete from pgqueue.message where id = any (%s)", [ids(claims)])


def key_counts(session, claims):
    rows = session.execute(
        "select limit_key, count(*) from pgqueue.message where id = any (%s) group by 1", [ids(claims)]
    )
    return dict(rows.fetchall())


def test_no_more_than_max_running_are_claimed_until_one_ends(owner, alice, worker):
    owner.execute("select pgqueue.set_limit('mail', max_running => 3)")
    enqueue(alice, 10)

    first = worker.claim("mail")
    assert len(first) == 3
    assert worker.claim("mail") == []

    assert worker.run(first[0]) == "succeeded"
    assert len(worker.claim("mail")) == 1
    assert worker.claim("mail") == []


def test_max_running_counts_jobs_and_tasks_of_all_roles_and_keys(owner, alice, bob, worker):
    owner.execute("select pgqueue.set_limit('mail', max_running => 4)")
    enqueue(alice, 2)
    enqueue(bob, 2, "tenant")
    send(alice, 5)

    claimed = worker.claim("mail", max_count=3) + worker.claim("mail", kind="task", max_count=5)

    assert len(claimed) == 4
    assert worker.claim("mail") == worker.claim("mail", kind="task") == []


def test_each_key_has_its_limit_and_those_without_a_key_have_one_together(owner, alice, worker):
    owner.execute("select pgqueue.set_limit('mail', per_key => 2)")
    for key in ("a", "b", None):
        enqueue(alice, 5, key)

    claims = worker.claim("mail", max_count=100)

    assert key_counts(owner, claims) == {"a": 2, "b": 2, None: 2}
    assert worker.claim("mail", max_count=100) == []
    assert key_counts(owner, worker.claim("mail")) == {}


def test_a_key_belongs_to_the_role_that_submits(owner, alice, bob, worker):
    """Otherwise one role could hold up the jobs of another by submitting long jobs with the other's key."""
    owner.execute("select pgqueue.set_limit('mail', per_key => 1)")
    enqueue(alice, 3, "a")
    mine = enqueue(bob, 3, "a")

    claims = worker.claim("mail", max_count=100)

    assert len(claims) == 2
    assert len(set(ids(claims)) & set(mine)) == 1


def test_a_single_message_of_a_key_is_not_behind_those_of_another(owner, alice, worker):
    owner.execute("select pgqueue.set_limit('mail', max_running => 4)")
    enqueue(alice, 100, "big")
    [single] = enqueue(alice, 1, "small")

    assert single in ids(worker.claim("mail", max_count=4))


def test_keys_take_turns_without_a_limit_as_well(owner, alice, worker):
    enqueue(alice, 100, "big")
    [single] = enqueue(alice, 1, "small")
    [plain] = enqueue(alice, 1)

    claimed = ids(worker.claim("mail", max_count=4))

    assert single in claimed
    assert plain in claimed


def test_roles_take_turns_whatever_the_number_of_their_keys(owner, alice, bob, worker):
    for n in range(50):
        enqueue(alice, 1, f"key {n}")
    mine = enqueue(bob, 5, "one")

    claimed = ids(worker.claim("mail", max_count=8))

    assert len(set(claimed) & set(mine)) == 4


def test_priorities_hold_within_a_key(owner, alice, worker):
    enqueue(alice, 2, "a")
    high = fetch_value(
        alice, "select (pgqueue.enqueue('select 1', queue => 'mail', limit_key => 'a', priority => 5)).id"
    )

    assert ids(worker.claim("mail", max_count=1)) == [high]


def test_a_rate_allows_a_burst_and_then_one_after_the_other(owner, alice, worker):
    owner.execute("select pgqueue.set_limit('mail', rate => 10, period => '1 s', burst => 3)")
    enqueue(alice, 20, "a")
    enqueue(alice, 1, "b")

    claims = worker.claim("mail", max_count=100)
    assert key_counts(owner, claims) == {"a": 3, "b": 1}
    assert worker.claim("mail") == []

    eventually(lambda: len(worker.claim("mail")) == 1)


def test_a_rate_holds_over_a_longer_time(owner, alice, worker):
    owner.execute("select pgqueue.set_limit('mail', rate => 100, period => '1 min')")
    enqueue(alice, 300)
    begun_at = time.monotonic()
    started = len(worker.claim("mail", max_count=300))

    for _ in range(600):  # a minute passes, in which workers look all the time
        owner.execute("update pgqueue.limit_state set next_at = next_at - interval '100 ms'")
        started += len(worker.claim("mail", max_count=300))

    allowed = 5 + (60 + time.monotonic() - begun_at) / 0.6
    assert allowed - 5 <= started <= allowed


def test_a_claim_says_when_to_look_again(owner, alice, worker):
    owner.execute("select pgqueue.set_limit('mail', rate => 1, period => '1 min')")
    enqueue(alice, 3)
    demand = json.dumps([{"kind": "job", "queues": ["mail"], "room": 5}])
    look = "select kind, message from pgqueue._ack_and_claim(%s, '{}', '{}', %s)"

    worker.session.execute(look, [worker.id, demand])
    *_, (kind, message) = worker.session.execute(look, [worker.id, demand]).fetchall()

    assert kind is None
    assert 55 < float(message) <= 60


def test_what_is_claimed_when_a_limit_is_set_counts(owner, alice, worker):
    enqueue(alice, 5, "a")
    enqueue(alice, 5)
    running = worker.claim("mail", max_count=2)
    assert key_counts(owner, running) == {"a": 1, None: 1}

    owner.execute("select pgqueue.set_limit('mail', max_running => 4, per_key => 1)")
    assert worker.claim("mail") == []
    owner.execute("select pgqueue.set_limit('mail', max_running => 4)")
    assert len(worker.claim("mail")) == 2
    owner.execute("select pgqueue.set_limit('mail')")
    assert len(worker.claim("mail")) == 6


def test_a_failed_a_released_and_a_lost_message_give_their_places_back(db, owner, alice, worker):
    owner.execute("select pgqueue.set_limit('mail', per_key => 1)")
    other = Claimant(db, "w2")
    alice.execute("select pgqueue.enqueue('select 1/0', queue => 'mail', limit_key => 'a')")
    enqueue(alice, 3, "a")

    assert worker.run(worker.claim_one("mail")) == "failed"
    released = worker.claim_one("mail")
    worker.session.execute("select pgqueue._release(%s, %s, true)", [[released.id], [released.token]])
    assert ids(worker.claim("mail")) == [released.id]
    assert other.claim("mail") == []

    worker.presence.close()

    def reclaimed():
        owner.execute("select pgqueue._reclaim(20)")
        return ids(other.claim("mail"))

    assert eventually(reclaimed) == [released.id]


def test_a_paused_queue_gives_nothing(owner, alice, worker):
    owner.execute("select pgqueue.set_limit('mail', per_key => 1)")
    owner.execute("select pgqueue.pause('mail')")
    enqueue(alice, 3, "a")

    assert worker.claim("mail") == []


def test_a_queue_with_limits_and_one_without_share_a_claim(owner, alice, worker):
    owner.execute("select pgqueue.set_limit('mail', max_running => 2)")
    enqueue(alice, 10, "a")
    enqueue(alice, 10, queue="plain")

    claims = worker.claim("mail", "plain", max_count=8)

    assert sorted(claim.queue for claim in claims) == ["mail"] * 2 + ["plain"] * 6


def test_a_job_that_waits_for_one_under_a_limit_does_not_take_it_beyond_the_limit(owner, alice, worker):
    owner.execute("select pgqueue.set_limit('default', per_key => 1)")
    enqueue(alice, 2, "a", "default")
    waiter = worker.claim_one()
    worker.session.execute("select pgqueue._set_worker_queues(%s, '{default}')", [worker.id])
    [other] = alice.execute("select id from pgqueue.jobs where id <> %s", [waiter.id]).fetchone()

    claim = "select * from pgqueue._claim_awaited(%s, %s, %s)"
    assert worker.session.execute(claim, [waiter.id, waiter.token, other]).fetchall() == []


def test_an_acked_task_keeps_its_place_until_it_has_ended_and_does_not_come_back(db, owner, alice, worker):
    owner.execute("select pgqueue.set_limit('mail', per_key => 1)")
    send(alice, 2, "a")
    claim = worker.claim_one("mail", kind="task")
    assert claim.lane == "held"
    worker.session.execute("select pgqueue._ack_early(%s, %s)", [[claim.id], [claim.token]])
    assert worker.claim("mail", kind="task") == []

    worker.session.execute("select pgqueue._release(%s, %s, false)", [[claim.id], [claim.token]])

    assert worker.claim_one("mail", kind="task").id != claim.id


def test_an_acked_task_of_a_lost_worker_does_not_come_back(db, owner, alice, worker):
    owner.execute("select pgqueue.set_limit('mail', per_key => 1)")
    send(alice, 1, "a")
    claim = worker.claim_one("mail", kind="task")
    worker.session.execute("select pgqueue._ack_early(%s, %s)", [[claim.id], [claim.token]])
    worker.presence.close()

    def gone():
        owner.execute("select pgqueue._reclaim(20)")
        return fetch_value(owner, "select count(*) from pgqueue.message") == 0

    assert eventually(gone)


@pytest.mark.parametrize("way_in", ["launch", "submit", "enqueue"])
def test_every_way_in_takes_a_limit_key(alice, owner, way_in):
    alice.execute(f"select pgqueue.{way_in}('select 1', limit_key => 'a')")

    assert fetch_value(owner, "select limit_key from pgqueue.message") == "a"


@pytest.mark.parametrize("headers", [None, '{"limit_key": "a", "other": 1}'])
def test_a_task_takes_its_key_as_an_option_or_as_a_header(alice, owner, headers):
    key = None if headers else "a"
    alice.execute("select pgqueue.send_task('t', headers => %s, limit_key => %s)", [headers, key])

    row = owner.execute("select limit_key, payload #>> '{headers,limit_key}' from pgqueue.message").fetchone()
    assert row == ("a", "a")


@pytest.mark.parametrize("key", ["", "x" * 256])
@pytest.mark.parametrize(
    "statement",
    [
        "select pgqueue.launch('select 1', limit_key => %s)",
        "select pgqueue.enqueue('select 1', limit_key => %s)",
        "select pgqueue.enqueue_many(array['select 1'], limit_key => %s)",
        "select pgqueue.send_task('t', limit_key => %s)",
        "select pgqueue._publish('', 'q', '{}', 0, null, null, %s)",
        "select pgqueue._publish('', 'q', '{}', 0, now() + interval '1 h', null, %s)",
    ],
)
def test_a_key_that_is_too_long_is_refused(alice, statement, key):
    error = refused(alice, statement, [key])

    assert (error.sqlstate, error.diag.message_primary) == ("22023", "limit_key must have 1 to 255 bytes")
    assert "for example a tenant" in (error.diag.message_hint or "")


def test_triggers_take_a_key_or_the_column_that_has_it(db, owner, alice):
    alice_role = alice.info.user
    owner.execute("create table ordered (id int, tenant text)")
    owner.execute(f"grant all on ordered to {alice_role}")
    owner.execute(
        "create trigger a after insert on ordered for each row"
        " execute function pgqueue.enqueue_trigger('sql', 'select 1', 'id', 'queue=rows', 'limit_key_column=tenant')"
    )
    owner.execute(
        "create trigger b after insert on ordered referencing new table as made for each statement"
        " execute function pgqueue.enqueue_trigger('sql', 'select 1', 'id', 'queue=statement', 'limit_key_column=tenant')"
    )
    owner.execute(
        "create trigger c after insert on ordered for each row"
        " execute function pgqueue.enqueue_trigger('task', 't', 'id', 'queue=task', 'limit_key=same')"
    )
    owner.execute(
        "create trigger d after insert on ordered referencing new table as made for each statement"
        " execute function pgqueue.enqueue_trigger('task', 't', 'id', 'queue=tasks', 'limit_key_column=tenant')"
    )

    alice.execute("insert into ordered values (1, 'x'), (2, 'y'), (3, null)")

    rows = owner.execute("select queue, array_agg(limit_key order by id) from pgqueue.message group by 1 order by 1")
    assert rows.fetchall() == [
        ("rows", ["x", "y", None]),
        ("statement", ["x", "y", None]),
        ("task", ["same"] * 3),
        ("tasks", ["x", "y", None]),
    ]


@pytest.mark.parametrize(
    ("options", "sqlstate", "told"),
    [
        ("'limit_key=a', 'limit_key_column=id'", "22023", "both limit_key and limit_key_column are given"),
        ("'limit_key_column=nobody'", "42703", 'column "nobody" named in the trigger does not exist'),
        ("'limit_key='", "22023", "limit_key must have 1 to 255 bytes"),
    ],
)
@pytest.mark.parametrize("level", ["for each row", "referencing new table as made for each statement"])
def test_a_trigger_with_a_bad_key_is_refused(owner, alice, options, sqlstate, told, level):
    owner.execute("create table ordered (id int)")
    owner.execute(f"grant all on ordered to {alice.info.user}")
    owner.execute(
        f"create trigger a after insert on ordered {level}"
        f" execute function pgqueue.enqueue_trigger('sql', 'select 1', 'id', {options})"
    )

    error = refused(alice, "insert into ordered values (1)")

    assert error.sqlstate == sqlstate
    assert told in (error.diag.message_primary or "")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("'', 1", "queue name must have 1 to 255 bytes"),
        ("null, 1", "queue name must have 1 to 255 bytes"),
        ("'mail', max_running => -1", "max_running -1 is out of range"),
        ("'mail', max_running => 10001", "max_running 10001 is out of range"),
        ("'mail', per_key => 0", "per_key 0 is out of range"),
        ("'mail', rate => 0", "rate 0 is out of range"),
        ("'mail', rate => 5, period => '0.5 s'", 'period "00:00:00.5" is out of range'),
        ("'mail', rate => 5, period => null", 'period "NULL" is out of range'),
        ("'mail', rate => 5, burst => 0", "burst 0 is out of range"),
        ("'mail', burst => 2", "burst is given without rate"),
    ],
)
def test_a_limit_that_is_no_limit_is_refused(owner, arguments, told):
    error = refused(owner, f"select pgqueue.set_limit({arguments})")

    assert (error.sqlstate, error.diag.message_primary) == ("22023", told)


def test_administrators_limit_a_queue_for_all_and_its_owner_for_its_own_messages(owner, alice, bob, worker):
    error = refused(alice, "select pgqueue.set_limit('mail', per_key => 1)")
    assert (error.sqlstate, error.diag.message_primary) == ("42501", 'permission denied for queue "mail"')

    declare(alice, "mail")
    alice.execute("select pgqueue.set_limit('mail', max_running => 1)")
    enqueue(alice, 5)
    enqueue(bob, 5)
    assert len(worker.claim("mail", max_count=100)) == 6

    owner.execute("select pgqueue.set_limit('mail', max_running => 100)")
    error = refused(alice, "select pgqueue.set_limit('mail')")
    assert error.diag.message_primary == 'permission denied for the limits of queue "mail"'
    assert len(worker.claim("mail", max_count=100)) == 4
    # The view lists the limits that count.
    listed = "select max_running, role from pgqueue.limits where limit_key is null"
    assert alice.execute(listed).fetchall() == [(100, None)]
    assert owner.execute(listed).fetchall() == [(100, None)]

    owner.execute("select pgqueue.set_limit('mail')")
    assert alice.execute(listed).fetchall() == [(1, alice.info.user)]


def test_the_view_shows_the_limits_and_what_they_count(owner, alice, bob, worker):
    owner.execute("select pgqueue.set_limit('mail', max_running => 3, per_key => 1, rate => 200)")
    enqueue(alice, 2, "a")
    enqueue(bob, 2, "b")
    worker.claim("mail")

    shown = "select queue, limit_key, running, waiting, max_running, per_key, rate, period, burst from pgqueue.limits order by 2"
    rest = (3, 1, 200, fetch_value(owner, "select interval '1 min'"), 10)
    assert owner.execute(shown).fetchall() == [
        ("mail", "a", 1, 1, *rest),
        ("mail", "b", 1, 1, *rest),
        ("mail", None, 2, 2, *rest),
    ]
    assert alice.execute(shown).fetchall() == [("mail", "a", 1, 1, *rest), ("mail", None, 1, 1, *rest)]

    owner.execute("select pgqueue.set_limit('mail')")
    assert owner.execute(shown).fetchall() == []


def test_counts_of_keys_that_are_not_used_any_more_are_forgotten(owner, alice, worker):
    owner.execute("select pgqueue.set_limit('mail', per_key => 1)")
    enqueue(alice, 1, "ended")
    enqueue(alice, 1, "runs")
    claims = worker.claim("mail")
    worker.run(claims[0])
    owner.execute("select pgqueue._forget_limits()")
    assert fetch_value(owner, "select count(*) from pgqueue.limit_holder where not is_total") == 2

    owner.execute("update pgqueue.limit_state set written_at = written_at - interval '11 min'")
    owner.execute("select pgqueue._forget_limits()")

    assert owner.execute("select limit_key from pgqueue.limit_holder").fetchall() == [("runs",)]
    assert fetch_value(owner, "select count(*) from pgqueue.limit_state") == 1


def test_the_policies_of_a_queue_hold_under_limits(owner, alice, worker):
    """A claim under limits is a statement of its own; it must give a job what the other one gives it."""
    enqueue(alice, 4, queue="plain")
    enqueue(alice, 4, "a", queue="limited")
    for queue in ("plain", "limited"):
        owner.execute("select pgqueue.configure('group_commit', '7', queue => %s)", [queue])
        owner.execute("select pgqueue.configure('timeout', '3 min', queue => %s)", [queue])
        owner.execute("select pgqueue.set_durability(%s, 'async')", [queue])
    owner.execute("select pgqueue.set_limit('limited', per_key => 3)")

    for queue in ("plain", "limited"):
        first, second, third = worker.claim(queue, max_count=3)
        shown = owner.execute(
            "select queue_timeout::text, settings ->> 'synchronous_commit', deliveries from pgqueue.message where id = any (%s)",
            [ids([first, second, third])],
        ).fetchall()
        assert [claim.message[1] for claim in (first, second, third)] == [7] * 3
        assert shown == [("00:03:00", "off", 1)] * 3


def test_a_claim_for_many_queues_leaves_no_keyed_message_where_there_is_room(alice, bob, worker):
    # Most of the queues are empty, and one role has most of what waits.
    empty = [f"nothing{n}" for n in range(6)]
    for n in range(8):
        alice.execute("select pgqueue.enqueue('select 1', queue => 'mail', limit_key => %s)", [f"t{n % 4}"])
    bob.execute("select pgqueue.enqueue('select 1', queue => 'mail', limit_key => 't0')")
    alice.execute("select pgqueue.enqueue('select 1', queue => 'plain')")

    claimed = asked = 0
    while claimed < 10:
        demand = [{"kind": "job", "queues": ["mail", "plain", *empty], "room": 4}]
        rows = worker.session.execute(query("ack_and_claim"), worker._look(demand)).fetchall()[1:]
        count = sum(row[1] is not None for row in rows)
        claimed, asked = claimed + count, asked + 1
        # Either the room is used up, or the worker is told to look again at once.
        assert count == 4 or rows[-1][1] is None or claimed == 10

    assert asked <= 5
