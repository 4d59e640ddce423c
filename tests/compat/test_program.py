"""A program that was written for pg_background, run on a real worker: nothing in it knows pgqueue."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.compat.names import NAMES, Caller
from tests.harness import Database, Worker, eventually

pytestmark = pytest.mark.slow

SCHEMA = """
create table account (id int primary key, balance numeric not null check (balance >= 0));
create table audit_log (at timestamptz not null default clock_timestamp(), who text not null, what text not null);
create table staging (id int, amount numeric);
create table fact (id int primary key, amount numeric);
insert into account values (1, 100), (2, 0);
insert into staging select n, n * 1.5 from generate_series(1, 3000) n;

-- Every attempt leaves a row, also one that fails.
create function audit() returns trigger language plpgsql as $$
declare
  h pg_background_handle;
begin
  h := pg_background_submit_v2(format('insert into audit_log (who, what) values (%L, %L)', current_user, format('%s %s', tg_op, to_jsonb(new))));
  perform pg_background_detach_v2(h.pid, h.cookie);
  return new;
end $$;
create trigger audit before insert or update on account for each row execute function audit();

create procedure load_facts() language plpgsql as $$
declare
  done int := 0;
  total int := (select count(*) from staging);
  part record;
begin
  for part in select id / 300 as chunk, count(*) as n from staging group by 1 order by 1 loop
    insert into fact select id, amount from staging where id / 300 = part.chunk;
    done := done + part.n;
    perform {progress}(done * 100 / total, format('%s of %s rows', done, total));
    commit;
  end loop;
end $$;

-- One worker for each table, the counts collected.
create function count_all(tables text[]) returns table (name text, n bigint) language plpgsql as $$
declare
  handles pg_background_handle[] := '{{}}';
  h pg_background_handle;
begin
  foreach name in array tables loop
    handles := handles || pg_background_launch_v2(format('select count(*) from %I', name));
  end loop;
  for i in 1 .. cardinality(tables) loop
    h := handles[i];
    name := tables[i];
    select r.n into n from pg_background_result_v2(h.pid, h.cookie) as r (n bigint);
    return next;
  end loop;
end $$;
"""


@pytest.fixture(params=list(NAMES))
def clerk(request: pytest.FixtureRequest, db: Database, start_worker: Callable[..., Worker]) -> Iterator[Caller]:
    """A session of the program's role, with a worker at work."""
    names = NAMES[request.param]
    db.execute("create schema pgbg; grant all on schema public to public")
    db.execute("select pgqueue.install_compat(%s, %s)", [names.version, names.schema])
    db.create_role("clerk", enrolled=False)
    db.execute("grant pgbackground_role to clerk")
    start_worker(db, arguments=["--concurrency=1", "--executors=4"])
    caller = Caller(db.connect("clerk"), names)
    caller.execute(f"set search_path = public, {names.schema}")
    caller.execute(SCHEMA.format(progress=names.progress).replace("{{}}", "{}"))
    yield caller
    caller.session.close()


def test_the_audit_trail_keeps_what_was_rolled_back(clerk: Caller) -> None:
    clerk.execute("update account set balance = balance + 1 where id = 1")
    with pytest.raises(Exception, match="account_balance_check"):
        clerk.execute("update account set balance = balance - 1000 where id = 2")
    clerk.execute("begin")
    clerk.execute("insert into account values (3, 5)")
    clerk.execute("rollback")

    eventually(lambda: clerk.value("select count(*) from audit_log") == 3)
    rows = clerk.execute("select who, what from audit_log")
    assert {row[0] for row in rows} == {"clerk"}
    assert sorted(row[1].split()[0] for row in rows) == ["INSERT", "UPDATE", "UPDATE"]
    assert clerk.execute("select id, balance from account order by id") == [(1, 101), (2, 0)]


def test_a_load_tells_its_progress_and_can_be_watched(clerk: Caller) -> None:
    ((pid, cookie),) = clerk.execute("select * from pg_background_launch_v2('call load_facts()')")
    seen = set()

    def look() -> bool:
        seen.add(clerk.execute(f"select * from pg_background_get_progress_v2({pid}, {cookie})")[0])
        return (100, "3000 of 3000 rows") in seen

    eventually(look)
    clerk.execute(f"select pg_background_wait_v2({pid}, {cookie})")
    assert clerk.execute(f"select * from pg_background_result_v2({pid}, {cookie}) as (tag text)") == [("CALL",)]
    assert clerk.value("select count(*) from fact") == 3000


def test_parallel_queries_are_collected(clerk: Caller) -> None:
    assert clerk.execute("select * from count_all(array['staging', 'account', 'fact', 'audit_log'])") == [
        ("staging", 3000),
        ("account", 2),
        ("fact", 0),
        ("audit_log", clerk.value("select count(*) from audit_log")),
    ]


def test_vacuum_runs_in_the_background(clerk: Caller) -> None:
    handles = [
        clerk.execute(f"select * from pg_background_launch_v2('vacuum (analyze) {table}')")[0]
        for table in ("staging", "account")
    ]
    for pid, cookie in handles:
        clerk.execute(f"select pg_background_wait_v2({pid}, {cookie})")

    assert [
        clerk.execute(f"select * from pg_background_result_v2({pid}, {cookie}) as (tag text)")
        for pid, cookie in handles
    ] == [[("VACUUM",)]] * 2
    assert clerk.value("select reltuples from pg_class where relname = 'staging'") == 3000
