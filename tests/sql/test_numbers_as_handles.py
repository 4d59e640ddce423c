"""A job is named by its number alone, wherever a handle is asked for, by roles that may use it."""

import pytest

from tests.harness.people import fetch_one, fetch_value, refused


def test_whoever_lost_the_cookie_stops_her_own_job_by_its_number(alice, worker):
    alice.execute("select pgqueue.launch('select 1', label => 'lost')")

    assert fetch_value(alice, "select pgqueue.cancel(id) from pgqueue.jobs where label = 'lost'") is True

    assert fetch_value(alice, "select state from pgqueue.jobs") == "canceled"
    assert worker.claim() == []


def test_a_number_is_enough_for_all_that_is_done_with_a_handle(alice, worker):
    text = f"select 42 as answer /* {'x' * 200} */"
    number = fetch_value(alice, "select (pgqueue.launch(%s)).id", [text])

    assert fetch_value(alice, f"select pgqueue.statement({number})") == text
    assert fetch_value(alice, f"select pgqueue.wait({number}, '1 ms')") is False
    assert fetch_one(alice, f"select * from pgqueue.get_progress({number})") == (None, None)
    worker.run_next()
    assert fetch_value(alice, f"select pgqueue.wait({number})") is True
    assert fetch_value(alice, f"select * from pgqueue.result({number}) as (answer int)") == 42
    detached = fetch_value(alice, "select (pgqueue.launch('select 1')).id")
    alice.execute(f"select pgqueue.detach({detached})")


@pytest.mark.parametrize("type_name", ["smallint", "int", "bigint"])
def test_a_number_of_any_integer_type_names_a_job(alice, type_name):
    number = fetch_value(alice, "select (pgqueue.launch('select 1')).id")
    alice.execute(f"prepare cancel_it({type_name}) as select pgqueue.cancel($1)")

    assert fetch_value(alice, f"execute cancel_it({number})") is True


def test_a_parameter_or_literal_of_unknown_type_is_a_handle_as_before(alice):
    for asking in ("cancel", "wait", "statement", "detach", "get_progress"):
        alice.execute(f"prepare {asking} as select pgqueue.{asking}($1)")
        types = fetch_value(alice, "select parameter_types::text from pg_prepared_statements where name = %s", [asking])
        assert types == "{pgqueue.handle}"
    handle = fetch_value(alice, "select pgqueue.launch('select 1')::text")

    assert fetch_value(alice, f"select pgqueue.cancel('{handle}')") is True
    assert fetch_value(alice, f"select pgqueue.cancel('{handle}', '0')") is False
    assert fetch_value(alice, f"select pgqueue.cancel(handle => '{handle}'::pgqueue.handle, grace => '0')") is False
    assert fetch_value(alice, "select pgqueue.cancel(pgqueue.launch('select 2'))") is True


def test_a_wrong_cookie_is_refused_though_none_would_do(alice):
    number = fetch_value(alice, "select (pgqueue.launch('select 1')).id")

    assert refused(alice, f"select pgqueue.cancel(({number}, 4711)::pgqueue.handle)").sqlstate == "55000"
    assert refused(alice, f"select pgqueue.statement(({number}, 4711)::pgqueue.handle)").sqlstate == "55000"


def test_an_unknown_number_is_said_to_be_that(alice):
    assert refused(alice, "select pgqueue.cancel(4711)").diag.message_primary == "job 4711 is not known"


def test_the_view_of_jobs_has_the_handle_for_whoever_may_use_it(db, alice, worker):
    handle = fetch_value(alice, "select pgqueue.launch('select 1')")
    member = db.connect(db.create_role("member"))
    monitor = db.connect(db.create_role("monitor"))
    db.execute("grant alice to member")
    db.execute("grant pgqueue_monitor to monitor")

    def shown():
        return [fetch_value(session, "select handle from pgqueue.jobs") for session in (alice, member, monitor)]

    assert shown() == [handle, handle, None]
    worker.run_next()
    assert shown() == [handle, handle, None]
