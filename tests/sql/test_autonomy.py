"""Autonomous means apart from the caller's transaction, whatever that is; transactional means part of it."""

import pytest

from tests.harness.people import fetch_value, refused

AUTONOMOUS = pytest.mark.parametrize("way_in", ["launch", "submit"])


@AUTONOMOUS
def test_a_job_survives_the_callers_rollback(alice, worker, way_in):
    alice.execute("begin")
    alice.execute(f"select pgqueue.{way_in}('select 1')")
    alice.execute("rollback")

    assert worker.run_next() == "succeeded"


@AUTONOMOUS
def test_a_job_is_seen_before_the_caller_commits(alice, worker, way_in):
    alice.execute("begin")
    alice.execute(f"select pgqueue.{way_in}('select 1')")

    assert worker.run_next() == "succeeded"
    alice.execute("rollback")


@AUTONOMOUS
def test_a_job_is_handed_in_by_a_statement_that_fails_later(alice, worker, way_in):
    refused(alice, f"select pgqueue.{way_in}('select 1'), 1 / (select 0)")

    assert worker.run_all() in (["succeeded"], [])  # the planner may fail first
    refused(alice, f"do $$ begin perform pgqueue.{way_in}('select 2'); raise exception 'no'; end $$")
    assert worker.run_all() == ["succeeded"]


@AUTONOMOUS
def test_a_trigger_of_a_transaction_that_rolls_back_hands_its_job_in(alice, owner, worker, way_in):
    owner.execute("create table public.item (id int); grant insert on public.item to alice")
    owner.execute(
        f"""create function public.audit() returns trigger language plpgsql as $$
            begin perform pgqueue.{way_in}('select $1', array[new.id::text]); return new; end $$"""
    )
    owner.execute("create trigger audit before insert on public.item for each row execute function public.audit()")

    alice.execute("begin")
    alice.execute("insert into public.item select generate_series(1, 3)")
    alice.execute("rollback")

    assert [claim.job["params"] for claim in worker.claim()] == [["1"], ["2"], ["3"]]


@AUTONOMOUS
@pytest.mark.parametrize(
    "mode",
    [
        "read only",
        "isolation level repeatable read",
        "isolation level repeatable read, read only",
        "isolation level serializable",
        "isolation level serializable, read only, deferrable",
    ],
)
def test_it_works_in_every_kind_of_transaction(alice, worker, mode, way_in):
    alice.execute(f"begin {mode}")
    alice.execute("select count(*) from pg_class")
    handle = fetch_value(alice, f"select pgqueue.{way_in}('select 1')")

    assert worker.run_next() == "succeeded"
    assert fetch_value(alice, "select pgqueue.wait(%s::pgqueue.handle)", [handle]) is True
    if way_in == "launch":
        assert fetch_value(alice, "select * from pgqueue.result(%s::pgqueue.handle) as (x int)", [handle]) == 1
    assert fetch_value(alice, "select pgqueue.cancel(%s::pgqueue.handle)", [handle]) is False
    alice.execute("commit")


def test_it_works_in_a_savepoint_that_is_rolled_back(alice, worker):
    alice.execute("begin")
    alice.execute("savepoint a")
    alice.execute("select pgqueue.launch('select 1')")
    alice.execute("rollback to a")
    alice.execute("select pgqueue.launch('select 2')")
    alice.execute("commit")

    assert worker.run_all() == ["succeeded", "succeeded"]


def test_it_works_in_a_plpgsql_function_that_waits_and_reads(alice, owner, worker):
    owner.execute(
        """create function public.ask(question text) returns int language plpgsql as $$
           declare h pgqueue.handle := pgqueue.launch(question); answer int;
           begin
             perform pgqueue.wait(h);
             select x into answer from pgqueue.result(h) as (x int);
             return answer;
           end $$"""
    )

    with worker.serving():
        assert fetch_value(alice, "select public.ask('select 6 * 7')") == 42


def test_launch_and_result_work_as_one_statement(alice, worker):
    with worker.serving():
        rows = alice.execute(
            "select * from pgqueue.result(pgqueue.launch('select g, g::text from generate_series(1, 3) g')) "
            "as (x int, y text)"
        ).fetchall()

    assert rows == [(1, "1"), (2, "2"), (3, "3")]


def test_one_statement_works_in_repeatable_read_and_in_read_only(alice, worker):
    for mode in ("isolation level repeatable read", "read only", "isolation level serializable"):
        alice.execute(f"begin {mode}")
        alice.execute("select 1 from pg_class")
        with worker.serving():
            answer = fetch_value(alice, "select * from pgqueue.result(pgqueue.launch('select 42')) as (x int)")
        alice.execute("commit")
        assert answer == 42, mode


def test_the_submitter_inside_a_security_definer_function_is_its_owner(alice, bob, owner, worker):
    owner.execute(
        """create function public.as_bob() returns pgqueue.handle language sql security definer
           as 'select pgqueue.launch(''select current_user::text'')';
           alter function public.as_bob() owner to bob"""
    )
    handle = fetch_value(alice, "select public.as_bob()")

    claim = worker.claim_one()
    assert claim.job["submitter"] == "bob"
    worker.run(claim)

    assert refused(alice, "select * from pgqueue.result(%s::pgqueue.handle) as (x text)", [handle]).sqlstate == "42501"
    assert fetch_value(bob, "select * from pgqueue.result(%s::pgqueue.handle) as (x text)", [handle]) == "bob"


def test_the_submitter_after_set_role_is_that_role(db, owner, bob, worker):
    db.create_role("carol")
    owner.execute("grant bob to carol")
    carol = db.connect("carol")
    carol.execute("set role bob")
    carol.execute("select pgqueue.launch('select 1'), pgqueue.submit('select 1')")
    carol.execute("select pgqueue.enqueue('select 1')")
    carol.execute("reset role")
    carol.execute("select pgqueue.enqueue('select 1')")

    # In the order of their ids: in a claim they take turns.
    claims = sorted(worker.claim(), key=lambda claim: claim.id)
    assert [claim.job["submitter"] for claim in claims] == ["bob", "bob", "bob", "carol"]


def test_roles_with_names_that_need_quotes_hand_in_jobs_as_themselves(db, worker):
    for name in ("Mixed Case", 'with"quote', "sel.ect", "ünïcode"):
        session = db.connect(db.create_role(name))
        handle = fetch_value(session, "select pgqueue.launch('select current_user::text')")
        session.execute("select pgqueue.enqueue('select 1')")
        claims = worker.claim()
        assert [claim.job["submitter"] for claim in claims] == [name, name]
        assert [worker.run(claim) for claim in claims] == ["succeeded", "succeeded"]
        assert fetch_value(session, "select * from pgqueue.result(%s::pgqueue.handle) as (x text)", [handle]) == name


def test_an_enqueued_job_is_seen_when_the_caller_commits(alice, worker):
    alice.execute("begin")
    alice.execute("select pgqueue.enqueue('select 1')")
    alice.execute("select pgqueue.enqueue_many(array['select 2'])")
    assert worker.claim() == []

    alice.execute("commit")

    assert len(worker.claim()) == 2


def test_an_enqueued_job_is_never_seen_when_the_caller_rolls_back(alice, worker, owner):
    alice.execute("begin")
    alice.execute("select pgqueue.enqueue('select 1')")
    alice.execute("select pgqueue.enqueue_many(array['select 2'])")
    alice.execute("rollback")

    assert worker.claim() == []
    assert fetch_value(owner, "select count(*) from pgqueue.message") == 0


def test_an_enqueued_job_of_a_savepoint_goes_with_it(alice, worker):
    alice.execute("begin")
    alice.execute("select pgqueue.enqueue('select 1', label => 'kept')")
    alice.execute("savepoint a")
    alice.execute("select pgqueue.enqueue('select 1', label => 'undone')")
    alice.execute("rollback to a")
    alice.execute("commit")

    assert [claim.job["label"] for claim in worker.claim()] == ["kept"]
