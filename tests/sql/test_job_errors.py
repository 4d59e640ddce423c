"""The error of a job reaches its reader with everything that PostgreSQL said."""

import json

import pytest

from tests.harness.people import fetch_one, fetch_value, refused

RESULT = "select * from pgqueue.result(%s::pgqueue.handle) as (x int)"
FIELDS = ("schema_name", "table_name", "column_name", "datatype_name", "constraint_name")


def run_failing(session, worker, statement):
    """Run a job that fails; return its handle."""
    handle = fetch_value(session, "select pgqueue.launch(%s)", [statement])
    assert worker.run_next() == "failed"
    return handle


def test_the_reader_gets_the_jobs_own_error(alice, worker):
    handle = run_failing(alice, worker, "select 1 / 0")

    error = refused(alice, RESULT, [handle])

    assert (error.sqlstate, error.diag.message_primary) == ("22012", "division by zero")


def test_all_that_raise_can_say_comes_through(alice, owner, worker):
    owner.execute(
        """create function public.fail() returns void language plpgsql as $$
           begin
             raise exception using errcode = 'P4242', message = 'what /* happened */ %', detail = E'two\\nlines', hint = 'do this',
               schema = 's', table = 't', column = 'c', datatype = 'd', constraint = 'k';
           end $$"""
    )
    handle = run_failing(alice, worker, "select public.fail()")
    pid = fetch_value(alice, "select backend_pid from pgqueue.jobs")

    error = refused(alice, RESULT, [handle])

    said = error.diag
    assert (error.sqlstate, said.message_primary) == ("P4242", "what /* happened */ %")
    assert (said.message_detail, said.message_hint) == ("two\nlines", "do this")
    assert [getattr(said, field) for field in FIELDS] == ["s", "t", "c", "d", "k"]
    assert "PL/pgSQL function fail() line 3 at RAISE" in said.context
    assert f"pid {pid}" in said.context


@pytest.mark.parametrize("fields", ["", ", detail = 'd'", ", hint = 'h'", ", detail = 'd', hint = 'h'"])
def test_what_the_job_did_not_say_is_not_made_up(alice, worker, fields):
    handle = run_failing(alice, worker, f"do $$ begin raise exception using message = 'm'{fields}; end $$")

    error = refused(alice, RESULT, [handle])

    assert (error.sqlstate, error.diag.message_primary) == ("P0001", "m")
    assert error.diag.message_detail == ("d" if "detail" in fields else None)
    assert error.diag.message_hint == ("h" if "hint" in fields else None)
    assert not any(getattr(error.diag, field) for field in FIELDS)


def test_a_violated_constraint_is_named(alice, owner, worker):
    owner.execute("create table public.item (id int constraint item_is_even check (id % 2 = 0), primary key (id))")
    owner.execute("grant insert on public.item to alice")
    handle = run_failing(alice, worker, "insert into public.item values (1)")

    error = refused(alice, RESULT, [handle])

    assert error.sqlstate == "23514"
    assert [error.diag.schema_name, error.diag.table_name, error.diag.constraint_name] == [
        "public",
        "item",
        "item_is_even",
    ]
    assert "(1)" in error.diag.message_detail


def test_an_error_at_commit_is_the_jobs_error(alice, owner, worker):
    owner.execute(
        """create table public.parent (id int primary key);
           create table public.child (id int references public.parent deferrable initially deferred);
           grant all on public.parent, public.child to alice"""
    )
    handle = run_failing(alice, worker, "insert into public.child values (1)")

    error = refused(alice, RESULT, [handle])

    assert (error.sqlstate, error.diag.constraint_name) == ("23503", "child_id_fkey")
    assert fetch_value(owner, "select count(*) from public.child") == 0


def test_reading_the_error_consumes_it(alice, worker):
    handle = run_failing(alice, worker, "select 1 / 0")
    refused(alice, RESULT, [handle])

    assert refused(alice, RESULT, [handle]).sqlstate == "42704"


def test_the_view_keeps_the_error(alice, worker):
    alice.execute("select pgqueue.submit(%s)", ["do $$ begin raise 'm' using detail = 'd', hint = 'h'; end $$"])
    worker.run_next()

    row = fetch_one(alice, "select state, sqlstate, error, error_detail, error_hint, error_context from pgqueue.jobs")

    assert row[:5] == ("failed", "P0001", "m", "d", "h")
    assert "inline_code_block" in row[5]


def test_the_reader_can_catch_it_by_its_name(alice, worker):
    handle = run_failing(alice, worker, "select 1 / 0")

    alice.execute(
        f"""do $$ begin perform * from pgqueue.result({json.dumps(str(handle)).replace('"', "'")}::pgqueue.handle) as (x int);
                  raise 'not reached';
            exception when division_by_zero then null; end $$"""
    )


def test_a_canceled_and_an_expired_job_are_57014_to_their_readers(alice, owner, worker):
    canceled = fetch_value(alice, "select pgqueue.launch('select 1')")
    alice.execute("select pgqueue.cancel(%s::pgqueue.handle)", [canceled])
    expired = fetch_value(alice, "select pgqueue.launch('select 1', expires => now() + interval '1 h')")
    owner.execute("update pgqueue.message set expires_at = now()")
    assert worker.run_next() == "expired"

    assert refused(alice, RESULT, [expired]).sqlstate == "57014"
    error = refused(alice, RESULT, [canceled])
    assert (error.sqlstate, error.diag.message_primary) == ("57014", "canceling statement due to user request")
