"""What a job says with RAISE reaches the reader of its result."""

import pytest

from tests.harness.jobs import launch
from tests.harness.people import fetch_value

pytestmark = pytest.mark.every_server


def said_to(session):
    """Collect what the server says to a session from now on."""
    said = []
    session.add_notice_handler(lambda notice: said.append((notice.severity, notice.message_primary)))
    return said


def test_notices_are_said_to_the_reader(alice, executors):
    said = said_to(alice)
    job = launch(alice, "do $$ begin raise notice 'one'; raise warning 'two'; end $$")

    job.result("tag text")

    assert said == [("NOTICE", "one"), ("WARNING", "two")]


def test_they_can_be_read_as_often_as_the_result(alice, executors):
    said = said_to(alice)
    handle = fetch_value(
        alice, "select pgqueue.enqueue('do $$ begin raise notice ''again''; end $$', keep_result => true)"
    )

    for _ in range(2):
        alice.execute("select * from pgqueue.result(%s::pgqueue.handle) as (tag text)", [handle])

    assert said == [("NOTICE", "again")] * 2


def test_only_the_last_attempts_notices_are_kept(alice, executors):
    said = said_to(alice)
    job = launch(
        alice,
        "do $$ begin raise notice 'attempt'; perform 1 / 0; end $$",
        max_attempts=3,
        backoff="1 ms",
    )

    assert job.error().sqlstate == "22012"

    assert said == [("NOTICE", "attempt")]


def test_a_statement_that_is_run_again_at_top_level_says_nothing_twice(alice, owner, executors):
    owner.execute(
        "create procedure talk() language plpgsql as $$ begin raise notice 'before'; commit; raise notice 'after'; end $$"
    )
    said = said_to(alice)

    launch(alice, "call talk()").result("tag text")

    assert said == [("NOTICE", "before"), ("NOTICE", "after")]


def test_what_a_job_without_a_result_says_is_not_kept(alice, owner, executors):
    alice.execute("select pgqueue.submit('do $$ begin raise notice ''unheard''; end $$')")
    launch(alice, "select 1").end()

    assert fetch_value(owner, "select count(*) from pgqueue.result where seq = -1") == 0
