"""What is refused at the door: the SQLSTATE, and a HINT that says what to do."""

import pytest

from tests.harness.people import fetch_value, refused

# Bad options, and a word of the hint that each gets.
BAD_OPTIONS = [
    ("''", "22023", "one or more SQL statements"),
    ("E' \\n\\t '", "22023", "one or more SQL statements"),
    ("'select 1', priority => -1", "22023", "0 to 9"),
    ("'select 1', priority => 10", "22023", "0 to 9"),
    ("'select 1', priority => null", "22023", "0 to 9"),
    ("'select 1', delay => '-1 s'", "22023", "at once"),
    ("'select 1', delay => '1 s', eta => now()", "22023", "delay (from now) or eta"),
    ("'select 1', eta => 'infinity'", "22023", "at once"),
    ("'select 1', eta => '-infinity'", "22023", "at once"),
    ("'select 1', expires => now() - interval '1 s'", "22023", "never run"),
    ("'select 1', timeout => '0'", "22023", "none"),
    ("'select 1', timeout => '-1 s'", "22023", "none"),
    ("'select 1', max_attempts => 0", "22023", "1 to 1000"),
    ("'select 1', max_attempts => 1001", "22023", "1 to 1000"),
    ("'select 1', backoff => '-1 s'", "22023", "second attempt"),
    ("'select 1', durability => 'maybe'", "22023", "sync"),
    ("'select 1', queue => ''", "22023", ""),
    ("'select 1', queue => null", "22023", ""),
    ("'select 1', queue => repeat('ä', 128)", "22023", ""),
]


@pytest.mark.parametrize("way_in", ["launch", "submit", "enqueue"])
def test_bad_options_are_refused_with_a_hint_and_hand_nothing_in(alice, owner, way_in):
    for options, sqlstate, hint in BAD_OPTIONS:
        error = refused(alice, f"select pgqueue.{way_in}({options})")

        assert error.sqlstate == sqlstate, options
        assert hint in (error.diag.message_hint or ""), options

    assert fetch_value(owner, "select count(*) from pgqueue.message") == 0


@pytest.mark.parametrize("way_in", ["launch", "submit", "enqueue"])
def test_a_null_statement_is_refused_with_22004(alice, way_in):
    error = refused(alice, f"select pgqueue.{way_in}(null)")

    assert error.sqlstate == "22004"
    assert error.diag.message_primary == "sql parameter cannot be NULL"


def test_infinite_intervals_are_refused(server, alice):
    if server.major < 17:
        pytest.skip("intervals are finite before PostgreSQL 17")
    for option in ("delay", "timeout"):
        for infinity in ("infinity", "-infinity"):
            assert refused(alice, f"select pgqueue.launch('select 1', {option} => '{infinity}')").sqlstate == "22023"


def test_enqueue_many_refuses_all_when_one_is_bad(alice, owner):
    cases = {
        "null": "22004",
        "array['select 1', null]": "22004",
        "array['select 1', ' ']": "22023",
        "array['select 1'], priority => 10": "22023",
    }
    for arguments, sqlstate in cases.items():
        assert refused(alice, f"select pgqueue.enqueue_many({arguments})").sqlstate == sqlstate, arguments

    assert fetch_value(owner, "select count(*) from pgqueue.message") == 0


@pytest.mark.parametrize(
    "way_in", ["launch('select $1', ", "enqueue('select $1', ", "enqueue_many(array['select $1'], "]
)
def test_parameters_that_are_not_one_list_are_refused(alice, way_in):
    error = refused(alice, f"select pgqueue.{way_in}array[['a', 'b'], ['c', 'd']])")

    assert (error.sqlstate, error.diag.message_primary) == ("22023", "params must be one list")


def test_the_queue_takes_no_row_that_would_stop_its_workers(alice):
    # The outbox is what the functions insert through; a role may write it without them.
    bad = [
        "(kind, queue, sql, cookie, settings) values ('job', 'q', 'select 1', 1, '[]')",
        "(kind, queue, sql, cookie) values ('job', 'q', 'select 1', 1)",
        "(kind, queue, sql, settings) values ('job', 'q', 'select 1', '{}')",
        "(kind, queue, sql, cookie, settings, timeout) values ('job', 'q', 'select 1', 1, '{}', '-1 s')",
        "(kind, queue, sql, cookie, settings, params) values ('job', 'q', 'select 1', 1, '{}', '{{a},{b}}')",
        "(kind, queue, cookie, settings) values ('job', 'q', 1, '{}')",
        "(kind, queue, payload, state, due_at) values ('task', 'q', '{}', 'delayed', 'infinity')",
        "(kind, queue, payload, due_at) values ('task', 'q', '{}', 'infinity')",
        "(kind, queue, payload, state) values ('task', 'q', '{}', 'delayed')",
        "(kind, queue, payload, state) values ('task', 'q', '{}', 'claimed')",
        "(kind, queue, payload, priority) values ('task', 'q', '{}', 10)",
        "(kind, queue, payload, priority) values ('task', 'q', '{}', -1)",
        "(kind, queue, payload) values ('task', '', '{}')",
        "(kind, queue, payload) values ('task', repeat('x', 256), '{}')",
        "(kind, queue, payload, sql) values ('task', 'q', '{}', 'select 1')",
        "(kind, queue) values ('task', 'q')",
        "(kind, queue, sql, cookie, settings) values ('task', 'q', 'select 1', 1, '{}')",
        "(kind, queue, payload) values ('job', 'q', '{}')",
    ]
    for row in bad:
        assert refused(alice, f"insert into pgqueue.outbox {row}").sqlstate == "44000", row


@pytest.mark.parametrize(
    "call",
    ["result(null) as (x int)", "wait(null)", "cancel(null)", "detach(null)", "statement(null)"],
)
def test_a_null_handle_is_refused_with_22004(alice, call):
    assert refused(alice, f"select * from pgqueue.{call}").sqlstate == "22004"


def test_an_unknown_handle_is_refused_with_42704(alice):
    for call in ("result(%s) as (x int)", "wait(%s)", "cancel(%s)", "detach(%s)", "statement(%s)"):
        error = refused(alice, f"select * from pgqueue.{call % 'row(123456, 1)'}")

        assert (error.sqlstate, error.diag.message_primary) == ("42704", "job 123456 is not known"), call


def test_a_wrong_cookie_is_refused(alice, worker):
    handle = fetch_value(alice, "select (pgqueue.launch('select 1')).id")
    worker.run_next()

    for call in ("wait(%s)", "cancel(%s)", "detach(%s)", "statement(%s)"):
        error = refused(alice, f"select * from pgqueue.{call % f'row({handle}, 1)'}")
        assert (error.sqlstate, error.diag.message_primary) == ("55000", f"cookie mismatch for job {handle}"), call
    error = refused(alice, f"select * from pgqueue.result(row({handle}, 1)) as (x int)")
    assert error.sqlstate in ("55000", "42704")


def test_another_roles_job_is_refused_with_42501_before_its_cookie(alice, bob):
    handle = fetch_value(alice, "select (pgqueue.launch('select 1')).id")

    for call in ("result(%s) as (x int)", "wait(%s)", "cancel(%s)", "detach(%s)", "statement(%s)"):
        error = refused(bob, f"select * from pgqueue.{call % f'row({handle}, 1)'}")
        assert (error.sqlstate, error.diag.message_primary) == ("42501", f"permission denied for job {handle}"), call
    assert refused(bob, f"select * from pgqueue.get_progress(row({handle}, 1))").sqlstate == "42501"


def test_a_member_of_the_submitters_role_may_handle_its_jobs(owner, alice, bob, worker):
    owner.execute("grant alice to bob")
    handle = fetch_value(alice, "select pgqueue.launch('select 7')")
    worker.run_next()

    assert fetch_value(bob, "select * from pgqueue.result(%s::pgqueue.handle) as (x int)", [handle]) == 7


def test_negative_times_of_waiting_are_refused(alice):
    handle = fetch_value(alice, "select pgqueue.launch('select 1')")

    assert refused(alice, "select pgqueue.wait(%s::pgqueue.handle, '-1 s')", [handle]).sqlstate == "22023"
    assert refused(alice, "select pgqueue.cancel(%s::pgqueue.handle, '-1 s')", [handle]).sqlstate == "22023"
    assert refused(alice, "select pgqueue.cancel(%s::pgqueue.handle, null)", [handle]).sqlstate == "22023"


def test_a_role_that_is_not_enrolled_is_told_what_to_ask_for(db, owner, alice):
    db.create_role("carol", enrolled=False)
    owner.execute("grant pgqueue_user to carol")
    carol = db.connect("carol")

    for way_in in ("launch('select 1')", "submit('select 1')", "enqueue('select 1')", "send_task('a.b')"):
        error = refused(carol, f"select pgqueue.{way_in}")
        assert error.sqlstate == "42501", way_in
        assert "pgqueue.enroll('carol')" in error.diag.message_hint, way_in


def test_a_role_without_rights_may_not_even_look(db):
    stranger = db.connect(db.create_role("stranger", enrolled=False))

    for statement in ("select pgqueue.launch('select 1')", "select * from pgqueue.jobs", "select * from pgqueue.stats"):
        assert refused(stranger, statement).sqlstate == "42501", statement


@pytest.mark.parametrize("argument", ["null", "{}"])
def test_a_bad_queue_name_cannot_be_paused(owner, argument):
    value = "null" if argument == "null" else "''"

    assert refused(owner, f"select pgqueue.pause({value})").sqlstate == "22023"
    assert refused(owner, f"select pgqueue.resume({value})").sqlstate == "22023"
