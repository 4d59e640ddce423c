"""Who is next: a turn for each queue and for each role, of a role high priorities first, and nobody waits for ever."""

import json
from collections import Counter
from itertools import chain

import pytest
from psycopg import sql
from psycopg.types.json import Jsonb

from tests.harness.people import fetch_value


@pytest.fixture
def claim(worker):
    """Claim for the worker; what happens by chance happens in the same way each time."""
    worker.session.execute("select setseed(0.42)")

    def take(*queues, max_count=10, kind="job", role_limit=None, held=None):
        rows = worker.session.execute(
            "select c.id from pgqueue._claim(%s, %s, %s, %s, %s, %s) c",
            [worker.id, kind, list(queues) or ["default"], max_count, role_limit, Jsonb(held or {})],
        ).fetchall()
        return [row[0] for row in rows]

    return take


def enqueue(session, count, **options):
    named = "".join(f", {name} => %({name})s" for name in options)
    rows = session.execute(
        f"select (h).id from pgqueue.enqueue_many(array_fill('select 1'::text, array[%(count)s]){named}) h",
        {"count": count, **options},
    )
    return [row[0] for row in rows]


def let_wait(owner, ids, interval="2 min"):
    owner.execute(
        "update pgqueue.message set launched_at = launched_at - %s::interval where id = any (%s)", [interval, ids]
    )


def queue_of(owner, ids):
    rows = owner.execute("select queue from pgqueue.message where id = any (%s)", [ids]).fetchall()
    return Counter(row[0] for row in rows)


def test_a_short_queue_gets_its_turn_beside_a_long_one(alice, owner, claim):
    enqueue(alice, 1000, queue="long")
    short = enqueue(alice, 3, queue="short")

    first = claim("long", "short")

    assert set(short) <= set(first)
    assert queue_of(owner, first) == {"long": 7, "short": 3}


def test_long_queues_share_what_is_claimed(alice, owner, claim):
    for number, length in enumerate((1000, 500, 200)):
        enqueue(alice, length, queue=f"q{number}", priority=9 - number)

    assert queue_of(owner, claim("q0", "q1", "q2", max_count=30)) == {"q0": 10, "q1": 10, "q2": 10}


def test_the_place_in_which_a_worker_names_a_queue_gives_no_advantage(alice, owner, claim):
    for queue in ("a", "b"):
        enqueue(alice, 500, queue=queue)

    taken = sum((queue_of(owner, claim(*queues, max_count=1)) for queues in [("a", "b"), ("b", "a")] * 40), Counter())

    assert min(taken.values()) >= 20, taken


def test_high_priorities_come_first_while_nobody_has_waited_long(alice, claim):
    low = enqueue(alice, 20, priority=0)
    high = enqueue(alice, 200, priority=9)

    taken = list(chain.from_iterable(claim() for _ in range(20)))

    assert taken == high
    assert claim(max_count=20) == low


def test_a_low_priority_gets_a_turn_when_it_has_waited_for_a_minute(alice, owner, claim):
    low = enqueue(alice, 20, priority=0)
    let_wait(owner, low)
    high = enqueue(alice, 2000, priority=9)

    taken = [claim() for _ in range(100)]

    assert {len(ids) for ids in taken} == {10}
    got = [job_id for ids in taken for job_id in ids if job_id in set(low)]
    assert got == low[: len(got)]
    # Something, but no more than a tenth.
    assert 5 <= len(got) <= 20
    assert [job_id for ids in taken for job_id in ids if job_id in set(high)] == high[: 1000 - len(got)]


def test_each_of_several_low_priorities_gets_its_turn(alice, owner, claim):
    waiting = {priority: enqueue(alice, 200, priority=priority) for priority in (0, 3, 6)}
    for ids in waiting.values():
        let_wait(owner, ids)
    enqueue(alice, 4000, priority=9)

    taken = set(chain.from_iterable(claim() for _ in range(300)))

    assert all(taken & set(ids) for ids in waiting.values())


def test_a_low_priority_gets_its_turn_also_beside_another_queue(alice, owner, claim):
    low = enqueue(alice, 20, priority=0, queue="a")
    let_wait(owner, low)
    enqueue(alice, 2000, priority=9, queue="a")
    enqueue(alice, 2000, priority=9, queue="b")

    taken = set(chain.from_iterable(claim("a", "b") for _ in range(100)))

    assert taken & set(low)


def test_one_job_at_a_time_is_enough_for_a_low_priority_to_get_its_turn(alice, owner, claim):
    [low] = enqueue(alice, 1, priority=0)
    let_wait(owner, [low])
    enqueue(alice, 300, priority=9)

    taken = list(chain.from_iterable(claim(max_count=1) for _ in range(100)))

    assert low in taken
    assert len(taken) == 100
    assert fetch_value(owner, "select count(*) from pgqueue.message where state = 'ready'") == 201


def roles_of(owner, ids):
    rows = owner.execute("select submitter::regrole::text from pgqueue.message where id = any (%s)", [ids]).fetchall()
    return Counter(row[0] for row in rows)


def oid_of(owner, role):
    return fetch_value(owner, "select %s::regrole::oid", [role])


@pytest.fixture
def crowd(db):
    """Sessions of 60 roles."""
    return [db.connect(db.create_role(f"role_{n}")) for n in range(60)]


def test_a_role_gets_its_turn_beside_one_with_many_jobs_of_a_high_priority(alice, bob, claim):
    enqueue(alice, 1000, priority=9)
    few = enqueue(bob, 3, priority=0)

    assert set(few) <= set(claim())


def test_roles_share_what_is_claimed(alice, bob, owner, claim):
    enqueue(alice, 500, priority=9)
    enqueue(bob, 300)

    assert roles_of(owner, claim(max_count=30)) == {"alice": 15, "bob": 15}


def test_what_a_role_has_no_use_for_goes_to_the_others(alice, bob, owner, claim):
    enqueue(alice, 100)
    enqueue(bob, 2)

    assert roles_of(owner, claim(max_count=30)) == {"alice": 28, "bob": 2}
    assert len(claim(max_count=200)) == 72


@pytest.mark.parametrize("max_count", [1, 3])
def test_roles_take_turns_however_little_is_claimed(alice, bob, owner, claim, max_count):
    for session in (alice, bob):
        enqueue(session, 100)

    taken = sum((roles_of(owner, claim(max_count=max_count)) for _ in range(20)), Counter())

    assert taken == {"alice": 10 * max_count, "bob": 10 * max_count}


def test_each_of_many_roles_has_its_turn_before_any_has_its_second(crowd, owner, claim):
    for session in crowd:
        enqueue(session, 5)

    taken = [roles_of(owner, claim(max_count=20)) for _ in range(3)]

    assert sum(taken, Counter()) == {f"role_{n}": 1 for n in range(60)}


def test_a_claim_takes_from_as_many_roles_as_it_has_room_for(crowd, owner, claim):
    for session in crowd:
        enqueue(session, 2)

    taken = claim(max_count=115)

    assert len(taken) == 115
    assert set(roles_of(owner, taken).values()) <= {1, 2}
    assert len(claim(max_count=115)) == 5


def test_the_first_of_each_role_is_handed_out_before_the_second(alice, bob, owner, claim):
    enqueue(alice, 50)
    enqueue(bob, 50)

    order = [next(iter(roles_of(owner, [job_id]))) for job_id in claim(max_count=6)]

    assert order in (["alice", "bob"] * 3, ["bob", "alice"] * 3)


def test_a_role_keeps_its_own_order_beside_others(alice, bob, claim):
    low, high = enqueue(alice, 30, priority=1), enqueue(alice, 30, priority=8)
    enqueue(bob, 100, priority=9)

    taken = list(chain.from_iterable(claim() for _ in range(20)))

    assert [job_id for job_id in taken if job_id in {*low, *high}] == high + low


def test_a_role_in_two_queues_has_a_turn_in_each(alice, bob, owner, claim):
    for queue in ("a", "b"):
        enqueue(alice, 100, queue=queue)
    enqueue(bob, 100, queue="b")

    assert roles_of(owner, claim("a", "b", max_count=40)) == {"alice": 30, "bob": 10}


def test_tasks_of_roles_take_turns_as_well(alice, bob, owner, claim):
    alice.execute("select pgqueue.send_task('t', priority => 9) from generate_series(1, 300)")
    bob.execute("select pgqueue.send_task('t') from generate_series(1, 3)")

    assert roles_of(owner, claim("celery", kind="task"))["bob"] == 3


def test_no_more_of_a_role_is_claimed_than_its_share(alice, bob, owner, claim):
    enqueue(alice, 100)
    enqueue(bob, 100)
    held = {str(oid_of(owner, "alice")): 3}

    assert roles_of(owner, claim(max_count=30, role_limit=5, held=held)) == {"alice": 2, "bob": 5}
    assert roles_of(owner, claim(max_count=1, role_limit=3, held=held)) == {"bob": 1}
    assert claim(max_count=30, role_limit=0) == []


def test_a_role_that_is_alone_gets_no_more_than_its_share(alice, owner, claim):
    enqueue(alice, 100)

    assert len(claim(max_count=30, role_limit=5, held={str(oid_of(owner, "alice")): 3})) == 2
    assert claim(max_count=30, role_limit=3, held={str(oid_of(owner, "alice")): 3}) == []


def test_while_claims_are_dear_roles_take_turns_too_and_a_new_one_is_seen(alice, bob, owner, worker, claim):
    enqueue(alice, 300, priority=9)
    remember = "select set_config('pgqueue.claim_memory', %s, false)"
    worker.session.execute(remember, ['{"job": {"full_at": 9999999999, "bounds": {}, "seconds": 1}}'])
    claim()

    late = enqueue(bob, 3)
    seen = set(claim()) & set(late)

    assert seen == set(late)
    assert roles_of(owner, claim())["alice"] == 10


def test_a_dear_look_remembers_which_roles_had_nothing(alice, bob, owner, worker):
    enqueue(alice, 3)
    bounds = "select pgqueue._bound_roles('job', '{default}', '{}')"
    number = fetch_value(owner, "select last_value from pgqueue.message_id_seq")

    known = fetch_value(owner, bounds)["default"]

    assert known[str(oid_of(owner, "bob"))] == {"*": max(0, number - 1000)}
    assert known[str(oid_of(owner, "alice"))] == {}


def test_of_a_role_that_had_nothing_only_what_is_new_is_seen_while_claims_are_dear(alice, owner, worker, claim):
    old, new = enqueue(alice, 2)
    bounds = {"default": {str(oid_of(owner, "alice")): {"*": old}}}
    memory = {"job": {"full_at": 9999999999, "seconds": 1, "bounds": bounds}}
    worker.session.execute("select set_config('pgqueue.claim_memory', %s, false)", [json.dumps(memory)])

    assert claim() == [new]


def test_peeking_shows_the_roles_in_turn(alice, bob, owner):
    enqueue(alice, 3, priority=9)
    enqueue(bob, 1)

    rows = owner.execute("select submitter from pgqueue._peek('default', 2)").fetchall()

    assert {row[0] for row in rows} == {"alice", "bob"}


@pytest.mark.parametrize(("setting", "executors"), [(None, None), ("2", 2), ("0", None), ("many", None)])
def test_the_share_of_a_role_is_a_setting_of_the_database(alice, bob, owner, superuser, setting, executors):
    if setting is not None:
        change = sql.SQL("alter database {} set pgqueue.max_executors_per_role = {}")
        superuser.execute(change.format(sql.Identifier(superuser.info.dbname), setting))

    assert owner.execute("select * from pgqueue._role_limit()").fetchone() == (executors, True)


def test_where_one_role_is_enrolled_there_are_no_others(db, owner):
    db.create_role("only")

    assert fetch_value(owner, "select has_others from pgqueue._role_limit()") is False


def spread(owner, queue_count):
    """Put the messages into queues in turn: q0, q1, ..."""
    owner.execute("update pgqueue.message set queue = 'q' || id %% %s", [queue_count])
    return [f"q{number}" for number in range(queue_count)]


def test_of_many_queues_a_claim_takes_some_of_each_of_a_few(alice, owner, claim):
    enqueue(alice, 1200)
    queues = spread(owner, 60)

    first = queue_of(owner, claim(*queues, max_count=240))
    rest = [queue_of(owner, claim(*queues, max_count=240)) for _ in range(4)]

    assert (len(first), set(first.values())) == (15, {16})
    assert sum([first, *rest], Counter()) == dict.fromkeys(queues, 20)


def test_a_claim_of_many_queues_locks_no_more_than_it_takes(alice, owner, worker, claim):
    enqueue(alice, 1200)
    queues = spread(owner, 60)
    free = "select count(*) from (select from pgqueue.message where state = 'ready' for update skip locked) f"

    with worker.session.transaction():
        assert len(claim(*queues, max_count=240)) == 240
        assert fetch_value(owner, free) == 960


def test_what_many_queues_have_no_use_for_goes_to_the_others(alice, owner, claim):
    enqueue(alice, 30)
    queues = spread(owner, 30)
    deep = enqueue(alice, 200, queue="q7")

    taken = claim(*queues, max_count=150)

    assert queue_of(owner, taken) == {**dict.fromkeys(queues, 1), "q7": 121}
    assert [job_id for job_id in taken if job_id in set(deep)] == deep[:120]
    assert len(claim(*queues, max_count=150)) == 80


def test_a_role_gets_no_more_than_its_share_of_many_queues(alice, owner, claim):
    enqueue(alice, 200)
    queues = spread(owner, 4)
    enqueue(alice, 100, queue="q0")

    assert len(claim("q0", "empty", max_count=100, role_limit=30)) == 30
    assert len(claim(*queues, max_count=400, role_limit=30)) <= 4 * 30


def test_a_role_that_gets_its_share_hides_no_other_role_in_one_of_many_queues(alice, bob, owner, claim):
    enqueue(alice, 600)
    queues = spread(owner, 60)
    few = enqueue(bob, 2, queue="q37")

    assert set(few) <= set(claim(*queues, max_count=200, role_limit=30))


def test_a_role_that_has_its_share_hides_no_other_role_in_one_of_many_queues(alice, bob, owner, claim):
    enqueue(alice, 600)
    queues = spread(owner, 60)
    few = enqueue(bob, 2, queue="q37")
    held = {str(oid_of(owner, "alice")): 30}

    assert sorted(claim(*queues, max_count=200, role_limit=30, held=held)) == few
    assert claim(*queues, max_count=200, role_limit=30, held=held) == []


def test_of_many_queues_a_claim_keeps_asking_until_it_has_enough(alice, owner, claim):
    enqueue(alice, 60)
    queues = spread(owner, 60)
    empty = [f"empty{number}" for number in range(100)]

    assert len(claim(*queues, *empty, max_count=50)) == 50
    assert len(claim(*queues, *empty, max_count=50)) == 10


def test_a_small_claim_takes_an_eighth_of_its_room_from_a_role(crowd, owner, claim):
    for session in crowd:
        enqueue(session, 30)

    assert set(roles_of(owner, claim(max_count=80)).values()) == {8}


def test_of_many_roles_a_claim_takes_some_jobs_of_each_of_a_few_and_then_of_the_next_ones(crowd, owner, claim):
    for session in crowd:
        enqueue(session, 40)

    taken = [roles_of(owner, claim(max_count=480)) for _ in range(12)]

    assert (len(taken[0]), set(taken[0].values())) == (15, {32})
    assert sum(taken[:2], Counter()).most_common()[0][1] <= 32
    assert sum(taken, Counter()) == {f"role_{n}": 40 for n in range(60)}


def test_bounds_for_old_snapshots_are_kept_only_for_few_pairs_of_a_queue_and_a_role(db, owner):
    for n in range(20):
        owner.execute("select pgqueue.enroll(%s::regrole)", [db.create_role(f"crowd_{n}")])
    roles = fetch_value(owner, "select count(*) from pgqueue.role_key")

    few, many = ([f"q{n}" for n in range(count)] for count in (2000 // roles, 2000 // roles + 1))

    assert fetch_value(owner, "select pgqueue._may_be_bounded(%s, 1)", [few]) is True
    assert fetch_value(owner, "select pgqueue._may_be_bounded(%s, 1)", [many]) is False
    assert fetch_value(owner, "select pgqueue._may_be_bounded(%s, 0)", [few]) is False
