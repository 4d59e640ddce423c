"""Changing a job that no worker has: `pgqueue.update`."""

import pytest

from tests.harness.people import fetch_one, fetch_value, refused


@pytest.fixture
def job(alice):
    """A job that waits."""
    return handle_of(fetch_one(alice, "select * from pgqueue.enqueue('select $1', params => array['a'])"))


def handle_of(row):
    return f"({row[0]},{row[1]})"


def update(session, handle, **changes):
    named = "".join(f", {name} => %({name})s" for name in changes)
    return fetch_value(
        session, f"select pgqueue.update(%(handle)s::pgqueue.handle{named})", {"handle": handle, **changes}
    )


def test_what_is_given_replaces_what_it_had_and_the_rest_stays(alice, owner, job):
    assert update(alice, job, priority=7, queue="q")
    assert update(alice, job, params=["b"], timeout="5 s")

    columns = "priority, queue, params, timeout::text, sql, state::text"
    assert owner.execute(f"select {columns} from pgqueue.message").fetchall() == [
        (7, "q", ["b"], "00:00:05", "select $1", "ready")
    ]


def test_an_eta_delays_it_and_one_that_has_passed_makes_it_ready(alice, owner, worker, job):
    assert update(alice, job, eta="2099-01-01")
    assert worker.claim() == []
    assert fetch_one(alice, "select eta = '2099-01-01'::timestamptz, state::text from pgqueue.jobs") == (True, "queued")

    assert update(alice, job, eta="2001-01-01")
    assert len(worker.claim()) == 1


def test_a_change_of_something_else_leaves_a_delayed_job_delayed(alice, owner):
    job = handle_of(fetch_one(alice, "select * from pgqueue.enqueue('select 1', delay => '1 h')"))

    assert update(alice, job, priority=3)

    assert fetch_one(owner, "select state::text, due_at is not null from pgqueue.message") == ("delayed", True)


def test_a_job_between_two_attempts_can_be_changed(alice, owner, worker):
    job = handle_of(
        fetch_one(
            alice,
            "select * from pgqueue.enqueue('select 1 / $1::int', params => array['0'], max_attempts => 2, backoff => '1 h')",
        )
    )
    assert worker.run_next() == "retried"

    assert update(alice, job, params=["1"], eta="2001-01-01")

    assert worker.run_next() == "succeeded"
    assert fetch_value(alice, "select attempts from pgqueue.jobs") == 2


def test_one_that_a_worker_has_or_that_has_ended_is_not_changed(alice, owner, worker, job):
    claim = worker.claim_one()
    assert not update(alice, job, params=["b"])

    assert worker.run(claim) == "succeeded"
    assert not update(alice, job, params=["b"])


def test_a_rollback_undoes_it(alice, owner, job):
    alice.execute("begin")
    assert update(alice, job, priority=9)
    alice.execute("rollback")

    assert fetch_value(owner, "select priority from pgqueue.message") == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ("", "nothing says what to change"),
        ("priority => 10", "priority 10 is out of range"),
        ("queue => ''", "queue name must have 1 to 255 bytes"),
        ("eta => 'infinity'", "eta is not finite"),
        ("timeout => '0 s'", "timeout must be positive and finite"),
        ("params => array[['a', 'b']]", "params must be one list"),
    ],
)
def test_bad_changes_are_refused(alice, owner, job, changes, message):
    error = refused(alice, f"select pgqueue.update(%s::pgqueue.handle{', ' if changes else ''}{changes})", [job])

    assert (error.sqlstate, error.diag.message_primary) == ("22023", message)
    assert fetch_value(owner, "select priority from pgqueue.message") == 0


def test_only_its_own_role_and_administrators_may(alice, bob, owner, db, job):
    assert refused(bob, "select pgqueue.update(%s::pgqueue.handle, priority => 1)", [job]).sqlstate == "42501"
    assert refused(alice, "select pgqueue.update((0, 0)::pgqueue.handle, priority => 1)").sqlstate == "42704"
    wrong = job.replace(")", "1)")
    assert refused(alice, "select pgqueue.update(%s::pgqueue.handle, priority => 1)", [wrong]).sqlstate in (
        "55000",
        "22003",
    )

    owner.execute("grant pgqueue_admin to bob")
    number = job.strip("()").split(",")[0]
    assert update(bob, f"({number},)", priority=5)
    # They run with alice's rights.
    error = refused(bob, "select pgqueue.update(%s::pgqueue.handle, params => array['x'])", [f"({number},)"])
    assert error.sqlstate == "42501"


def test_a_queue_of_control_commands_is_refused(alice, job):
    assert refused(alice, "select pgqueue.update(%s::pgqueue.handle, queue => 'x.pidbox')", [job]).sqlstate == "42501"


def test_a_job_under_a_limit_goes_on_with_its_key_in_the_other_queue(alice, owner, worker):
    owner.execute("select pgqueue.set_limit('q', per_key => 1)")
    jobs = [
        handle_of(fetch_one(alice, "select * from pgqueue.enqueue('select 1', queue => 'other', limit_key => 'l')"))
        for _ in range(2)
    ]
    for job in jobs:
        assert update(alice, job, queue="q")

    assert len(worker.claim("q", max_count=10)) == 1
