"""Every body names columns, tables and functions that there are, also where no other test comes by.

An installation does not look: a body may name what a later file makes.
"""

import pytest

CHECK = """
select distinct p.oid::regprocedure::text, f.lineno, f.sqlstate, f.message
from pg_proc p
join pg_language l on l.oid = p.prolang and l.lanname = 'plpgsql'
left join pg_trigger t on t.tgfoid = p.oid
cross join plpgsql_check_function_tb(p.oid, relid => coalesce(t.tgrelid, 0), fatal_errors => false) f
where p.pronamespace in ('pgqueue'::regnamespace, 'pgqueue_take'::regnamespace, 'pgqueue_run'::regnamespace)
  and (p.prorettype <> 'trigger'::regtype or t.oid is not null)
  -- Syntax, columns, functions, tables. What a function raises by itself is not looked at.
  and f.level = 'error' and f.sqlstate in ('42601', '42703', '42883', '42P01')
"""

VALIDATE = """
select case l.lanname when 'sql' then fmgr_sql_validator(p.oid) else plpgsql_validator(p.oid) end
from pg_proc p
join pg_language l on l.oid = p.prolang and l.lanname in ('sql', 'plpgsql')
where p.pronamespace in ('pgqueue'::regnamespace, 'pgqueue_take'::regnamespace, 'pgqueue_run'::regnamespace)
"""


def test_the_server_accepts_every_body(superuser):
    superuser.execute("set search_path = pg_catalog, pg_temp; set check_function_bodies = on")

    assert superuser.execute(VALIDATE).rowcount > 300


def test_bodies_name_nothing_that_is_not_there(db, superuser):
    if not superuser.execute("select from pg_available_extensions where name = 'plpgsql_check'").fetchall():
        pytest.skip("no plpgsql_check here (Debian: apt-get install postgresql-15-plpgsql-check)")
    superuser.execute("create extension plpgsql_check")

    assert superuser.execute(CHECK).fetchall() == []

    # It finds what it looks for.
    superuser.execute(
        "create function pgqueue._wrong() returns void language plpgsql as $$ begin perform m.paused from pgqueue.message m; end $$"
    )
    assert [row[2] for row in superuser.execute(CHECK)] == ["42703"]
