"""A job says how far it is, and others see it while it runs."""

import pytest

from tests.harness.people import fetch_one, fetch_value, refused

GET = "select * from pgqueue.get_progress(%s::pgqueue.handle)"


@pytest.fixture
def running(alice, worker):
    """A job that runs now, in the hands of its executor."""
    handle = fetch_value(alice, "select pgqueue.launch('select 1')")
    claim = worker.claim_one()
    executor = worker.executor("alice")
    executor.begin(claim)
    executor.lock(claim)
    return handle, executor


def test_progress_is_seen_before_the_job_commits(alice, running):
    handle, executor = running
    assert fetch_one(alice, GET, [handle]) == (None, None)

    executor.session.execute("select pgqueue.progress(30, 'a third')")

    assert fetch_one(alice, GET, [handle]) == (30, "a third")
    assert fetch_one(alice, "select progress_pct, progress_msg from pgqueue.jobs") == (30, "a third")


def test_the_last_word_counts_and_stays_after_the_end(alice, running, worker):
    handle, executor = running
    executor.session.execute("select pgqueue.progress(10, 'first'), pgqueue.progress(90)")
    executor.fail(executor._running, {"sqlstate": "22012", "message": "m"})

    assert fetch_one(alice, GET, [handle]) == (90, None)
    assert fetch_one(alice, "select state, progress_pct from pgqueue.jobs") == ("failed", 90)


def test_it_gets_through_whatever_messages_the_job_wants_to_see(alice, running):
    handle, executor = running
    executor.session.execute("set local client_min_messages = error")
    executor.session.execute("select pgqueue.progress(50)")

    assert fetch_one(alice, GET, [handle]) == (50, None)


@pytest.mark.parametrize(("said", "kept"), [(-5, 0), (0, 0), (100, 100), (101, 100), (2147483647, 100)])
def test_the_percentage_is_brought_into_its_range(alice, running, said, kept):
    handle, executor = running
    executor.session.execute("select pgqueue.progress(%s)", [said])

    assert fetch_value(alice, GET, [handle]) == kept


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("x" * 63, "x" * 63),
        ("x" * 64, "x" * 63),
        ("ä" * 32, "ä" * 31),
        ("x" + "\U0001f418" * 20, "x" + "\U0001f418" * 15),
    ],
)
def test_the_message_is_cut_to_63_bytes_of_whole_characters(alice, running, said, kept):
    handle, executor = running
    executor.session.execute("select pgqueue.progress(1, %s)", [said])

    assert fetch_one(alice, GET, [handle]) == (1, kept)


def test_a_null_percentage_is_refused(running):
    _, executor = running

    assert refused(executor.session, "select pgqueue.progress(null)").sqlstate == "22004"


def test_outside_a_job_it_is_refused(alice):
    error = refused(alice, "select pgqueue.progress(1)")

    assert error.sqlstate == "0A000"
    assert error.diag.message_primary == "pgqueue.progress can only be called from a job"


def test_of_an_unknown_job_there_is_none(alice):
    assert fetch_one(alice, "select * from pgqueue.get_progress(row(12345, 1))") == (None, None)


def test_of_another_roles_job_it_is_refused(bob, running):
    handle, _ = running

    assert refused(bob, GET, [handle]).sqlstate == "42501"


def test_a_job_that_runs_again_begins_without_progress(alice, owner, worker):
    handle = fetch_value(alice, "select pgqueue.launch('select 1', max_attempts => 2, backoff => '0')")
    claim = worker.claim_one()
    executor = worker.executor("alice")
    executor.begin(claim)
    executor.lock(claim)
    executor.session.execute("select pgqueue.progress(70, 'far')")
    assert executor.fail(claim, {"sqlstate": "22012", "message": "m"}) == "retried"
    owner.execute("update pgqueue.message set due_at = now()")

    executor.begin(worker.claim_one())

    assert fetch_one(alice, GET, [handle]) == (None, None)
