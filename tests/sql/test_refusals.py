"""What is refused at the door: the SQLSTATE, and a HINT that says what to do."""

import json
import re

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
    bad = {
        "(kind, queue, sql, cookie, settings) values ('job', 'q', 'select 1', 1, '[]')": "23514",
        "(kind, queue, sql, cookie) values ('job', 'q', 'select 1', 1)": "23514",
        "(kind, queue, sql, settings) values ('job', 'q', 'select 1', '{}')": "23514",
        "(kind, queue, sql, cookie, settings, timeout) values ('job', 'q', 'select 1', 1, '{}', '-1 s')": "22023",
        "(kind, queue, sql, cookie, settings, params) values ('job', 'q', 'select 1', 1, '{}', '{{a},{b}}')": "22023",
        "(kind, queue, sql, cookie, settings) values ('job', 'q', E' \\n', 1, '{}')": "22023",
        "(kind, queue, cookie, settings) values ('job', 'q', 1, '{}')": "22004",
        "(kind, queue, payload, state, due_at) values ('task', 'q', '{}', 'delayed', 'infinity')": "22023",
        "(kind, queue, payload, due_at) values ('task', 'q', '{}', 'infinity')": "22023",
        "(kind, queue, payload, state) values ('task', 'q', '{}', 'delayed')": "23514",
        "(kind, queue, payload, state) values ('task', 'q', '{}', 'claimed')": "23514",
        "(kind, queue, payload, priority) values ('task', 'q', '{}', 10)": "22023",
        "(kind, queue, payload, priority) values ('task', 'q', '{}', -1)": "22023",
        "(kind, queue, payload) values ('task', '', '{}')": "22023",
        "(kind, queue, payload) values ('task', repeat('x', 256), '{}')": "22023",
        "(kind, queue, payload, sql) values ('task', 'q', '{}', 'select 1')": "23514",
        "(kind, queue) values ('task', 'q')": "22004",
        "(kind, queue, sql, cookie, settings) values ('task', 'q', 'select 1', 1, '{}')": "23514",
        "(kind, queue, payload) values ('job', 'q', '{}')": "22004",
        "(kind, queue, sql, cookie, settings, max_attempts) values ('job', 'q', 'select 1', 1, '{}', 0)": "22023",
        "(kind, queue, sql, cookie, settings, max_attempts) values ('job', 'q', 'select 1', 1, '{}', -1)": "22023",
        "(kind, queue, sql, cookie, settings, max_attempts) values ('job', 'q', 'select 1', 1, '{}', 1001)": "22023",
        "(kind, queue, sql, cookie, settings, kept) values ('job', 'q', 'select 1', 1, '{}', 'task')": "23514",
        "(kind, queue, sql, cookie, settings, state) values ('job', 'q', 'select 1', 1, '{}', 'waiting')": "23514",
        "(kind, queue, payload, state) values ('task', 'q', '{}', 'waiting')": "23514",
        "(kind, queue, payload, kept) values ('task', 'q', '{}', 'many')": "23514",
        "(kind, queue, payload, cookie) values ('task', 'q', '{}', 1)": "23514",
        "(kind, queue, payload, session_id) values ('task', 'q', '{}', 1)": "23514",
        "(kind, queue, payload, max_attempts) values ('task', 'q', '{}', 3)": "23514",
        "(kind, queue, payload, timeout) values ('task', 'q', '{}', '1 s')": "23514",
        "(kind, queue, payload, backoff) values ('task', 'q', '{}', '1 s')": "23514",
        "(kind, queue, payload, label) values ('task', 'q', '{}', 'x')": "23514",
    }
    for row, sqlstate in bad.items():
        error = refused(alice, f"insert into pgqueue.outbox {row}")
        assert error.sqlstate == sqlstate, (row, str(error))


@pytest.mark.parametrize(
    "row",
    [
        "null, 'q', 'select 1', null, '{}'",
        "1, null, 'select 1', null, '{}'",
        "1, '', 'select 1', null, '{}'",
        "1, repeat('x', 256), 'select 1', null, '{}'",
        "1, 'w1.celery.pidbox', 'select 1', null, '{}'",
        "1, 'q', null, null, '{}'",
        "1, 'q', '', null, '{}'",
        "1, 'q', E' \t\r\n', null, '{}'",
        "1, 'q', repeat('x', 16777217), null, '{}'",
        "1, 'q', 'select 1', '{{1,2},{3,4}}', '{}'",
        "1, 'q', 'select 1', array_fill(''::text, array[65536]), '{}'",
        "1, 'q', 'select 1', null, null",
        "1, 'q', 'select 1', null, '[]'",
        "1, 'q', 'select 1', null, '{\"a\": 7}'",
        "1, 'q', 'select 1', null, jsonb_build_object('a', repeat('x', 1000001))",
    ],
)
def test_the_short_outbox_refuses_what_the_long_one_refuses(alice, owner, row):
    long = refused(
        alice, f"insert into pgqueue.outbox (kind, cookie, queue, sql, params, settings) values ('job', {row})"
    )
    short = refused(alice, f"insert into pgqueue.job_outbox (cookie, queue, sql, params, settings) values ({row})")

    fields = ("sqlstate", "message_primary", "message_hint", "schema_name", "table_name")
    assert [getattr(short.diag, field) for field in fields] == [getattr(long.diag, field) for field in fields]
    assert fetch_value(owner, "select count(*) from pgqueue.message") == 0


@pytest.mark.parametrize(
    "row",
    [
        "1, 'q', E'\n select 1', null, '{}'",
        "1, 'celeryev.x', 'select 1', null, '{}'",
        "1, 'q', 'select 1', array_fill('x'::text, array[60000]), '{}'",
        "1, 'q', 'select 1', '{}', jsonb_build_object('search_path', repeat('x', 5000))",
    ],
)
def test_the_short_outbox_accepts_unusual_jobs_as_the_long_one_does(alice, owner, row):
    alice.execute(f"insert into pgqueue.outbox (kind, cookie, queue, sql, params, settings) values ('job', {row})")
    alice.execute(f"insert into pgqueue.job_outbox (cookie, queue, sql, params, settings) values ({row})")

    told = "to_jsonb(m) - array['id', 'launched_at']"
    assert fetch_value(owner, f"select count(*) = 2 and count(distinct {told}) = 1 from pgqueue.message m") is True


def test_a_role_that_may_not_keep_a_result_writes_no_job_that_does(owner, alice):
    owner.execute("alter role alice nologin; update pgqueue.role_key set result_runner = null")
    for kept in ("once", "many"):
        error = refused(
            alice,
            "insert into pgqueue.outbox (kind, queue, sql, cookie, settings, kept)"
            f" values ('job', 'q', 'select 1', 1, '{{}}', '{kept}')",
        )
        assert (error.sqlstate, error.diag.message_hint is not None) == ("55000", True), str(error)


# The views beside the outbox through which roles write, and what each takes of settings that a role writes itself.
SETTINGS = {
    "batch_order (settings)": "values (%s::jsonb)",
    "step_order (step, settings)": """values ('{"sql": "select 1", "result": "rows"}', %s::jsonb)""",
    "schedule_order (act, name, expression, timezone, catch_up, sql, queue, priority, settings)": (
        "values ('put', 'n', '1 min', 'UTC', 'last', 'select 1', 'q', 0, %s::jsonb)"
    ),
}


@pytest.mark.parametrize("view", SETTINGS)
@pytest.mark.parametrize(
    ("settings", "sqlstate"),
    [('["a"]', "22023"), ('"a"', "22023"), ('{"a": 1}', "22023"), ('{"a": {"b": "c"}}', "22023"), ("much", "54000")],
)
def test_settings_that_no_job_could_have_are_refused_wherever_a_role_writes_them(alice, view, settings, sqlstate):
    given = json.dumps({"app.much": "x" * 1_000_001}) if settings == "much" else settings

    error = refused(alice, f"insert into pgqueue.{view} {SETTINGS[view]}", [given])

    assert error.sqlstate == sqlstate, str(error)
    assert error.diag.message_hint
    alice.execute(f"insert into pgqueue.{view} {SETTINGS[view]}", ['{"work_mem": "5MB"}'])


@pytest.mark.parametrize(
    ("step", "sqlstate"),
    [
        ('{"sql": "select 1", "result": "rows", "params": {"a": 1}}', "22023"),
        ('{"sql": "select 1", "result": "rows", "with_result": "perhaps"}', "22P02"),
        ('{"sql": "select 1", "result": "rows", "max_attempts": 0}', "22023"),
        ('{"sql": "select 1", "result": "rows", "timeout": "-1 s"}', "22023"),
        ('["select 1"]', "22023"),
        ("null", "22023"),
    ],
)
def test_a_step_that_no_worker_could_run_is_not_sealed(alice, step, sqlstate):
    assert refused(alice, "insert into pgqueue.step_order (step) values (%s::jsonb)", [step]).sqlstate == sqlstate


# What the functions leave to the queue itself, and a word of the message that each gets.
TOO_MUCH = {
    "enqueue('select 1', label => repeat('x', 10001))": ("54000", "label"),
    "launch('select 1', label => repeat('x', 10001))": ("54000", "label"),
    "enqueue('select ' || repeat('1', 16777216))": ("54000", "sql has more than 16 MB"),
    "launch('select ' || repeat('1', 16777216))": ("54000", "sql has more than 16 MB"),
    "enqueue_many(array['select ' || repeat('1', 16777216)])": ("54000", "sql has more than 16 MB"),
    "enqueue('select 1', params => array_fill('x'::text, array[65536]))": ("54000", "params"),
    "enqueue('select 1', params => array[repeat('x', 16777217)])": ("54000", "params"),
    "enqueue_many(array['select 1'], label => repeat('x', 10001))": ("54000", "label"),
    "send_task('a.b', queue => 'w1.celery.pidbox')": ("42501", "permission denied for queue"),
    "enqueue('select 1', queue => 'w1.celery.pidbox')": ("42501", "permission denied for queue"),
    "launch('select 1', queue => 'w1.celery.pidbox')": ("42501", "permission denied for queue"),
}


@pytest.mark.parametrize("call", TOO_MUCH)
def test_what_no_worker_could_take_is_refused_by_the_queue_itself(alice, owner, call):
    sqlstate, word = TOO_MUCH[call]

    error = refused(alice, f"select pgqueue.{call}")

    assert (error.sqlstate, word in error.diag.message_primary) == (sqlstate, True), str(error)
    assert error.diag.message_hint
    assert fetch_value(owner, "select count(*) from pgqueue.message") == 0


def test_settings_that_are_too_large_are_refused(alice):
    alice.execute("set pgqueue.inherit = 'app.much'")
    alice.execute("select set_config('app.much', repeat('x', 1000001), false)")

    error = refused(alice, "select pgqueue.enqueue('select 1')")

    assert (error.sqlstate, error.diag.message_primary) == ("54000", "settings have more than 1 MB")


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
    owner.execute("grant alice to carol")  # who is enrolled
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


@pytest.mark.parametrize("arguments", ["''", "null", "'select 1', priority => 10"])
def test_a_refusal_of_an_argument_has_a_context_that_can_be_read(alice, arguments):
    context = refused(alice, f"select pgqueue.launch({arguments})").diag.context

    assert [re.search(r"pgqueue[.](\w+)", line)[1] for line in context.splitlines()] == [
        "_check_options",
        "_hand_in",
        "launch",
    ]


def lines_of_context(error):
    return (error.diag.context or "").splitlines()


@pytest.mark.parametrize(
    "statement",
    [
        "select pgqueue.launch('select 1', priority => 99)",
        "select pgqueue.launch('select 1', max_attempts => 0)",
        "select pgqueue.wait((7, 8)::pgqueue.handle)",
        "select pgqueue.cancel((7, 8)::pgqueue.handle)",
        "select pgqueue.detach((7, 8)::pgqueue.handle)",
        "select pgqueue.statement((7, 8)::pgqueue.handle)",
        "select * from pgqueue.result((7, 8)::pgqueue.handle) as (x int)",
        "select pgqueue.enqueue('select 1', priority => 99)",
    ],
)
def test_the_context_of_a_refusal_is_the_callers_and_few_lines_of_pgqueue(alice, statement):
    error = refused(alice, f"do $do$ begin perform 1 from ({statement}) refused; end $do$")

    lines = lines_of_context(error)
    assert lines[-1] == "PL/pgSQL function inline_code_block line 1 at PERFORM"
    assert not any("_call" in line or "_over_loopback" in line or "own_key" in line for line in lines)
    assert len(lines) <= 7, lines


def test_the_context_of_a_jobs_error_is_the_jobs(alice, worker):
    handle = fetch_value(alice, "select pgqueue.launch('do $$ begin perform 1 / 0; end $$')")
    worker.run_next()

    lines = lines_of_context(refused(alice, "select * from pgqueue.result(%s::pgqueue.handle) as (x int)", [handle]))

    assert "PL/pgSQL function inline_code_block line 1 at PERFORM" in "\n".join(lines)
    assert [line for line in lines if "pgqueue." in line and "select pgqueue._raise($1)" not in line] == [
        line
        for line in lines
        if line.startswith(("PL/pgSQL function pgqueue._raise(jsonb)", "PL/pgSQL function pgqueue.result("))
    ]


def test_a_role_that_is_not_enrolled_is_told_so_by_a_trigger_and_shown_no_source(db, owner):
    db.create_role("stranger", enrolled=False)
    owner.execute(
        "create table public.item (id int); grant insert on public.item to stranger; create trigger fire after insert on public.item "
        "for each row execute function pgqueue.enqueue_trigger('sql', 'select $1', 'id')"
    )

    error = refused(db.connect("stranger"), "insert into public.item values (1)")

    assert (error.sqlstate, error.diag.message_primary) == ("42501", 'role "stranger" is not enrolled in pgqueue')
    assert error.diag.message_hint == "Let an administrator run: select pgqueue.enroll('stranger')"
    assert error.diag.internal_query is None
    assert len(lines_of_context(error)) == 1
