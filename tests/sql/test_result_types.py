"""Results keep their exact types, and values read back equal to those that the job returned."""

import pytest

from tests.harness.people import fetch_value, refused

# A value and its exact type; each is compared with itself as PostgreSQL makes it without pgqueue.
VALUES = [
    ("true", "boolean"),
    ("32767", "smallint"),
    ("2147483647", "int"),
    ("-9223372036854775808", "bigint"),
    ("123456789012345678901234567890.123456789", "numeric"),
    ("1.50", "numeric(10,2)"),
    ("'NaN'", "numeric"),
    ("0.1", "double precision"),
    ("1e308", "float8"),
    ("'-Infinity'", "float8"),
    ("3.4e38", "real"),
    ("''", "text"),
    ("E'a\\tb\\n\\\\ \"quoted\" ''single'' \\u00e4 \\U0001f418'", "text"),
    ("'null'", "text"),
    ("'abc'", "varchar"),
    ("'abc'", "varchar(10)"),
    ("'ab'", "char(4)"),
    ("'x'", '"char"'),
    ("'a name'", "name"),
    ("'\\x00ff10'", "bytea"),
    ("'2024-02-29'", "date"),
    ("'infinity'", "date"),
    ("'0044-03-15 BC'", "date"),
    ("'12:34:56.789'", "time"),
    ("'12:34:56.789+05:30'", "timetz"),
    ("'2024-02-29 12:34:56.123456'", "timestamp"),
    ("'2024-02-29 12:34:56.123'", "timestamp(3)"),
    ("'2024-02-29 12:34:56.123456+03'", "timestamptz"),
    ("'-infinity'", "timestamptz"),
    ("'1 year -2 months 3 days -04:05:06.7'", "interval"),
    ("'10 days'", "interval day"),
    ("'d3b07384-d113-4ec6-a7d9-6d9b0a1c2b3e'", "uuid"),
    ('\'{"a": [1, null, "x"]}\'', "json"),
    ('\'{"a": [1, null, "x"]}\'', "jsonb"),
    ("'192.168.0.0/16'", "cidr"),
    ("'10.1.2.3'", "inet"),
    ("'08:00:2b:01:02:03'", "macaddr"),
    ("'101'", "bit(3)"),
    ("'101'", "bit varying(5)"),
    ("'(1,2)'", "point"),
    ("'[1,10)'", "int4range"),
    ("'{[1,3),[5,9)}'", "int4multirange"),
    ("'[2024-01-01,infinity)'", "tstzrange"),
    ("'fat & rat'", "tsquery"),
    ("'a:1 b:2'", "tsvector"),
    ("'pg_class'", "regclass"),
    ("'0/16B3748'", "pg_lsn"),
    ("'{1,null,3}'", "int[]"),
    ("'{}'", "text[]"),
    ('\'{{a,b},{"c,d","e\\"f"}}\'', "text[]"),
    ("'[0:1]={1,2}'", "int[]"),
    ("'{\"2024-02-29 12:00:00+00\"}'", "timestamptz[]"),
    ('\'(7,"a b","{1,2}")\'', "public.pair"),
    ('\'{"(7,x,{})","(8,,)"}\'', "public.pair[]"),
    ("'happy'", "public.mood"),
    ("'happy'", 'public."Odd Type"'),
    ("'$1.50'", "money"),
    ("array[1.5, null]", "numeric(5,2)[]"),
]

TYPES = """
create type public.pair as (a int, b text, c int[]);
create type public.mood as enum ('sad', 'happy');
create type public."Odd Type" as enum ('sad', 'happy');
create domain public.positive as int check (value > 0);
"""


def test_values_of_every_kind_of_type_come_back_as_they_were(alice, owner, worker):
    owner.execute(TYPES)
    columns = [f"({value})::{type_}" for value, type_ in VALUES]
    named = [f"c{n} {type_}" for n, (_, type_) in enumerate(VALUES)]
    handle = fetch_value(alice, "select pgqueue.launch(%s)", ["select " + ", ".join(columns)])
    assert worker.run_next() == "succeeded", fetch_value(alice, "select error from pgqueue.jobs")
    alice.execute("create temp table received (" + ", ".join(named) + ")")

    alice.execute(
        "insert into received select * from pgqueue.result(%s::pgqueue.handle) as (" + ", ".join(named) + ")", [handle]
    )

    received = alice.execute(f"select {', '.join(f'c{n}::text' for n in range(len(VALUES)))} from received").fetchone()
    expected = alice.execute("select " + ", ".join(f"({column})::text" for column in columns)).fetchone()
    assert dict(zip(columns, received, strict=True)) == dict(zip(columns, expected, strict=True))


def test_nulls_of_every_type_stay_nulls(alice, owner, worker):
    owner.execute(TYPES)
    types = sorted({type_ for _, type_ in VALUES})
    statement = "select " + ", ".join(f"null::{type_}" for type_ in types)
    handle = fetch_value(alice, "select pgqueue.launch(%s)", [statement])
    worker.run_next()

    row = alice.execute(
        "select * from pgqueue.result(%s::pgqueue.handle) as ("
        + ", ".join(f"c{n} {type_}" for n, type_ in enumerate(types))
        + ")",
        [handle],
    ).fetchone()

    assert row == (None,) * len(types)


def test_a_column_of_a_domain_is_read_as_its_base_type(alice, owner, worker):
    # As in pg_background: the server describes it so to every client.
    owner.execute(TYPES)
    handle = fetch_value(alice, "select pgqueue.launch('select 5::public.positive')")
    worker.run_next()

    error = refused(alice, "select * from pgqueue.result(%s::pgqueue.handle) as (x public.positive)", [handle])

    assert (error.sqlstate, "positive integer" in error.diag.message_hint) == ("42804", True)
    assert fetch_value(alice, "select * from pgqueue.result(%s::pgqueue.handle) as (x int)", [handle]) == 5


def test_columns_of_pseudo_types_are_read_as_text(alice, worker):
    handle = fetch_value(alice, "select pgqueue.launch('select pg_sleep(0) as done, row(1, ''a b'') as pair')")
    worker.run_next()

    error = refused(alice, "select * from pgqueue.result(%s::pgqueue.handle) as (x int)", [handle])
    assert error.diag.message_hint == "The job returned (done text, pair text)."
    row = alice.execute(
        "select * from pgqueue.result(%s::pgqueue.handle) as (done text, pair text)", [handle]
    ).fetchone()

    assert row == ("", '(1,"a b")')


def test_a_type_outside_the_readers_search_path_is_found(alice, owner, worker):
    owner.execute("create schema away; create type away.mood as enum ('sad'); grant usage on schema away to alice")
    alice.execute("set search_path = away")
    handle = fetch_value(alice, "select pgqueue.launch('select ''sad''::mood as m')")
    worker.run_next()
    alice.execute("set search_path = pg_catalog")

    error = refused(alice, "select * from pgqueue.result(%s::pgqueue.handle) as (m text)", [handle])
    assert error.diag.message_hint == "The job returned (m away.mood)."
    assert fetch_value(alice, "select * from pgqueue.result(%s::pgqueue.handle) as (m away.mood)", [handle]) == "sad"


PRINTED = (
    "select '2024-02-03 04:05:06+00'::timestamptz, '2024-02-03'::date, '1 year -2 mons 03:04:05'::interval, "
    "'2024-02-03 04:05:06'::timestamp, array['2024-02-03 04:05:06+00'::timestamptz], '\\x00ff'::bytea, 0.1::float8 + 0.2"
)
COLUMNS = "(a timestamptz, b date, c interval, d timestamp, e timestamptz[], f bytea, g float8)"


@pytest.mark.parametrize("datestyle", ["ISO, DMY", "SQL, DMY", "SQL, MDY", "German", "Postgres, DMY"])
def test_values_printed_under_other_settings_read_back_right(alice, db, worker, datestyle):
    reader = db.connect("alice")
    expected = reader.execute(PRINTED).fetchone()
    alice.execute(f"set datestyle = '{datestyle}'; set timezone = 'Asia/Tokyo'; set bytea_output = 'escape'")
    reader.execute("set timezone = 'America/New_York'; set datestyle = 'ISO, YMD'; set intervalstyle = 'postgres'")

    for intervalstyle in ("postgres", "sql_standard", "iso_8601", "postgres_verbose"):
        alice.execute(f"set intervalstyle = '{intervalstyle}'")
        handle = fetch_value(alice, "select pgqueue.launch(%s)", [PRINTED])
        assert worker.run_next() == "succeeded"
        row = reader.execute(f"select * from pgqueue.result(%s::pgqueue.handle) as {COLUMNS}", [handle]).fetchone()
        assert row == expected, intervalstyle

    assert [fetch_value(reader, f"show {name}") for name in ("timezone", "datestyle", "intervalstyle")] == [
        "America/New_York",
        "ISO, YMD",
        "postgres",
    ]


def test_reading_leaves_the_readers_settings_alone_also_within_its_transaction(alice, worker):
    alice.execute("set datestyle = 'SQL, DMY'; set timezone = 'Asia/Tokyo'")
    handle = fetch_value(alice, "select pgqueue.enqueue('select now()', keep_result => true)")
    worker.run_next()
    alice.execute("set datestyle = 'ISO, MDY'; set timezone = 'UTC'")

    alice.execute("begin")
    alice.execute("select * from pgqueue.result(%s::pgqueue.handle) as (x timestamptz)", [handle])
    assert (fetch_value(alice, "show datestyle"), fetch_value(alice, "show timezone")) == ("ISO, MDY", "UTC")
    alice.execute("savepoint a")
    refused(alice, "select * from pgqueue.result(%s::pgqueue.handle) as (x int)", [handle])
    alice.execute("rollback to a")
    assert (fetch_value(alice, "show datestyle"), fetch_value(alice, "show timezone")) == ("ISO, MDY", "UTC")
    alice.execute("commit")
