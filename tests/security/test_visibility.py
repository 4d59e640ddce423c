"""Who sees what: its own, that of roles it is a member of, and for monitors everything but what was said."""

import contextlib

import psycopg
import pytest

from tests.harness.people import fetch_one, fetch_value, refused


def numbers(session):
    return [row[0] for row in session.execute("select id from pgqueue.jobs order by id")]


@pytest.fixture
def jobs(alice, bob, owner, worker):
    """A job of alice's and one of bob's in each state."""
    made = {}
    for name, session in (("alice", alice), ("bob", bob)):
        failed = fetch_value(session, "select (pgqueue.launch('select 1 / 0 /* secret */', label => 'l')).id")
        worker.run_next()
        running = fetch_value(session, "select (pgqueue.launch('select ''secret''')).id")
        worker.executor(name).begin(worker.claim_one())
        queued = fetch_value(session, "select (pgqueue.enqueue('select ''secret''', delay => '1 h')).id")
        made[name] = [failed, running, queued]
    return made


def test_a_role_sees_its_own_jobs_in_every_state_and_no_other(alice, bob, jobs):
    assert numbers(alice) == sorted(jobs["alice"])
    assert numbers(bob) == sorted(jobs["bob"])


def test_a_member_of_a_role_sees_that_roles_jobs(db, owner, jobs):
    db.create_role("carol")
    carol = db.connect("carol")
    assert numbers(carol) == []
    owner.execute("grant bob to carol")

    assert numbers(carol) == sorted(jobs["bob"])
    assert {row[0] for row in carol.execute("select statement is null from pgqueue.jobs")} == {False}


def test_a_monitor_sees_every_job_and_no_word_of_it(db, owner, jobs):
    db.create_role("monitor", enrolled=False)
    owner.execute("grant pgqueue_monitor to monitor")
    monitor = db.connect("monitor")

    assert numbers(monitor) == sorted(jobs["alice"] + jobs["bob"])
    rows = monitor.execute("select statement, error_detail, error_context from pgqueue.jobs").fetchall()
    assert set(rows) == {(None, None, None)}
    assert "secret" not in str(monitor.execute("select * from pgqueue.jobs").fetchall())
    for statement in (
        "delete from pgqueue.history",
        "select pgqueue.pause('default')",
        "select pgqueue.launch('select 1')",
    ):
        assert refused(monitor, statement).sqlstate == "42501"


def test_a_monitor_reads_no_value_in_what_a_job_says(db, alice, owner, worker):
    db.create_role("monitor", enrolled=False)
    owner.execute("grant pgqueue_monitor to monitor")
    monitor = db.connect("monitor")
    for statement in (
        "select 'secret'::int",
        "select pgqueue.progress(50, 'secret')",
        "do $$ begin raise exception 'secret' using errcode = '28000', detail = 'secret', hint = 'secret'; end $$",
    ):
        alice.execute("select pgqueue.launch(%s)", [statement])
        worker.run_next()
    # This one has not begun: what it waits for, the worker says.
    waiting = fetch_value(alice, "select (pgqueue.launch('select 1')).id")
    claim = worker.claim_one()
    worker.session.execute("select pgqueue._defer_job(%s, %s, 'no password', '1 h', '1 h')", [claim.id, claim.token])

    rows = monitor.execute("select * from pgqueue.jobs").fetchall()

    assert len(rows) == 4
    assert "secret" not in str(rows)
    assert {row[0] for row in monitor.execute("select sqlstate from pgqueue.jobs")} == {"22P02", None, "28000"}
    assert fetch_value(monitor, "select error from pgqueue.jobs where id = %s", [waiting]) == "no password"
    assert str(alice.execute("select * from pgqueue.jobs").fetchall()).count("secret") >= 5


def test_an_administrator_reads_no_progress_and_gives_up_no_result_of_others(db, alice, owner, worker):
    db.create_role("boss")
    owner.execute("grant pgqueue_admin to boss")
    boss = db.connect("boss")
    handle = fetch_value(alice, "select pgqueue.launch('select 7, pgqueue.progress(50, ''secret'')')")
    number = fetch_value(alice, "select (%s::pgqueue.handle).id", [handle])
    worker.run_next()

    for given in (handle, f"({number},)"):
        for call in ("detach", "get_progress"):
            error = refused(boss, f"select pgqueue.{call}(%s::pgqueue.handle)", [given])
            assert error.sqlstate == "42501", call

    rows = alice.execute("select x from pgqueue.result(%s::pgqueue.handle) as (x int, y text)", [handle]).fetchall()
    assert rows == [(7,)]


def test_names_and_lengths_of_queues_are_seen_by_who_uses_them(db, alice, bob, owner, worker):
    for session in (alice, alice, bob):
        session.execute("select pgqueue.send_task('a.b', queue => 'shared')")
    alice.execute("select pgqueue.send_task('a.b', queue => 'alices')")
    for session, queue in ((alice, "declared"), (worker.session, "all")):
        session.execute("select pgqueue._declare_queue(%s, true, false, false, null)", [queue])
    owner.execute("select pgqueue.pause('paused')")
    worker.set_queues("alices", "hidden")
    db.create_role("monitor", enrolled=False)
    owner.execute("grant pgqueue_monitor to monitor")
    queues = "select queue, ready from pgqueue.queues order by queue"

    assert alice.execute(queues).fetchall() == [("alices", 1), ("declared", 0), ("shared", 2)]
    assert bob.execute(queues).fetchall() == [("shared", 1)]
    everything = [("alices", 1), ("all", 0), ("declared", 0), ("paused", 0), ("shared", 3)]
    for session in (worker.session, db.connect("monitor")):
        assert session.execute(queues).fetchall() == everything
    sizes = [fetch_value(s, "select pgqueue._queue_size('shared')") for s in (alice, bob, worker.session)]
    assert sizes == [2, 1, 3]
    assert bob.execute("select queues from pgqueue.workers").fetchall() == [(None,)]
    assert fetch_value(worker.session, "select queues from pgqueue.workers") == ["alices", "hidden"]


def test_an_administrator_cancels_by_number_and_reads_neither_statement_nor_result(db, alice, owner):
    job_id = fetch_value(alice, "select (pgqueue.launch('select ''secret''')).id")
    db.create_role("boss")
    owner.execute("grant pgqueue_admin to boss")
    boss = db.connect("boss")

    assert fetch_value(boss, "select pgqueue.cancel((%s, null)::pgqueue.handle)", [job_id]) is True
    for call in ("statement((%s, null))", "result((%s, null)) as (x text)"):
        assert refused(boss, f"select * from pgqueue.{call}", [job_id]).sqlstate == "42501"
    assert fetch_one(boss, "select state, statement from pgqueue.jobs where id = %s", [job_id]) == ("canceled", None)


@pytest.mark.parametrize("call", ["cancel", "detach", "statement", "wait", "result"])
def test_a_number_opens_ones_own_jobs_and_nobody_elses(db, alice, bob, owner, call):
    job_id = fetch_value(alice, "select (pgqueue.launch('select 1 /* secret */')).id")
    owner.execute("grant pgqueue_monitor to bob")
    boss = db.connect(db.create_role("boss"))
    owner.execute("grant pgqueue_admin to boss")
    asked = f"select * from pgqueue.{call}({job_id})" + (" as (x text)" if call == "result" else "")

    # An administrator may stop and wait for any.
    for session in [bob] if call in ("cancel", "wait", "detach") else [bob, boss]:
        assert refused(session, asked).sqlstate == "42501"
        assert fetch_value(session, "select (pgqueue._handle(%s::bigint)).cookie", [job_id]) is None

    assert fetch_value(alice, f"select pgqueue.statement({job_id})") == "select 1 /* secret */"
    assert fetch_value(alice, "select state from pgqueue.jobs") == "queued"


def test_a_leaky_function_sees_no_hidden_row(alice, bob, jobs):
    alice.execute(
        """create function pg_temp.leak(id bigint, statement text) returns boolean language plpgsql cost 0.0001 as
           $$ begin raise warning 'leak %', id; return true; end $$"""
    )
    seen = []
    alice.add_notice_handler(lambda notice: seen.append(notice.message_primary))

    alice.execute("select id from pgqueue.jobs where pg_temp.leak(id, statement)").fetchall()

    assert sorted(seen) == sorted(f"leak {job_id}" for job_id in jobs["alice"])


def test_the_view_of_workers_shows_whose_jobs_run_to_those_who_may_see_them(db, alice, owner, jobs):
    db.create_role("monitor", enrolled=False)
    owner.execute("grant pgqueue_monitor to monitor")

    assert fetch_value(alice, "select running from pgqueue.workers") == [jobs["alice"][1]]
    assert fetch_value(db.connect("monitor"), "select cardinality(running) from pgqueue.workers") == 2


def test_statistics_are_shown_by_submitter_as_jobs_are(alice, jobs):
    assert alice.execute("select distinct submitter from pgqueue.stats_total").fetchall() == [("alice",)]


def test_the_statistics_of_a_session_are_its_own(alice, bob, jobs):
    bob.execute("set pgqueue.session_id = '12345'")

    assert fetch_value(bob, "select workers_launched from pgqueue.stats") <= 3
    assert fetch_value(alice, "select workers_launched from pgqueue.stats") == 3


def test_the_statistics_of_a_session_are_not_those_of_whoever_acts_in_it(db, alice, owner):
    db.create_role("mallory")
    owner.execute("grant mallory to alice")
    for _ in range(3):
        alice.execute("select pgqueue.submit('select 1')")
    session_id = fetch_value(alice, "select current_setting('pgqueue.session_id')")

    alice.execute("set role mallory")
    assert fetch_value(alice, "select workers_launched from pgqueue.stats") == 0
    mallory = db.connect("mallory")
    mallory.execute("select set_config('pgqueue.session_id', %s, false)", [session_id])
    assert fetch_value(mallory, "select workers_launched from pgqueue.stats") == 0

    alice.execute("reset role")
    assert fetch_value(alice, "select workers_launched from pgqueue.stats") == 3


def test_other_sessions_see_no_statement_in_the_server_activity(db, alice, bob, owner):
    bob.execute("select pgqueue.launch('select ''secret''')")

    assert "secret" not in str(alice.execute("select query from pg_stat_activity").fetchall())


@pytest.mark.parametrize("view", ["outbox", "job_outbox"])
def test_the_outbox_shows_nobody_elses_messages(alice, bob, jobs, view):
    bobs = {row[0] for row in bob.execute(f"select id from pgqueue.{view}")}

    assert bobs
    assert not bobs & {row[0] for row in alice.execute(f"select id from pgqueue.{view}")}


def test_results_of_another_role_stay_after_a_read_is_refused(alice, bob, worker):
    handle = fetch_value(bob, "select pgqueue.launch('select 7')")
    worker.run_next()

    assert refused(alice, "select * from pgqueue.result(%s::pgqueue.handle) as (x int)", [handle]).sqlstate == "42501"

    assert fetch_value(bob, "select x from pgqueue.result(%s::pgqueue.handle) as (x int)", [handle]) == 7


def test_settings_smuggled_into_a_result_are_not_set_for_its_reader(alice, owner, worker):
    handle = fetch_value(alice, "select pgqueue.launch('select 1')")
    worker.run_next()
    owner.execute(
        """update pgqueue.result set output_settings = output_settings
           || '{"search_path": "evil", "role": "bob", "work_mem": "77MB", "session_replication_role": "replica"}'"""
    )
    alice.execute(
        "create function pg_temp.path() returns text language sql as $$ select current_setting('search_path') $$"
    )

    alice.execute("begin")
    assert fetch_value(alice, "select x from pgqueue.result(%s::pgqueue.handle) as (x int)", [handle]) == 1
    assert fetch_value(alice, "select current_setting('search_path') || current_setting('work_mem')") != "evil77MB"
    alice.execute("commit")


def test_neither_a_role_nor_a_monitor_shortens_or_lengthens_retention(db, alice, owner, worker):
    alice.execute("select pgqueue.submit('select 1')")
    worker.run_next()
    for statement in (
        "select pgqueue._drop_partitions('0')",
        "delete from pgqueue.history",
        "truncate pgqueue.history",
        "drop table pgqueue.history_default",
        f"alter database {db.name} set pgqueue.result_ttl = '0'",
    ):
        assert refused(alice, statement).sqlstate == "42501", statement
    alice.execute("set pgqueue.result_ttl = '0'")
    with contextlib.suppress(psycopg.Error):  # PostgreSQL 15 and newer know who may set it
        alice.execute("alter role alice set pgqueue.result_ttl = '0'")

    worker.tick()

    assert fetch_value(alice, "select count(*) from pgqueue.jobs") == 1


def test_a_search_finds_nothing_by_what_a_role_may_not_read(db, alice, bob, owner, jobs):
    db.create_role("watch", enrolled=False)
    owner.execute("grant pgqueue_monitor to watch")
    watch = db.connect("watch")
    search = """select jsonb_array_length(pgqueue._search_jobs(null, null, null, null, %s, null, %s, null, null, null, 500, '10 s') -> 'jobs')"""

    assert fetch_value(alice, search, [None, None]) == 3
    assert fetch_value(watch, search, [None, None]) == 6
    assert fetch_value(alice, search, ["secret", None]) == 3
    for guess in (["%", None], ["secret", None], [None, "%"], [None, "division"]):
        assert fetch_value(watch, search, guess) == 0, guess
        assert fetch_value(bob, search, guess) == fetch_value(alice, search, guess)
    assert (
        watch.execute("select from pgqueue.job_content where num_nonnulls(statement, params, notices) > 0").fetchall()
        == []
    )


def test_a_list_of_dead_letters_has_no_argument_and_no_text_of_the_sender(db, alice, owner):
    db.create_role("watch", enrolled=False)
    owner.execute("grant pgqueue_monitor to watch")
    owner.execute(
        """insert into pgqueue.message (queue, kind, payload, submitter) values ('x.dead', 'task', %s, 'alice'::regrole)""",
        [
            '{"body": "secret", "headers": {"id": "1", "task": "t", "argsrepr": "secret", "x-death": [{"queue": "x", "reason": "secret", "detail": "secret"}]}}'
        ],
    )

    [letter] = db.connect("watch").execute("select to_jsonb(d) from pgqueue._dead_letters('x.dead', 10) d").fetchall()
    assert "secret" not in str(letter)
    assert letter[0]["origin"] == "x"
    assert refused(alice, "select pgqueue._dead_letters('x.dead', 10)").sqlstate == "42501"
