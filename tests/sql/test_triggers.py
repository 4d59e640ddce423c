"""Real triggers that enqueue a job or a Celery task, for each row or for each statement."""

import json

import pytest

from tests.harness.people import fetch_value, refused


@pytest.fixture
def item(alice, owner):
    """A table of alice's, whose triggers the test makes."""
    owner.execute("create schema shop authorization alice")
    alice.execute('create table shop.item (id int, name text, tags text[], doc jsonb, "Odd, Name" int, at timestamptz)')
    return "shop.item"


def make_trigger(session, arguments, events="insert", timing="after", level="row"):
    session.execute(
        f"create trigger fire {timing} {events} on shop.item for each {level} execute function pgqueue.enqueue_trigger({arguments})"
    )


def params_of(worker):
    return [claim.job["params"] for claim in worker.claim(max_count=100)]


def tasks_of(worker, *queues):
    claims = worker.claim(*(queues or ("celery",)), kind="task", max_count=100)
    return [json.loads(claim.message["body"])[:2] for claim in claims]


def test_the_columns_of_each_row_are_the_parameters(alice, worker, item):
    make_trigger(alice, "'sql', 'select $1::int, $2::text', 'id, name'")

    alice.execute("insert into shop.item (id, name) values (1, 'one'), (2, null)")

    assert params_of(worker) == [["1", "one"], ["2", None]]


@pytest.mark.needs_superuser("sets session_replication_role, as a subscription does")
def test_where_no_ordinary_trigger_fires_a_job_is_enqueued_or_an_error_raised(
    db, owner, alice, superuser, worker, item
):
    make_trigger(alice, "'sql', 'select $1::int', 'id'")
    alice.execute("alter table shop.item enable always trigger fire")
    superuser.execute("alter role alice set session_replication_role = replica")
    replica = db.connect("alice")

    replica.execute("insert into shop.item (id) values (1), (2)")
    plain = fetch_value(replica, "select (pgqueue.enqueue('select 3')).id")

    assert plain is not None
    assert params_of(worker) == [["1"], ["2"], None]
    # These are carried out by INSTEAD OF triggers, which cannot be ENABLE ALWAYS.
    for call in (
        "pgqueue.enqueue('select 1', unique_key => 'k')",
        "pgqueue.enqueue_many(array['select 1'], unique_keys => array['k'])",
        "pgqueue.send_task('some.task', unique_key => 'k')",
        "pgqueue.batch('b')",
        "pgqueue.schedule('s', '* * * * *', 'select 1')",
        "pgqueue.set_limit('default', max_running => 1)",
        "pgqueue.configure('timeout', '1 s', queue => 'default')",
        "pgqueue.discard_jobs('default')",
        "pgqueue._declare_queue('q', true, false, false, null)",
        "pgqueue._publish_otherwise('x', 'k', '{}', 0, null, null, null)",
    ):
        assert refused(replica, f"select {call}").sqlstate == "55000", call


def test_the_job_runs_with_them(alice, worker, item):
    alice.execute("create table shop.audit (id int, name text, tags text[], doc jsonb, at timestamptz)")
    make_trigger(alice, "'sql', 'insert into shop.audit values ($1, $2, $3, $4, $5)', 'id,name,tags,doc,at'")
    alice.execute("set timezone = 'Asia/Tokyo'; set datestyle = 'SQL, DMY'")
    alice.execute(
        """insert into shop.item (id, name, tags, doc, at)
           values (1, E'it''s \\t "x"', array['a', null, 'b,c', '"'], '{"k": [1, null]}', '2024-02-03 04:05:06.789+00')"""
    )

    assert worker.run_all() == ["succeeded"]

    alice.execute("reset datestyle")
    assert (
        alice.execute("select * from shop.audit").fetchall()
        == alice.execute("select id, name, tags, doc, at from shop.item").fetchall()
    )


VALUES = [
    ("boolean", "true"),
    ("bigint", "9223372036854775807"),
    ("numeric", "'12345678901234567890.10'"),
    ("float8", "'NaN'"),
    ("float8", "0.1"),
    ("date", "'2024-02-03'"),
    ("timestamp", "'2024-02-03 04:05:06.789'"),
    ("timestamptz", "'infinity'"),
    ("interval", "'1 year -2 days'"),
    ("bytea", "'\\x00ff'"),
    ("uuid", "'d3b07384-d113-4ec6-a7d9-6d9b0a1c2b3e'"),
    ("json", "'[1, {\"a\": null}]'"),
    ("jsonb", "'\"text\"'"),
    ("jsonb", "'null'"),
    ("int[]", "'{1,null,3}'"),
    ("shop.json_domain", "'\"text\"'"),
    ("jsonb", "'true'"),
    ("json", "' 1.0 '"),
    ("text[]", "'{a,\"b c\",null}'"),
    ("int4range", "'[1,5)'"),
    ("inet", "'10.0.0.1/8'"),
    ("char(5)", "'ab'"),
    ("shop.pair", "'(1,\"a b\")'"),
    ("point", "'(1,2)'"),
]


def test_values_of_every_kind_reach_the_job_unchanged(alice, owner, worker, item):
    alice.execute("create type shop.pair as (a int, b text); create domain shop.json_domain as jsonb")
    names = [f"c{n}" for n in range(len(VALUES))]
    columns = ", ".join(f"{name} {type_}" for name, (type_, _) in zip(names, VALUES, strict=True))
    alice.execute(f"create table shop.wide ({columns}); create table shop.copy (like shop.wide)")
    parameters = ", ".join(f"${n + 1}" for n in range(len(VALUES)))
    # One trigger for each column by itself, and one for all: the two ways in which values become text.
    for name in names:
        alice.execute(
            f"""create trigger one_{name} after insert on shop.wide for each row execute function
                pgqueue.enqueue_trigger('sql', 'insert into shop.copy ({name}) values ($1)', '{name}')"""
        )
    alice.execute(
        f"""create trigger whole after insert on shop.wide for each row execute function
            pgqueue.enqueue_trigger('sql', 'insert into shop.copy values ({parameters})', '{",".join(names)}')"""
    )
    alice.execute("insert into shop.wide values (" + ", ".join(value for _, value in VALUES) + ")")

    assert set(worker.run_all()) == {"succeeded"}, alice.execute("select statement, error from pgqueue.jobs").fetchall()

    for name in names:
        expected = fetch_value(alice, f"select {name}::text from shop.wide")
        copies = alice.execute(f"select {name}::text from shop.copy where {name} is not null").fetchall()
        assert copies == [(expected,)] * 2, name


def test_columns_with_odd_names_can_be_named(alice, worker, item):
    alice.execute('alter table shop.item add "Mixed Case" int, add "it\'s" int, add "q""q" int')
    make_trigger(alice, """'sql', 'select $1, $2, $3, $4, $5', '"Odd, Name" , Mixed Case,it''s, "q""q",id'""")

    alice.execute("""insert into shop.item (id, "Odd, Name", "Mixed Case", "it's", "q""q") values (1, 2, 3, 4, 5)""")

    assert params_of(worker) == [["2", "3", "4", "5", "1"]]


def test_without_columns_a_job_has_no_parameters(alice, worker, item):
    make_trigger(alice, "'sql', 'select 1'")

    alice.execute("insert into shop.item (id) values (1)")

    assert params_of(worker) == [None]


@pytest.mark.parametrize("columns", ["", "id, name"])
@pytest.mark.parametrize("timeout", ["", "0", "3 s"])
def test_a_trigger_with_options_and_one_without_make_the_same_job(alice, owner, item, columns, timeout):
    alice.execute("select set_config('pgqueue.worker_timeout', %s, false)", [timeout])
    alice.execute(
        "set work_mem = '5MB'; set pgqueue.traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'"
    )

    # Only the shortest form of the arguments goes the short way.
    for arguments in (
        "'sql', 'select 1'",
        f"'sql', 'select 1', '{columns}'",
        f"'sql', 'select 1', '{columns}', 'priority=0'",
    ):
        make_trigger(alice, arguments)
        alice.execute("insert into shop.item (id, name) values (1, 'one'), (2, null); drop trigger fire on shop.item")

    same = "to_jsonb(m) - '{id, cookie, launched_at}'::text[]"
    jobs = [row[0] for row in owner.execute(f"select {same} from pgqueue.message m order by id").fetchall()]
    assert len(jobs) == 6
    assert jobs[2:4] == jobs[4:]
    assert [job["params"] for job in jobs[:2]] == [None, None]
    assert [{**job, "params": None} for job in jobs[2:4]] == jobs[:2]
    assert jobs[0]["timeout"] == {"3 s": "00:00:03"}.get(timeout)
    assert jobs[0]["settings"]["work_mem"] == "5MB"


@pytest.mark.needs_superuser("counts calls of functions")
@pytest.mark.parametrize(
    "arguments",
    ["'sql', 'select 1'", "'sql', 'select 1', ''", "'sql', 'select $1', 'id, name'", "'sql', E'\\n select $1', 'name'"],
)
def test_a_trigger_without_options_goes_the_short_way(owner, item, arguments):
    make_trigger(owner, arguments)
    owner.execute("select pgqueue.enroll(quote_ident(current_user)::regrole)")

    with owner.transaction():
        owner.execute("set local track_functions = 'all'")
        owner.execute("insert into shop.item (id, name) select n, repeat('é', n * 100) from generate_series(1, 20) n")
        calls = [
            fetch_value(owner, "select pg_stat_get_xact_function_calls(%s::regproc)", [f"pgqueue.{name}"])
            for name in ("_put_row_job", "_capture_for_rows", "_enqueue_for_trigger", "_row_secret")
        ]

    assert calls[:3] == [20, 1, None]
    assert calls[3] in (None, 1), "a row reads the secret, which is a constant of the plan"


def test_triggers_that_take_turns_are_each_checked_once_in_a_statement(alice, owner, item):
    for name, arguments in (("a", "'select $1', 'id'"), ("b", "'select $1, $2', 'id, name'"), ("c", "'select 3'")):
        alice.execute(
            f"create trigger {name} after insert on {item} for each row execute function pgqueue.enqueue_trigger('sql', {arguments})"
        )

    with alice.transaction():
        alice.execute(f"insert into {item} (id, name) values (0, 'row 0')")
        alice.execute(f"insert into {item} (id, name) select n, 'row ' || n from generate_series(1, 40) n")
        seals = fetch_value(alice, "select length(current_setting('pgqueue.row_seals')) / 32")

    # In each statement each trigger at its first row, and the first one again, since the second has added columns that are known.
    assert seals == 3 + 4
    assert owner.execute("select sql, params from pgqueue.message order by id").fetchall() == [
        job
        for n in range(41)
        for job in (("select $1", [str(n)]), ("select $1, $2", [str(n), f"row {n}"]), ("select 3", None))
    ]


def test_an_update_gives_the_new_values_and_a_delete_the_old_ones(alice, worker, item):
    alice.execute("insert into shop.item (id, name) values (1, 'old')")
    make_trigger(alice, "'sql', 'select $1', 'name'", events="update or delete")

    alice.execute("update shop.item set name = 'new'")
    alice.execute("delete from shop.item")

    assert params_of(worker) == [["new"], ["new"]]


def test_a_statement_trigger_enqueues_once_whatever_the_rows(alice, worker, item):
    make_trigger(alice, "'sql', 'select 1'", events="insert or update or delete or truncate", level="statement")

    alice.execute("insert into shop.item (id) select generate_series(1, 10)")
    alice.execute("update shop.item set id = 1 where false")
    alice.execute("delete from shop.item")
    alice.execute("truncate shop.item")

    assert len(worker.claim(max_count=100)) == 4


@pytest.mark.parametrize("timing", ["before", "after"])
def test_a_trigger_changes_nothing_of_what_the_statement_does(alice, worker, item, timing):
    make_trigger(alice, "'sql', 'select 1'", events="insert or update or delete", timing=timing)

    alice.execute("insert into shop.item (id) values (1)")
    alice.execute("update shop.item set id = 2")
    assert alice.execute("select id from shop.item").fetchall() == [(2,)]
    alice.execute("delete from shop.item")

    assert alice.execute("select * from shop.item").fetchall() == []
    assert len(worker.claim(max_count=100)) == 3


def test_a_task_gets_the_columns_as_its_arguments(alice, worker, item):
    make_trigger(alice, "'task', 'shop.changed', 'id, name, tags, doc'")

    alice.execute("""insert into shop.item (id, name, tags, doc) values (1, null, '{a,b}', '{"k": 1.5}')""")

    assert tasks_of(worker) == [[[1, None, ["a", "b"], {"k": 1.5}], {}]]


def test_a_task_without_columns_gets_the_whole_row(alice, worker, item):
    make_trigger(alice, "'task', 'shop.changed'", events="insert or update or delete")

    alice.execute("insert into shop.item (id, name) values (1, 'one')")
    alice.execute("update shop.item set name = 'two'")
    alice.execute("delete from shop.item")

    told = [kwargs for _, kwargs in tasks_of(worker)]
    assert [(one["op"], one["schema"], one["table"]) for one in told] == [
        ("INSERT", "shop", "item"),
        ("UPDATE", "shop", "item"),
        ("DELETE", "shop", "item"),
    ]
    names = [((one["new"] or {}).get("name"), (one["old"] or {}).get("name")) for one in told]
    assert names == [("one", None), ("two", "one"), (None, "two")]
    assert told[0]["old"] is None
    assert told[2]["new"] is None
    assert set(told[0]["new"]) == {"id", "name", "tags", "doc", "Odd, Name", "at"}


def test_a_statement_trigger_sends_one_task(alice, worker, item):
    make_trigger(alice, "'task', 'shop.changed'", level="statement")

    alice.execute("insert into shop.item (id) select generate_series(1, 10)")

    assert tasks_of(worker) == [[[], {"op": "INSERT", "schema": "shop", "table": "item", "new": None, "old": None}]]


def test_options_of_a_job_are_taken(alice, owner, worker, item):
    make_trigger(
        alice,
        "'sql', 'select 1', '', 'queue=mail', 'priority=7', 'delay=1 hour', 'label=a=b', 'timeout=2 s', 'max_attempts=4'",
    )
    alice.execute("insert into shop.item (id) values (1)")

    job = alice.execute(
        "select queue, priority, label, max_attempts, eta > now() + interval '59 min' from pgqueue.jobs"
    )
    assert job.fetchall() == [("mail", 7, "a=b", 4, True)]
    owner.execute("update pgqueue.message set due_at = now()")
    assert worker.claim_one("mail").job["timeout_ms"] == 2000


def test_options_of_a_task_are_taken(alice, owner, worker, item):
    make_trigger(alice, "'task', 'shop.changed', '*', 'queue=mail', 'priority=7', 'delay=1 hour'")
    alice.execute("insert into shop.item (id) values (1)")
    assert tasks_of(worker, "mail") == []
    owner.execute("update pgqueue.message set due_at = now()")

    assert worker.claim_one("mail", kind="task").message["properties"]["priority"] == 7


BAD_ARGUMENTS = [
    ("", "22023", "insert"),
    ("'sql'", "22023", "insert"),
    ("'sql', ''", "22023", "insert"),
    ("'celery', 'a.b'", "22023", "insert"),
    ("'sql', 'select 1', 'nothing_here'", "42703", "insert"),
    ("'task', 'a.b', 'nothing_here'", "42703", "insert"),
    ("'sql', 'select 1', 'id, nothing_here'", "42703", "insert"),
    ("'sql', 'select 1', '', 'colour=red'", "22023", "insert"),
    ("'sql', 'select 1', '', 'queue'", "22023", "insert"),
    ("'sql', 'select 1', '', 'priority=99'", "22023", "insert"),
    ("'sql', 'select 1', '', 'priority=high'", "22P02", "insert"),
    ("'sql', 'select 1', '', 'delay=-1 s'", "22023", "insert"),
    ("'sql', 'select 1', '', 'queue='", "22023", "insert"),
]


def test_bad_arguments_are_refused_when_the_trigger_fires(alice, owner, item):
    for arguments, sqlstate, events in BAD_ARGUMENTS:
        make_trigger(alice, arguments, events=events)
        error = refused(alice, "insert into shop.item (id) values (1)")
        assert error.sqlstate == sqlstate, (arguments, str(error))
        alice.execute("drop trigger fire on shop.item")

    assert fetch_value(owner, "select count(*) from pgqueue.message") == 0


def test_columns_in_a_statement_trigger_are_refused_with_a_way_out(alice, item):
    make_trigger(alice, "'sql', 'select $1', 'id'", level="statement")

    error = refused(alice, "insert into shop.item (id) values (1)")

    assert (error.sqlstate, "transition table" in error.diag.message_hint) == ("22023", True)


TRANSITIONS = {
    "insert": ("new", [["1", "one"], ["2", None]]),
    "update": ("new", [["1", "uno"], ["2", "uno"]]),
    "delete": ("old", [["1", "uno"], ["2", "uno"]]),
}


def test_a_statement_trigger_with_a_transition_table_enqueues_for_each_of_its_rows(alice, worker, item):
    for event, (which, _) in TRANSITIONS.items():
        alice.execute(
            f"""create trigger {event} after {event} on shop.item referencing {which} table as "Some rows" for each statement
                execute function pgqueue.enqueue_trigger('sql', 'select $1::int, $2', 'id, name', 'queue={event}', 'priority=3')"""
        )

    alice.execute("insert into shop.item (id, name) values (1, 'one'), (2, null)")
    alice.execute("update shop.item set name = 'uno'")
    alice.execute("delete from shop.item where false")
    alice.execute("delete from shop.item")

    for event, (_, expected) in TRANSITIONS.items():
        assert [claim.job["params"] for claim in worker.claim(event)] == expected


def test_values_of_every_kind_come_out_of_a_transition_table_as_their_text(alice, worker, item):
    alice.execute("create table shop.copy (like shop.item)")
    alice.execute(
        """create trigger fire after insert on shop.item referencing new table as new_rows for each statement execute function
           pgqueue.enqueue_trigger('sql', 'insert into shop.copy values ($1, $2, $3, $4, $5, $6)', 'id,name,tags,doc,"Odd, Name",at')"""
    )
    alice.execute(
        """insert into shop.item values (1, E'it''s "x"', array['a', null, 'b,c'], '"text"', 7, '2024-02-03 04:05:06.789+00')"""
    )

    assert worker.run_all() == ["succeeded"]
    assert alice.execute("table shop.copy").fetchall() == alice.execute("table shop.item").fetchall()


def test_a_task_is_sent_for_each_row_of_a_transition_table(alice, worker, item):
    alice.execute(
        """create trigger fire after insert on shop.item referencing new table as new_rows for each statement
           execute function pgqueue.enqueue_trigger('task', 'shop.changed', 'id, tags')"""
    )

    alice.execute("insert into shop.item (id, tags) values (1, '{a}'), (2, null)")

    assert tasks_of(worker) == [[[1, ["a"]], {}], [[2, None], {}]]


def test_a_column_that_a_transition_table_lacks_is_refused(alice, item):
    alice.execute(
        """create trigger fire after insert on shop.item referencing new table as new_rows for each statement
           execute function pgqueue.enqueue_trigger('sql', 'select $1', 'nothing_here')"""
    )

    assert refused(alice, "insert into shop.item (id) values (1)").sqlstate == "42703"


def test_a_column_added_between_two_statements_is_known(alice, worker, item):
    make_trigger(alice, "'sql', 'select $1', 'id'")
    alice.execute("insert into shop.item (id) values (1)")
    alice.execute("alter table shop.item alter id type jsonb using to_jsonb('a'::text)")

    alice.execute("""insert into shop.item (id) values ('"b"')""")

    assert params_of(worker) == [["1"], ['"b"']]


def test_jobs_of_a_rolled_back_insert_never_exist(alice, owner, worker, item):
    make_trigger(alice, "'sql', 'select $1', 'id'")

    alice.execute("begin")
    alice.execute("insert into shop.item (id) values (1)")
    alice.execute("savepoint a")
    alice.execute("insert into shop.item (id) values (2)")
    alice.execute("rollback to a")
    alice.execute("commit")
    alice.execute("begin")
    alice.execute("insert into shop.item (id) values (3)")
    alice.execute("rollback")

    assert params_of(worker) == [["1"]]
    assert fetch_value(owner, "select count(*) from pgqueue.message") == 1


def test_the_job_inherits_the_settings_of_the_session_that_changed_the_row(alice, worker, item):
    make_trigger(alice, "'sql', 'select 1'")
    alice.execute("set search_path = shop, pg_catalog; set work_mem = '9MB'")

    alice.execute("insert into item (id) values (1)")

    settings = worker.claim_one().job["settings"]
    assert (settings["search_path"], settings["work_mem"]) == ("shop, pg_catalog", "9MB")


def test_a_role_that_is_not_enrolled_is_told_so_by_the_trigger(db, alice, owner, item):
    make_trigger(alice, "'sql', 'select 1'")
    db.create_role("clerk", enrolled=False)
    owner.execute("grant usage on schema shop to clerk; grant insert on shop.item to clerk; grant alice to clerk")

    error = refused(db.connect("clerk"), "insert into shop.item (id) values (1)")

    assert (error.sqlstate, "pgqueue.enroll('clerk')" in error.diag.message_hint) == ("42501", True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rows", "arguments"),
    [
        (20_000, "'sql', 'select $1::int, $2', 'id, name'"),
        (5_000, "'task', 'shop.changed', 'id, name'"),
        (5_000, "'task', 'shop.changed'"),
    ],
)
def test_thousands_of_rows_in_one_statement_enqueue_as_many_times(alice, owner, worker, item, rows, arguments):
    make_trigger(alice, arguments)

    alice.execute("insert into shop.item (id, name) select g, 'row ' || g from generate_series(1, %s) g", [rows])

    assert fetch_value(owner, "select count(*) from pgqueue.message where state = 'ready'") == rows
    if "sql" in arguments:
        assert fetch_value(owner, "select count(distinct params[1]) from pgqueue.message") == rows


def test_a_trigger_function_of_ones_own_can_enqueue_a_whole_statement(alice, worker, item):
    alice.execute(
        """create function shop.tell() returns trigger language plpgsql as $$
           begin
             perform pgqueue.enqueue_many(array(select format('select %s', id) from new_items order by id));
             return null;
           end $$"""
    )
    alice.execute(
        """create trigger tell after insert on shop.item referencing new table as new_items
           for each statement execute function shop.tell()"""
    )

    alice.execute("insert into shop.item (id) select generate_series(1, 5)")

    assert [claim.job["sql"] for claim in worker.claim()] == [f"select {n}" for n in range(1, 6)]


VIRTUAL = 'column "twice" of shop.price is generated when it is read, so a trigger does not see it'


@pytest.mark.parametrize(
    ("level", "arguments"),
    [
        ("row", "'sql', 'select $1', 'twice'"),
        ("row", "'sql', 'select $1, $2', 'id,twice', 'priority=3'"),
        ("row", "'task', 'a.b', 'twice'"),
        ("row", "'task', 'a.b'"),
        ("statement", "'sql', 'select $1', 'twice'"),
        ("statement", "'task', 'a.b', 'id, twice'"),
    ],
)
def test_a_column_that_is_generated_when_it_is_read_is_refused_by_name(db, alice, item, level, arguments):
    if db.server.major < 18:
        pytest.skip("PostgreSQL 18 has them")
    alice.execute(
        "create table shop.price (id int, twice int generated always as (id * 2) virtual, kept int generated always as (id * 3) stored)"
    )
    table = "referencing new table as new_rows" if level == "statement" else ""
    alice.execute(
        f"create trigger fire after insert on shop.price {table} for each {level} execute function pgqueue.enqueue_trigger({arguments})"
    )

    error = refused(alice, "insert into shop.price (id) values (1)")

    assert (error.sqlstate, error.diag.message_primary) == ("0A000", VIRTUAL)
    assert error.diag.message_hint == "Name the columns that it is generated from, or generate it as STORED."


@pytest.mark.parametrize("level", ["row", "statement"])
def test_the_other_columns_of_such_a_table_reach_jobs_and_tasks(db, alice, worker, item, level):
    if db.server.major < 18:
        pytest.skip("PostgreSQL 18 has them")
    alice.execute(
        "create table shop.price (id int, twice int generated always as (id * 2) virtual, kept int generated always as (id * 3) stored)"
    )
    table = "referencing new table as new_rows" if level == "statement" else ""
    for name, arguments in {"job": "'sql', 'select $1, $2', 'id,kept'", "task": "'task', 'a.b', 'kept,id'"}.items():
        alice.execute(
            f"create trigger {name} after insert on shop.price {table} for each {level} execute function pgqueue.enqueue_trigger({arguments})"
        )

    alice.execute("insert into shop.price (id) values (1), (2)")

    assert params_of(worker) == [["1", "3"], ["2", "6"]]
    assert tasks_of(worker) == [[[3, 1], {}], [[6, 2], {}]]


OPTIONS = (
    "'queue=q'", "'priority=7'", "'eta=2099-01-01 00:00+00'", "'expires=2099-02-01 00:00+00'", "'timeout=90 s'", "'max_attempts=4'",
    "'backoff=3 s'", "'label=l'", "'durability=async'", "'limit_key=tenant'", "'traceparent=00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'",
)  # fmt: skip
STORED = """queue, priority::int, due_at = '2099-01-01 00:00+00', expires_at = '2099-02-01 00:00+00', timeout::text, max_attempts::int, backoff::text,
            label, settings ->> 'synchronous_commit', limit_key, settings ->> 'pgqueue.traceparent'"""
AS_GIVEN = (
    "q", 7, True, True, "00:01:30", 4, "00:00:03", "l", "off", "tenant", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
)  # fmt: skip


@pytest.mark.parametrize("keyed", [False, True])
@pytest.mark.parametrize("level", ["row", "statement", "statement referencing"])
def test_every_option_of_a_job_is_one_of_a_trigger(alice, owner, item, level, keyed):
    arguments = ", ".join(("'sql'", "'select 1'", "''" if level == "statement" else "'id'", *OPTIONS))
    if keyed:
        arguments += ", 'unique_key=k', 'unique_for=1 h', 'on_conflict=replace'"
    made = "for each statement" if level != "row" else "for each row"
    referencing = "referencing new table as added " if level == "statement referencing" else ""
    alice.execute(
        f"create trigger fire after insert on shop.item {referencing}{made} execute function pgqueue.enqueue_trigger({arguments})"
    )

    alice.execute("insert into shop.item (id) values (1), (2)")

    count = 1 if keyed or level == "statement" else 2
    assert owner.execute(f"select {STORED} from pgqueue.message").fetchall() == [AS_GIVEN] * count
    assert fetch_value(owner, "select count(*) from pgqueue.unique_hold where free_at is not null") == keyed


@pytest.mark.parametrize("kind", ["sql", "task"])
@pytest.mark.parametrize("referencing", ["", "referencing new table as added "])
def test_the_unique_key_may_be_a_column(alice, owner, item, kind, referencing):
    level = "statement" if referencing else "row"
    alice.execute(
        f"create trigger fire after insert on shop.item {referencing}for each {level} execute function"
        f" pgqueue.enqueue_trigger('{kind}', 'select 1', 'id', 'unique_key_column=name', 'on_conflict=replace', 'delay=1 h')"
    )

    alice.execute("insert into shop.item (id, name) values (1, 'a'), (2, 'b'), (3, 'a'), (4, null), (5, null)")

    value = "coalesce(params[1], (payload ->> 'body')::json #>> '{0,0}')"
    rows = owner.execute(f"select unique_key, {value} from pgqueue.message order by 2").fetchall()
    assert rows == [("b", "2"), ("a", "3"), (None, "4"), (None, "5")]


def test_a_trigger_of_a_task_takes_what_send_task_does(alice, owner, item):
    make_trigger(
        alice,
        "'task', 't', 'id', 'queue=q', 'priority=3', 'eta=2099-01-01 00:00+00', 'expires=2099-02-01 00:00+00', 'unique_key=k'",
    )

    alice.execute("insert into shop.item (id) values (1), (2)")

    columns = "queue, priority::int, due_at = '2099-01-01 00:00+00', expires_at = '2099-02-01 00:00+00', unique_key"
    assert owner.execute(f"select {columns} from pgqueue.message").fetchall() == [("q", 3, True, True, "k")]


@pytest.mark.parametrize("option", ["label", "timeout", "max_attempts", "backoff", "durability", "traceparent"])
def test_a_trigger_of_a_task_refuses_options_of_jobs(alice, item, option):
    make_trigger(alice, f"'task', 't', 'id', '{option}=1'")

    error = refused(alice, "insert into shop.item (id) values (1)")

    assert (error.sqlstate, error.diag.message_primary) == (
        "22023",
        f'option "{option}" of pgqueue.enqueue_trigger is for SQL jobs',
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("'unique_key=a', 'unique_key_column=id'", "both unique_key and unique_key_column are given"),
        ("'unique_for=1 h'", "unique_for needs a unique key"),
        ("'on_conflict=raise'", 'on_conflict "raise" needs a unique key'),
        ("'unique_key=a', 'on_conflict=x'", 'on_conflict "x" is not known'),
        ("'backoff=-1 s'", "backoff is negative"),
        ("'keep_result=true'", 'option "keep_result=true" of pgqueue.enqueue_trigger is not known'),
    ],
)
@pytest.mark.parametrize("referencing", ["", "referencing new table as added "])
def test_bad_options_of_a_trigger_are_refused(alice, item, referencing, options, message):
    level = "statement" if referencing else "row"
    alice.execute(
        f"create trigger fire after insert on shop.item {referencing}for each {level}"
        f" execute function pgqueue.enqueue_trigger('sql', 'select 1', 'id', {options})"
    )

    error = refused(alice, "insert into shop.item (id) values (1)")

    assert (error.sqlstate, error.diag.message_primary) == ("22023", message)


# Batches, and jobs to wait for

MADE = "select array_agg(state::text order by id) from pgqueue.message"


def make_batch(session):
    return fetch_value(session, "select pgqueue.batch()")


def total(session, batch):
    return fetch_value(session, "select total from pgqueue.batches where id = %s", [batch])


@pytest.mark.parametrize("kind", ["'sql', 'select $1'", "'task', 'shop.place'"])
@pytest.mark.parametrize("level", ["row", "statement"])
def test_what_a_trigger_enqueues_is_in_the_batch_of_its_argument_or_of_its_row(alice, item, kind, level):
    one, two = make_batch(alice), make_batch(alice)
    referencing = "" if level == "row" else "referencing new table as added "
    for name, option in (("a", f"batch={one}"), ("b", "batch_column=id")):
        alice.execute(
            f"create trigger {name} after insert on shop.item {referencing}for each {level}"
            f" execute function pgqueue.enqueue_trigger({kind}, 'id', '{option}')"
        )

    alice.execute("insert into shop.item (id) values (%s), (%s), (null)", [two, two])

    assert (total(alice, one), total(alice, two)) == (3, 2)


@pytest.mark.parametrize("kind", ["'sql', 'select $1'", "'task', 'shop.place'"])
@pytest.mark.parametrize("level", ["row", "statement"])
@pytest.mark.parametrize("form", ["jsonb", "bigint", "text", "pgqueue.handle", "pgqueue.handle[]"])
def test_what_a_trigger_enqueues_waits_for_the_jobs_that_its_row_names(owner, alice, item, kind, level, form):
    parent = fetch_value(alice, "select to_jsonb(h)::text from pgqueue.enqueue('select 1') h")
    fields = json.loads(parent)
    value = {
        "jsonb": parent,
        "bigint": fields["id"],
        "text": f"{fields['id']}:{fields['cookie']}",
        "pgqueue.handle": f"({fields['id']},{fields['cookie']})",
        "pgqueue.handle[]": f'{{"({fields["id"]},{fields["cookie"]})"}}',
    }[form]
    alice.execute(f"alter table shop.item add parents {form}")
    referencing = "" if level == "row" else "referencing new table as added "
    alice.execute(
        f"create trigger fire after insert on shop.item {referencing}for each {level}"
        f" execute function pgqueue.enqueue_trigger({kind}, 'id', 'after_column=parents', 'on_parent_failure=run')"
    )

    alice.execute(f"insert into shop.item (id, parents) values (1, %s::{form}), (2, null)", [value])

    assert fetch_value(owner, MADE) == ["ready", "waiting", "ready"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("'after=1:2'", "jobs that do not exist when the trigger is created"),
        ("'on_parent_failure=run'", "needs after_column"),
        ("'batch=1', 'batch_column=id'", "both batch and batch_column"),
        ("'batch=x'", "invalid input syntax"),
        ("'batch=0'", "batch 0 is not known"),
        ("'after_column=none'", "does not exist"),
        ("'after_column=name'", "has no handle"),
        ("'after_column=id', 'on_parent_failure=x'", "is not known"),
    ],
)
@pytest.mark.parametrize("kind", ["sql", "task"])
def test_what_a_trigger_cannot_wait_for_or_add_to_is_refused(alice, item, kind, options, words):
    make_trigger(alice, f"'{kind}', 'select 1', 'id', {options}")

    error = refused(alice, "insert into shop.item (id, name) values (0, 'no job')")

    assert words in error.diag.message_primary, str(error)


def test_a_statement_trigger_without_rows_has_no_column_of_handles(alice, item):
    make_trigger(alice, "'sql', 'select 1', '', 'after_column=id'", level="statement")

    assert "has no row" in refused(alice, "insert into shop.item (id) values (1)").diag.message_primary
