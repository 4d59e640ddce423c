"""Two who read a result, or one who is lost in the middle: the rows are read once, and by nobody who did not get them.

A small result of plain types is read and consumed in one request, whose transaction stays open in the loopback until
the reader has put its rows into the columns of the list. Everything else is read by one request and consumed by another.
"""

import psycopg
import pytest

from tests.harness import eventually
from tests.harness.claimant import terminate
from tests.harness.people import fetch_value, refused

FETCH = "select answer from pgqueue._fetch_result(%s::pgqueue.handle, true)"
CONSUME = "select pgqueue._consume_result(%s::pgqueue.handle, true)"
RESULT = "select * from pgqueue.result(%s::pgqueue.handle) as (answer int)"
LOOPBACKS = (
    "select pid from pg_stat_activity where application_name = 'pgqueue loopback' and datname = current_database()"
)


@pytest.fixture
def handle(alice, worker):
    """A job that has ended, with a result that alice can read."""
    handle = fetch_value(alice, "select pgqueue.launch('select 42')")
    worker.run_next()
    return handle


def is_left(owner):
    return fetch_value(owner, "select count(*) from pgqueue.result") == 1


def end_loopback(db):
    """End the loopback from outside, and return when it is gone."""
    db.server.admin.execute(
        "select pg_terminate_backend(pid, 10000) from pg_stat_activity where application_name = 'pgqueue loopback' and datname = %s",
        [db.name],
    )


def wait_for_a_lock(owner):
    """Return when a loopback waits for another's."""
    waits = f"select count(*) from ({LOOPBACKS}) l where cardinality(pg_blocking_pids(l.pid)) > 0"
    eventually(lambda: fetch_value(owner, waits) == 1, what="a reader that waits")


def test_who_reads_second_waits_for_the_first_and_then_finds_it_gone(db, alice, owner, handle, in_background):
    head, rows = (row[0] for row in alice.execute(FETCH, [handle]).fetchall())
    assert (head["held"], rows) == (True, [["42"]])
    second = in_background(refused, db.connect("alice"), RESULT, [handle])
    wait_for_a_lock(owner)

    alice.execute(CONSUME, [handle])

    assert second.result().sqlstate == "42704"
    assert not is_left(owner)


def test_who_reads_second_gets_what_the_first_was_lost_with(db, alice, owner, handle, in_background):
    alice.execute(FETCH, [handle])
    other = db.connect("alice")
    second = in_background(lambda: other.execute(RESULT, [handle]).fetchall())
    wait_for_a_lock(owner)

    terminate(db, alice)

    assert second.result() == [(42,)]
    assert not is_left(owner)


def test_a_reader_whose_loopback_is_lost_in_the_middle_consumes_all_the_same(db, alice, owner, handle):
    alice.execute(FETCH, [handle])
    end_loopback(db)
    assert is_left(owner)

    alice.execute(CONSUME, [handle])

    assert not is_left(owner)


def test_of_two_readers_who_lose_a_loopback_one_is_told_that_it_is_gone(db, alice, handle):
    alice.execute(FETCH, [handle])
    end_loopback(db)
    assert db.connect("alice").execute(RESULT, [handle]).fetchall() == [(42,)]

    assert refused(alice, CONSUME, [handle]).sqlstate == "42704"


@pytest.mark.parametrize("columns", ["answer text", "answer int, more int", "answer date"])
def test_a_wrong_list_leaves_the_result_and_the_loopback_as_they_were(alice, owner, handle, columns):
    wrong = f"select * from pgqueue.result(%s::pgqueue.handle) as ({columns})"
    assert refused(alice, wrong, [handle]).sqlstate == "42804"

    assert is_left(owner)
    assert fetch_value(owner, f"select state from pg_stat_activity where pid in ({LOOPBACKS})") == "idle"
    assert alice.execute(RESULT, [handle]).fetchall() == [(42,)]


def test_a_value_that_cannot_be_read_leaves_the_result(alice, owner, worker):
    owner.execute("create table public.seen (); grant select on public.seen to public")
    handle = fetch_value(alice, "select pgqueue.launch('select ''public.seen''::regclass')")
    worker.run_next()
    owner.execute("drop table public.seen")

    read = "select * from pgqueue.result(%s::pgqueue.handle) as (seen regclass)"
    assert refused(alice, read, [handle]).sqlstate == "42P01"

    assert is_left(owner)
    owner.execute("create table public.seen (); grant select on public.seen to public")
    assert fetch_value(alice, read, [handle]) == "seen"


def test_a_reader_that_is_canceled_while_it_waits_loses_nothing(alice, owner, worker):
    handle = fetch_value(alice, "select pgqueue.launch('select 42')")
    alice.execute("set statement_timeout = '300ms'")
    assert refused(alice, RESULT, [handle]).sqlstate == "57014"
    alice.execute("reset statement_timeout")
    worker.run_next()

    assert (
        fetch_value(
            owner,
            f"select count(*) from ({LOOPBACKS}) l join pg_stat_activity a using (pid) where a.xact_start is not null",
        )
        == 0
    )
    assert alice.execute(RESULT, [handle]).fetchall() == [(42,)]


def test_a_reader_that_is_canceled_in_the_last_moment_can_go_on(db, alice, owner, handle, in_background):
    owner.execute(
        """create function public.wait() returns trigger language plpgsql as $$ begin
             perform pg_advisory_xact_lock(4711); return null; end $$;
           create constraint trigger wait after delete on pgqueue.result initially deferred for each row execute function public.wait()"""
    )
    door = db.connect()
    door.execute("select pg_advisory_lock(4711)")
    alice.execute(FETCH, [handle])
    consuming = in_background(refused, alice, CONSUME, [handle])
    waits = f"select count(*) from ({LOOPBACKS}) l where cardinality(pg_blocking_pids(l.pid)) > 0"
    eventually(lambda: fetch_value(owner, waits) == 1, what="a commit that waits")

    alice.cancel_safe()
    # Before PostgreSQL 17 it hears of that when it has its answer.
    eventually(lambda: consuming.done() or owner.info.server_version < 170000, what="canceled")
    door.execute("select pg_advisory_unlock(4711)")

    assert consuming.result().sqlstate == "57014"
    assert fetch_value(alice, "select pgqueue.launch('select 1')") is not None


def test_a_loopback_that_is_busy_with_something_else_is_opened_anew(db):
    # A superuser's session reaches dblink.
    session = db.connect("postgres")
    session.execute("select pgqueue.enroll('postgres')")
    launching = "select pgqueue.launch('select 1')"
    fetch_value(session, launching)
    dblink = fetch_value(session, "select extnamespace::regnamespace::text from pg_extension where extname = 'dblink'")
    assert fetch_value(session, f"select {dblink}.dblink_send_query(pgqueue._loopback_name(), 'select 1')") == 1

    assert fetch_value(session, launching) is not None


def test_the_error_of_a_job_is_read_once(alice, owner, worker):
    handle = fetch_value(alice, "select pgqueue.launch('select 1 / 0')")
    worker.run_next()

    assert refused(alice, RESULT, [handle]).sqlstate == "22012"
    assert not is_left(owner)
    assert refused(alice, RESULT, [handle]).sqlstate == "42704"


@pytest.mark.parametrize(
    ("statement", "is_held"),
    [
        ("select 42", True),
        ("create temporary table t ()", True),
        ("select 1 / 0", True),
        ("select g from generate_series(1, 5) g", False),
        ("select (1, 2)::public.pair", False),
    ],
)
def test_only_a_small_result_of_plain_types_is_held(alice, owner, worker, statement, is_held):
    # What a composite type is made of may be checked by anybody's code, which may use the loopback meanwhile.
    owner.execute("create type public.pair as (a int, b int)")
    handle = fetch_value(alice, "select pgqueue.launch(%s)", [statement])
    worker.run_next(chunk_rows=2)

    head = fetch_value(alice, FETCH, [handle])

    assert ("held" in head) == is_held
    assert (
        fetch_value(owner, f"select xact_start is not null from pg_stat_activity where pid in ({LOOPBACKS})") == is_held
    )


def test_nothing_is_held_where_the_loopback_ends_with_each_call(alice, owner, handle):
    alice.execute("set pgqueue.loopback = 'call'")

    assert "held" not in fetch_value(alice, FETCH, [handle])
    assert alice.execute(RESULT, [handle]).fetchall() == [(42,)]
    assert not is_left(owner)


def test_a_result_that_was_enqueued_is_read_again(alice, worker):
    handle = fetch_value(alice, "select pgqueue.enqueue('select 42', keep_result => true)")
    worker.run_next()

    for _ in range(2):
        assert alice.execute(RESULT, [handle]).fetchall() == [(42,)]


def test_programs_read_a_result_once_too(alice, owner, handle):
    read = "select answer from pgqueue._read_result(%s::pgqueue.handle)"
    assert alice.execute(read, [handle]).fetchall()[1] == ([["42"]],)

    assert not is_left(owner)
    with pytest.raises(psycopg.errors.UndefinedObject):
        alice.execute(read, [handle])
