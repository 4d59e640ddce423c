"""Each hot statement uses its index and touches about its batch, in a crowded queue.

Bounds are pages touched, which do not depend on the machine; they leave about half to spare.
"""

import json

import pytest

from pgqueue.sql import query
from tests.harness.claimant import Claimant
from tests.harness.people import fetch_value
from tests.plans.conftest import ENQUEUE
from tests.plans.explained import plan_of

CLAIM = "select id, token from pgqueue._claim(%s, 'job', %s, %s)"
CLAIM_ANNOUNCED = "select id, token from pgqueue._claim_announced(%s, %s, %s)"
CLAIM_STATEMENT = "with wanted as"
# Of a session whose claims are dear it is the second of two, which looks above its bounds.
READY_STATEMENT = "select m.id, pgqueue._rank(m.priority, m.id)"
# Which queues have messages of roles that may have more.
NEXT_QUEUES = "select coalesce(array_agg(n.queue"
# Whether there is anything at all: ready, or delayed and due.
FIRST_LOOK = "select exists (select from pgqueue.worker"

# A claimed row is found, locked and written: its page, and a new entry in each of the table's full indexes.
PAGES_PER_CLAIM = 30


@pytest.fixture(autouse=True)
def undone(crowd):
    """Each test leaves the queue as it found it, in a session that has read the catalog and marked what is dead."""
    # What the test before has claimed and undone is dead in the indexes, and a page that is touched for it counts.
    crowd.owner.execute("vacuum (index_cleanup on) pgqueue.message")
    crowd.explained.session.execute("begin")
    for _ in range(2):
        for queue in ("nothing", "paused"):
            claim(crowd, [queue], 1)
        crowd.explained.run("select pgqueue._seconds_to_next_due()")
    yield
    crowd.explained.session.execute("rollback")


def claim(crowd, queues, count):
    # A claim that took long on a busy machine makes the session look above bounds: what that costs is in test_dead_rows.
    crowd.explained.session.execute("set pgqueue.claim_memory = '{}'")
    return crowd.explained.run(CLAIM, [crowd.worker.id, queues, count])


@pytest.mark.parametrize("count", [1, 10, 100])
def test_a_claim_touches_about_its_batch(crowd, count):
    for _ in range(7):  # plpgsql thinks about a generic plan from the sixth time on
        rows, plans = claim(crowd, ["busy"], count)
    # One claim in ten also looks for what waits behind higher priorities.
    claims = [(plan_of(plans, CLAIM_STATEMENT), plans)]
    claims += [
        (plan_of(plans, CLAIM_STATEMENT), plans) for _ in range(3) for plans in [claim(crowd, ["busy"], count)[1]]
    ]

    plan, plans = min(claims, key=lambda found: found[0].buffers)
    assert len(rows) == count
    assert "message_pkey" in plan.indexes
    assert plan_of(plans, READY_STATEMENT).indexes == {"message_ready"}
    assert not any("message" in plan.scanned for plan in plans)
    assert plan.buffers < PAGES_PER_CLAIM * count + 30


def test_a_claim_from_many_queues_touches_about_its_batch_and_a_bit_of_each(crowd):
    rows, plans = claim(crowd, ["busy", "paused", "nothing", *(f"q{n}" for n in range(20))], 100)

    plan = plan_of(plans, CLAIM_STATEMENT)
    assert len(rows) == 100
    assert "message" not in plan.scanned
    # It looks at a whole batch of each queue, for any of them may be the only one that has so many.
    assert plan.buffers < PAGES_PER_CLAIM * 100 + 21 * 100 * 6


def test_a_claim_for_many_roles_touches_about_its_batch_and_a_bit_of_each_role(crowd):
    # In a queue of its own: the other tests expect alice's jobs.
    roles = 30
    crowd.enqueue(50_000, "shared")
    for n in range(roles):
        crowd.db.connect(crowd.db.create_role(f"role_{n}")).execute(ENQUEUE, [50, "shared", None])

    rows, plans = claim(crowd, ["shared"], 2 * roles)

    plan = plan_of(plans, CLAIM_STATEMENT)
    submitters = "select count(distinct submitter) from pgqueue.message where id = any (%s)"
    # Of an eighth of the room and no more: five messages of each of twelve roles. The next claim begins with the others.
    assert fetch_value(crowd.explained.session, submitters, [[row[0] for row in rows]]) == 12
    assert len(rows) == 2 * roles
    assert not any("message" in plan.scanned for plan in plans)
    assert plan.buffers < PAGES_PER_CLAIM * len(rows) + roles * 30


def test_a_claim_of_many_queues_reads_nothing_of_a_role_that_has_its_share(crowd):
    queues = ["busy", *(f"q{n}" for n in range(20))]
    role = fetch_value(crowd.explained.session, "select 'alice'::regrole::oid::text")
    crowd.explained.session.execute("set pgqueue.claim_memory = '{}'")

    rows, plans = crowd.explained.run(
        "select id from pgqueue._claim(%s, 'job', %s, 100, 5, %s::jsonb)",
        [crowd.worker.id, queues, json.dumps({role: 5})],
    )

    assert rows == []
    plan = plan_of(plans, NEXT_QUEUES)
    assert plan.indexes == {"message_ready"}
    # Those before the role and those behind it are looked for in each queue.
    assert plan.buffers < len(queues) * 2 * 5
    assert not [plan for plan in plans if plan.statement.startswith(READY_STATEMENT)]


def test_a_claim_asks_only_as_many_queues_as_it_has_room_for(crowd):
    crowd.explained.session.execute("set pgqueue.claim_memory = '{}'")

    rows, plans = crowd.explained.run(CLAIM, [crowd.worker.id, [f"q{n}" for n in range(20)], 2])

    assert len(rows) == 2
    assert plan_of(plans, NEXT_QUEUES).buffers < 2 * 6


@pytest.mark.parametrize(("queue", "statement"), [("nothing", FIRST_LOOK), ("paused", CLAIM_STATEMENT)])
def test_a_claim_from_an_empty_or_a_paused_queue_touches_next_to_nothing(crowd, queue, statement):
    rows, plans = claim(crowd, [queue], 100)

    assert rows == []
    # One claim in ten also looks for what waits behind higher priorities.
    assert plan_of(plans, statement).buffers < 80


def test_a_claim_sees_by_the_index_that_there_is_something(crowd):
    rows, plans = claim(crowd, ["busy"], 1)

    plan = plan_of(plans, FIRST_LOOK)
    assert len(rows) == 1
    assert plan.indexes >= {"message_ready", "message_delayed"}
    assert not plan.scanned & {"message", "worker"}
    assert plan.buffers < 40


def test_the_delayed_cost_a_claim_nothing(crowd):
    claim(crowd, ["nothing"], 1)  # marks what the tests before have undone

    rows, plans = claim(crowd, ["nothing"], 100)

    assert rows == []
    look = plan_of(plans, FIRST_LOOK)
    assert look.indexes >= {"message_delayed"}
    assert "message" not in look.scanned
    assert look.buffers < 30


def test_promoting_touches_what_is_due_up_to_its_limit(crowd):
    crowd.explained.run(
        "update pgqueue.message set due_at = now() where id in (select id from pgqueue.message where state = 'delayed' limit 5000)"
    )

    _, plans = crowd.explained.run("select pgqueue._promote(1000)")

    plan = plan_of(plans, "update pgqueue.message m set state = 'ready'")
    assert "message_delayed" in plan.indexes
    assert plan.buffers < 1000 * 40


def test_how_long_until_the_next_is_due_is_one_look(crowd):
    crowd.explained.run("select pgqueue._seconds_to_next_due()")  # marks what the tests before have undone

    _, plans = crowd.explained.run("select pgqueue._seconds_to_next_due()")

    plan = plan_of(plans, "select extract(epoch from m.due_at")
    assert plan.indexes == {"message_delayed"}
    assert plan.buffers < 40


@pytest.mark.parametrize("call", ["_ack(%s, %s)", "_release(%s, %s, false)"])
def test_ending_a_batch_touches_its_rows(crowd, call):
    rows, _ = claim(crowd, ["busy"], 100)

    _, plans = crowd.explained.run(f"select pgqueue.{call}", [[row[0] for row in rows], [row[1] for row in rows]])

    plan = plan_of(plans, "with gone as" if "ack" in call else "with back as")
    assert "message_pkey" in plan.indexes
    assert "message" not in plan.scanned
    assert plan.buffers < 100 * 30


RUN_OF_A_JOB = (
    "_begin_job(%s, %s)",
    "_lock_job(%s, %s)",
    "_append_result(%s, %s, 1, '[]')",
    "_complete_job(%s, %s, '{SELECT 1}', 1, '[]', '[]', '{}')",
)


def test_running_a_job_touches_its_own_rows(crowd, request):
    (first, second), _ = claim(crowd, ["busy"], 2)
    crowd.explained.session.execute("set session authorization alice")
    request.addfinalizer(lambda: crowd.explained.session.execute("set session authorization default"))
    for call in RUN_OF_A_JOB:  # a session that is new reads the catalog, too
        crowd.explained.run(f"select pgqueue.{call}", first)

    for call in RUN_OF_A_JOB:
        _, plans = crowd.explained.run(f"select pgqueue.{call}", second)
        assert not [plan.scanned for plan in plans if "message" in plan.scanned], call
        nested = [plan.buffers for plan in plans if not plan.statement.startswith("select pgqueue.")]
        assert max(nested, default=0) < 60, (call, nested)


def test_progress_touches_its_own_rows(crowd):
    (claimed,), _ = claim(crowd, ["busy"], 1)

    _, plans = crowd.explained.run("select pgqueue._set_progress(%s, %s, 1, 'x')", claimed)

    assert not [plan.scanned for plan in plans if "message" in plan.scanned]


def test_a_job_of_the_batch_lane_touches_its_own_rows(crowd):
    rows, _ = claim(crowd, ["busy"], 2000)
    # A job is the first of its transaction.
    crowd.explained.session.execute("commit")
    runner = fetch_value(crowd.owner, "select 'pgqueue_run.job_' || 'alice'::regrole::oid")

    def run(job_id, token):
        yield crowd.explained.run(f"select {runner}(%s, %s)", [job_id, token])
        yield crowd.explained.run("select pgqueue_run.finish_job(%s, %s, '1 on ', 'somebody')", [job_id, token])

    for row in rows[:7]:  # plpgsql thinks about a generic plan from the sixth time on
        steps = list(run(*row))
    crowd.owner.execute("select pgqueue._release(%s, %s, true)", [[row[n] for row in rows] for n in range(2)])

    for _, plans in steps:
        assert not [plan.scanned for plan in plans if "message" in plan.scanned]
        assert not any("message_claimed" in plan.indexes for plan in plans)
        assert max(plan.buffers for plan in plans) < 150


def test_a_failure_touches_its_own_rows(crowd):
    ((job_id, token),), _ = claim(crowd, ["busy"], 1)

    _, plans = crowd.explained.run("select pgqueue._fail_any_job(%s, %s, %s)", [job_id, token, '{"sqlstate": "22012"}'])

    assert not [plan.scanned for plan in plans if "message" in plan.scanned]
    assert plan_of(plans, "delete from pgqueue.message").indexes == {"message_pkey"}


def test_a_handle_finds_its_job_by_index(crowd):
    crowd.alice.execute("select pgqueue.enqueue('select 1', queue => 'handles')")
    handle = fetch_value(
        crowd.owner, "select row(id, cookie)::pgqueue.handle::text from pgqueue.message where queue = 'handles' limit 1"
    )
    role = fetch_value(crowd.owner, "select 'alice'::regrole::oid")

    for call in ("_locate(%s, %s::pgqueue.handle, '55000')", "_cancel(%s, %s::pgqueue.handle, 0)"):
        _, plans = crowd.explained.run(f"select pgqueue.{call}", [role, handle])
        assert not [plan.scanned for plan in plans if "message" in plan.scanned], call
        assert max(plan.buffers for plan in plans if plan.indexes) < 60, call


@pytest.mark.parametrize("mode", ["keep", "replace", "debounce"])
def test_a_unique_key_is_found_by_its_index(crowd, mode):
    enqueue = (
        f"select pgqueue.enqueue('select 1', queue => 'unique', unique_key => 'k {mode}', on_conflict => '{mode}')"
    )
    crowd.owner.execute("select pgqueue.enroll(current_user::regrole)")
    crowd.owner.execute(
        """insert into pgqueue.unique_hold (submitter, kind, unique_key, message_id)
           select 'alice'::regrole, 'job', 'other ' || n, -n from generate_series(1, 20000) n on conflict do nothing"""
    )
    # The first ones of a session read the catalog and compile functions.
    found = [crowd.explained.run(enqueue)[1] for _ in range(6)][1:]

    for plans in found:
        assert not [plan.scanned for plan in plans if {"message", "unique_hold"} & set(plan.scanned)]
        assert "unique_hold_pkey" in set().union(*(plan.indexes for plan in plans))
    assert min(max(plan.buffers for plan in plans) for plans in found) < (60 if mode == "keep" else 140)


def test_messages_without_a_key_know_nothing_of_keys(crowd):
    """The index of keys is of a table of its own: neither an INSERT, nor a claim, nor an end of a job reads or writes it."""
    assert (
        fetch_value(
            crowd.owner,
            """select count(*) from pg_index i join pg_attribute a on a.attrelid = i.indrelid and a.attnum = any (i.indkey)
           where i.indrelid = 'pgqueue.message'::regclass and a.attname in ('unique_key', 'snoozes')""",
        )
        == 0
    )
    crowd.owner.execute("select pgqueue.enroll(current_user::regrole)")
    _, submitted = crowd.explained.run("select pgqueue.enqueue('select 1', queue => 'plain')")
    claims, claimed = claim(crowd, ["plain"], 1)
    ((job_id, token),) = claims
    _, ended = crowd.explained.run("select pgqueue_run.finish_job(%s, %s, '1 on ', 'somebody')", [job_id, token])

    for plan in [*submitted, *claimed, *ended]:
        assert not [index for index in plan.indexes if index.startswith("unique_hold")]
        assert "unique_hold" not in plan.scanned


def test_looking_for_lost_claims_touches_the_claimed_ones(crowd):
    _, plans = crowd.explained.run("select pgqueue._reclaim(20)")
    nothing_claimed = plan_of(plans, "select array_agg(distinct c.worker_id)")
    claim(crowd, ["busy"], 500)
    _, plans = crowd.explained.run("select pgqueue._reclaim(20)")
    some_claimed = plan_of(plans, "select array_agg(distinct c.worker_id)")

    # Most looks ask for the workers only; one in fifty for all claims, by their index.
    assert "message" not in nothing_claimed.scanned | some_claimed.scanned
    assert nothing_claimed.buffers < 400
    assert some_claimed.buffers < 500 * 2


def test_bringing_back_a_lost_workers_messages_touches_those(crowd):
    lost = Claimant(crowd.db, "lost")
    lost.claim("q19", max_count=400)
    lost.kill()

    ((reclaimed,),), plans = crowd.explained.run("select pgqueue._reclaim(20)")

    assert reclaimed == 400
    assert plan_of(plans, "select m as message, m.xmax").indexes == {"message_claimed"}
    assert max(plan.buffers for plan in plans if plan.statement.startswith("update pgqueue.message")) < 60


def test_a_sessions_unfinished_jobs_are_counted_by_index(crowd):
    session = crowd.db.connect("alice")
    session.execute("select pgqueue.enqueue('select 1', queue => 'mine')")

    plan = fetch_value(session, "explain (analyze, format json) select * from pgqueue.stats")[0]

    assert "message_session" in str(plan)
    assert "'Relation Name': 'message', 'Alias': 'm', 'Node Type': 'Seq Scan'" not in str(plan)


def test_one_job_of_the_view_is_found_by_its_number(crowd):
    ((number, _),), _ = claim(crowd, ["busy"], 1)

    _, plans = crowd.explained.run("select * from pgqueue.jobs where id = %s", [number])

    (plan,) = (plan for plan in plans if "pgqueue.jobs" in plan.statement)
    assert not plan.scanned & {"message", "history"}
    assert plan.buffers < 60


def test_the_waits_of_an_event_loop_look_up_each_job_by_its_number(crowd):
    rows = crowd.explained.session.execute(
        "select id, cookie from pgqueue.message where kind = 'job' limit 100"
    ).fetchall()
    ids, cookies = [row[0] for row in rows], [row[1] for row in rows]

    _rows, plans = crowd.explained.run(query("find_gone_jobs"), {"ids": ids, "cookies": cookies})

    plan = plan_of(plans, "-- Those of the jobs")
    assert "message_pkey" in plan.indexes
    assert "message" not in plan.scanned
    assert plan.buffers < 100 * 10


def test_a_claim_by_the_number_reads_its_job_alone(crowd):
    """An index of ready messages looks cheap where few are ready."""
    job_id = fetch_value(crowd.owner, "select max(id) from pgqueue.message where queue = 'busy' and state = 'ready'")
    crowd.explained.session.execute("update pgqueue.message set kept = 'once' where id = %s", [job_id])
    for _ in range(7):  # plpgsql thinks about a generic plan from the sixth time on
        crowd.explained.session.execute("savepoint claim")
        rows, plans = crowd.explained.run(CLAIM_ANNOUNCED, [crowd.worker.id, ["busy"], job_id])
        crowd.explained.session.execute("rollback to claim")

    assert [row[0] for row in rows] == [job_id]
    assert all(plan.indexes & {"message_ready", "message_delayed"} == set() for plan in plans)
    look = plan_of(plans, "SELECT from pgqueue.message m")
    assert "message_pkey" in look.indexes
    assert look.scanned.isdisjoint({"message"})
    whole = plan_of(plans, CLAIM_ANNOUNCED[:40])
    assert whole.buffers < 2 * PAGES_PER_CLAIM
