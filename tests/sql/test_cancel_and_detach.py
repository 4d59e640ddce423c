"""Cancel and detach, before, during and after a run."""

import psycopg
import pytest

from tests.harness import eventually
from tests.harness.people import fetch_one, fetch_value, refused

CANCEL = "select pgqueue.cancel(%s::pgqueue.handle)"
DETACH = "select pgqueue.detach(%s::pgqueue.handle)"
RESULT = "select * from pgqueue.result(%s::pgqueue.handle) as (x int)"


@pytest.mark.parametrize("delay", ["", ", delay => '1 h'"])
def test_canceling_a_queued_job_ends_it(alice, worker, delay):
    handle = fetch_value(alice, f"select pgqueue.launch('select 1'{delay})")

    assert fetch_value(alice, CANCEL, [handle]) is True

    assert fetch_one(alice, "select state, sqlstate, attempts from pgqueue.jobs") == ("canceled", "57014", 0)
    assert worker.claim() == []


def test_canceling_an_ended_job_is_false_and_no_error(alice, worker):
    handle = fetch_value(alice, "select pgqueue.launch('select 1')")
    worker.run_next()

    assert fetch_value(alice, CANCEL, [handle]) is False
    assert fetch_value(alice, RESULT, [handle]) == 1


def test_canceling_twice_is_false_the_second_time(alice):
    handle = fetch_value(alice, "select pgqueue.launch('select 1')")

    assert [fetch_value(alice, CANCEL, [handle]) for _ in range(2)] == [True, False]


def test_a_cancel_holds_although_the_caller_rolls_back(alice, worker):
    handle = fetch_value(alice, "select pgqueue.launch('select 1')")
    alice.execute("begin read only")
    alice.execute(CANCEL, [handle])
    alice.execute("rollback")

    assert worker.claim() == []


def test_canceling_a_claimed_job_keeps_it_from_beginning(alice, owner, worker):
    handle = fetch_value(alice, "select pgqueue.launch('select 1')")
    claim = worker.claim_one()

    assert fetch_value(alice, CANCEL, [handle]) is True
    assert fetch_value(alice, "select state from pgqueue.jobs") == "queued"
    assert worker.run(claim) == "canceled"

    assert fetch_value(alice, "select state from pgqueue.jobs") == "canceled"
    assert refused(alice, RESULT, [handle]).sqlstate == "57014"
    assert fetch_value(owner, "select count(*) from pgqueue.request") == 0


def listen(db, worker):
    """Hear what is told to a worker."""
    session = db.connect(worker.role)
    session.execute(psycopg.sql.SQL("listen {}").format(psycopg.sql.Identifier(f"pgqueue.w.{worker.id}")))
    return session


def orders_to(worker, *claims):
    """What a worker with these claims is told to cancel."""
    ids, tokens = [claim.id for claim in claims], [claim.token for claim in claims]
    return worker.session.execute("select * from pgqueue._cancel_requests(%s, %s)", [ids, tokens]).fetchall()


def test_canceling_a_running_job_tells_its_worker(db, alice, worker):
    handle = fetch_value(alice, "select pgqueue.launch('select 1')")
    claim = worker.claim_one()
    executor = worker.executor("alice")
    executor.begin(claim)
    executor.lock(claim)
    ear = listen(db, worker)

    assert fetch_value(alice, CANCEL, [handle]) is True

    (told,) = ear.notifies(timeout=5, stop_after=1)
    assert told.payload == ""
    assert orders_to(worker, claim) == [(claim.id, None, None)]
    error = {"sqlstate": "57014", "message": "canceling statement due to user request"}
    assert executor.fail(claim, error) == "canceled"
    assert fetch_value(alice, "select state from pgqueue.jobs") == "canceled"


def test_the_grace_is_told_and_waited_for(db, alice, owner, worker, in_background):
    handle = fetch_value(alice, "select pgqueue.launch('select 1')")
    claim = worker.claim_one()
    executor = worker.executor("alice")
    executor.begin(claim)
    executor.lock(claim)
    ear = listen(db, worker)

    canceled = in_background(fetch_value, alice, "select pgqueue.cancel(%s::pgqueue.handle, '30 s')", [handle])

    (_told,) = ear.notifies(timeout=5, stop_after=1)
    [(canceled_id, terminate_at, seconds_left)] = orders_to(worker, claim)
    assert (canceled_id, terminate_at is None) == (claim.id, False)
    assert 0 < seconds_left <= 30
    assert not canceled.done()
    executor.fail(claim, {"sqlstate": "57014", "message": "canceling statement due to user request"})
    assert canceled.result(timeout=5) is True


def test_a_later_cancel_can_shorten_the_grace_and_not_lengthen_it(alice, owner, worker):
    handle = fetch_value(alice, "select pgqueue.launch('select 1')")
    claim = worker.claim_one()
    worker.executor("alice").begin(claim)
    left = []
    for grace_ms in (0, 30_000, 600_000, 10_000, 0):
        owner.execute("select pgqueue._cancel('alice'::regrole, %s::pgqueue.handle, %s)", [handle, grace_ms])
        left.append(orders_to(worker, claim)[0][2])

    assert left[0] is None
    assert 20 < left[2] <= left[1] <= 30
    assert 0 < left[4] <= left[3] <= 10


def test_a_worker_hears_of_the_cancels_of_its_claims_only(alice, owner, worker):
    for _ in range(2):
        alice.execute("select pgqueue.launch('select 1')")
    one, other = worker.claim(max_count=2)
    executor = worker.executor("alice")
    executor.lock(one)
    alice.execute("select pgqueue.cancel((id, cookie)::pgqueue.handle) from pgqueue.outbox where id = %s", [one.id])

    assert orders_to(worker, other) == []
    stale = "select * from pgqueue._cancel_requests(array[%s::bigint], array[%s::bigint])"
    assert worker.session.execute(stale, [one.id, one.token ^ 1]).fetchall() == []
    assert orders_to(worker, one, other) == [(one.id, None, None)]
    assert refused(alice, stale, [one.id, one.token]).sqlstate == "42501"


def test_a_canceled_job_is_canceled_whatever_error_it_ended_with_and_keeps_that(alice, worker):
    handle = fetch_value(alice, "select pgqueue.launch('select 1')")
    claim = worker.claim_one()
    executor = worker.executor("alice")
    executor.begin(claim)
    executor.lock(claim)
    alice.execute(CANCEL, [handle])

    assert executor.fail(claim, {"sqlstate": "22012", "message": "division by zero"}) == "canceled"
    assert fetch_one(alice, "select state::text, sqlstate from pgqueue.jobs") == ("canceled", "22012")


def test_a_canceled_job_is_not_retried(alice, worker):
    handle = fetch_value(alice, "select pgqueue.launch('select 1', max_attempts => 5)")
    claim = worker.claim_one()
    executor = worker.executor("alice")
    executor.begin(claim)
    executor.lock(claim)
    alice.execute(CANCEL, [handle])

    assert (
        executor.fail(claim, {"sqlstate": "57014", "message": "canceling statement due to user request"}) == "canceled"
    )


def test_a_timeout_is_a_failure_and_no_cancel(alice, worker):
    alice.execute("set statement_timeout = '2 s'")
    alice.execute("select pgqueue.launch('select pg_sleep(10)')")

    assert worker.run_next() == "failed"
    assert fetch_one(alice, "select sqlstate, error from pgqueue.jobs") == (
        "57014",
        "canceling statement due to statement timeout",
    )


def test_an_administrator_may_cancel_anybodys_job(db, alice, owner):
    handle = fetch_value(alice, "select pgqueue.launch('select 1')")
    db.create_role("boss")
    owner.execute("grant pgqueue_admin to boss")

    assert fetch_value(db.connect("boss"), CANCEL, [handle]) is True


def test_detaching_an_ended_job_gives_up_its_result(alice, owner, worker):
    handle = fetch_value(alice, "select pgqueue.launch('select 1')")
    worker.run_next()

    alice.execute(DETACH, [handle])

    assert refused(alice, RESULT, [handle]).sqlstate == "42704"
    assert fetch_value(owner, "select count(*) from pgqueue.result") == 0


@pytest.mark.parametrize("when", ["queued", "claimed", "running"])
def test_detaching_earlier_lets_the_job_run_and_keeps_no_result(alice, owner, worker, when):
    owner.execute("create table public.item (id int); grant all on public.item to alice")
    handle = fetch_value(alice, "select pgqueue.launch('insert into public.item values (1) returning id')")
    if when == "queued":
        alice.execute(DETACH, [handle])
    claim = worker.claim_one()
    if when == "claimed":
        alice.execute(DETACH, [handle])
    executor = worker.executor("alice")
    assert executor.begin(claim) is None
    executor.lock(claim)
    if when == "running":
        alice.execute(DETACH, [handle])
    executor.execute(claim)
    executor.commit()

    assert fetch_value(owner, "select count(*) from public.item") == 1
    assert fetch_value(alice, "select state from pgqueue.jobs") == "succeeded"
    assert refused(alice, RESULT, [handle]).sqlstate == "42704"
    assert fetch_value(owner, "select count(*) from pgqueue.result") == 0
    assert fetch_value(owner, "select count(*) from pgqueue.request") == 0


def test_detaching_twice_is_no_error(alice, worker):
    handle = fetch_value(alice, "select pgqueue.launch('select 1')")
    alice.execute(DETACH, [handle])
    worker.run_next()

    alice.execute(DETACH, [handle])


def test_a_failed_job_that_was_detached_keeps_its_error_in_the_view_only(alice, owner, worker):
    handle = fetch_value(alice, "select pgqueue.launch('select 1 / 0')")
    alice.execute(DETACH, [handle])
    worker.run_next()

    assert fetch_value(alice, "select error from pgqueue.jobs") == "division by zero"
    assert refused(alice, RESULT, [handle]).sqlstate == "42704"


def test_requests_that_came_too_late_are_cleaned_away(alice, owner, worker):
    handle = fetch_value(alice, "select pgqueue.launch('select 1')")
    worker.run_next()
    alice.execute(DETACH, [handle])
    owner.execute("update pgqueue.request set requested_at = now() - interval '1 h'")

    worker.tick()

    eventually(lambda: fetch_value(owner, "select count(*) from pgqueue.request") == 0)
