"""The session of a job: whose it is, what it inherits, and that the next job finds nothing of the last."""

from pathlib import Path

import psycopg
import pytest

from pgqueue.worker import completer, credentials
from pgqueue.worker.running import error_fields
from pgqueue.worker.running.job_session import JobSession
from pgqueue.worker.running.job_transaction import JobTransaction
from tests.harness import eventually
from tests.harness.cut import cut_off
from tests.harness.executors import Executors
from tests.harness.jobs import launch, submit
from tests.harness.people import fetch_one, fetch_value

pytestmark = pytest.mark.every_server


@pytest.fixture(autouse=True)
def _running(request, at_top_level):
    if "own_server" not in request.fixturenames:
        request.getfixturevalue("executors")


def test_a_job_runs_as_its_submitter_in_a_session_that_says_what_it_does(alice, bob):
    what = "select session_user::text, current_user::text, current_setting('application_name')"

    for session, role in ((alice, "alice"), (bob, "bob"), (alice, "alice")):
        job = launch(session, what)
        [(session_user, current_user, name)] = job.result("s text, c text, a text")
        assert (session_user, current_user) == (role, role)
        assert name.startswith("pgqueue executor ")
        assert name.endswith(f": job {job.id}")


def test_a_session_that_is_refused_its_first_query_is_not_kept(db, owner):
    db.create_role("stranger")
    owner.execute("revoke execute on function pg_postmaster_start_time() from public")

    for _ in range(3):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            JobSession.log_in(db.dsn, "postgres", "stranger", "refused")

    eventually(
        lambda: (
            not fetch_value(
                owner,
                "select count(*) from pg_stat_activity where datname = current_database() and application_name = 'refused'",
            )
        )
    )


@pytest.mark.parametrize(
    ("is_cut", "most", "ends_as"), [(True, 1, "succeeded"), (False, 2, "succeeded"), (False, 1, "failed")]
)
def test_a_job_whose_session_is_lost_too_often_fails_unless_it_was_the_network(
    db, alice, owner, request, monkeypatch, is_cut, most, ends_as
):
    owner.execute(f"alter database {db.name} set pgqueue.max_lost_sessions = {most}")
    monkeypatch.setattr(error_fields, "_CUT", ["closed the connection"] if is_cut else [])
    owner.execute("create table public.door (); grant all on public.door to alice")
    owner.execute("begin; lock table public.door")
    job = launch(alice, "set application_name = 'mine'; select from public.door")
    waiting = "select pid from pg_stat_activity where wait_event_type = 'Lock' and application_name = 'mine'"
    [(pid,)] = eventually(lambda: db.execute(waiting))

    kept = [each.submitter_session._kept.session for each in request.getfixturevalue("executors").pool.work.executors()]
    [session] = filter(None, kept)
    with cut_off(session._connection):
        here = "select from pg_stat_activity where pid = %s"
        eventually(lambda: not db.execute(here, [pid]), what="the lost session is ended, whatever its name")
        owner.execute("commit")
        assert job.end()["state"] == ends_as


def test_sessions_that_do_not_last_are_not_opened_for_ever(alice, owner, monkeypatch):
    launch(alice, "select 1").end()
    run, pids = JobTransaction.run, []

    def lose(transaction):
        pids.append(transaction._session.backend_pid)
        owner.execute("select pg_terminate_backend(%s, 5000)", [pids[-1]])
        return run(transaction)

    monkeypatch.setattr(JobTransaction, "run", lose)
    job = launch(alice, "select 1")
    eventually(lambda: "did not last" in (job.row["error"] or ""))

    # The one that was kept, and a new one.
    assert len(pids) == 2


IDLE = "select exists(select from pg_stat_activity where datname = current_database() and application_name ~ '^pgqueue executor [12]: idle$')"


def test_an_idle_executor_says_so(alice, owner):
    launch(alice, "select 1").end()

    eventually(lambda: fetch_value(owner, IDLE))


def test_a_job_inherits_the_settings_of_its_launcher(alice):
    alice.execute("set search_path = 'pg_temp', 'some schema'; set timezone = 'Asia/Tokyo'; set datestyle = 'German'")
    alice.execute("set work_mem = '3MB'; set statement_timeout = '77s'; set lock_timeout = '66s'")

    job = launch(
        alice,
        "select current_setting('search_path'), current_setting('work_mem'), current_setting('statement_timeout'),"
        " current_setting('lock_timeout'), '2026-02-01 12:00+00'::timestamptz::text",
    )

    alice.execute("reset all")
    assert job.result("a text, b text, c text, d text, e text") == [
        ('pg_temp, "some schema"', "3MB", "77s", "66s", "01.02.2026 21:00:00 JST")
    ]


def test_a_job_that_inherits_read_only_can_read_and_not_write(alice, owner):
    owner.execute("create table effect (n int); grant all on effect to alice")
    alice.execute("set default_transaction_read_only = on")
    reads = launch(alice, "select count(*) from effect")
    writes = launch(alice, "insert into effect values (1)")
    alice.execute("set default_transaction_read_only = off")

    assert reads.result("n bigint") == [(0,)]
    assert writes.end()["sqlstate"] == "25006"


def test_a_job_may_make_itself_read_only(alice):
    assert launch(alice, "set transaction read only; show transaction_read_only").result("r text") == [("on",)]


def test_a_job_inherits_its_isolation_level(alice):
    alice.execute("set default_transaction_isolation = 'serializable'")
    job = launch(alice, "show transaction_isolation")
    alice.execute("reset default_transaction_isolation")

    assert job.result("i text") == [("serializable",)]


def test_a_setting_that_cannot_be_made_fails_the_job_with_the_servers_error(alice, owner):
    # What the launcher had and the executor may not set: here, because it has vanished meanwhile.
    alice.execute("set work_mem = '3MB'")
    job = launch(alice, "select 1", delay="300 ms")
    owner.execute(
        'update pgqueue.message set settings = settings || \'{"work_mem": "3 parsecs"}\' where id = %s', [job.id]
    )

    row = job.end()

    assert (row["state"], row["sqlstate"]) == ("failed", "22023")
    assert row["error"] == 'invalid value for parameter "work_mem": "3 parsecs"'


def test_nothing_of_a_job_is_left_for_the_next(alice, owner):
    launch(
        alice,
        "set work_mem = '3MB'; set search_path = nowhere; create temp table left_behind (n int);"
        " prepare left_behind as select 1; declare left_behind cursor with hold for select 1;"
        " select pg_advisory_lock(42); listen left_behind; set client_encoding = 'LATIN1'; set my.setting = 'x'",
    ).end()

    # The session is emptied right after the commit.
    locks = "select count(*) from pg_locks where locktype = 'advisory' and objid = 42"
    eventually(lambda: fetch_value(owner, locks) == 0)
    # Both executors may answer; whichever does, it is clean.
    for _ in range(4):
        job = launch(
            alice,
            "select current_setting('work_mem') <> '3MB', to_regclass('pg_temp.left_behind') is null,"
            " (select count(*) from pg_prepared_statements) + (select count(*) from pg_cursors where name = 'left_behind'),"
            " (select count(*) from pg_listening_channels()), current_setting('client_encoding'),"
            " nullif(current_setting('my.setting', true), '')",
        )
        assert job.result("a bool, b bool, c bigint, d bigint, e text, f text") == [(True, True, 0, 0, "UTF8", None)]


def test_a_failed_job_leaves_nothing_either(alice):
    launch(alice, "set work_mem = '3MB'; select 1 / 0").end()

    for _ in range(4):
        assert launch(alice, "select current_setting('work_mem') <> '3MB'").result("a bool") == [(True,)]


def test_text_survives_a_change_of_the_client_encoding(alice):
    assert launch(alice, "set client_encoding = 'LATIN1'; select 'é' || $1", params=["ü"]).result("t text") == [("éü",)]


def test_a_job_that_changes_its_role_still_completes(alice, bob, owner):
    owner.execute("grant bob to alice")

    assert launch(alice, "set role bob; select current_user::text").result("u text") == [("bob",)]
    assert launch(alice, "set local role bob; select 1").result("n int") == [(1,)]
    assert launch(alice, "select current_user::text").result("u text") == [("alice",)]


def test_a_job_that_sets_a_tiny_timeout_still_completes(alice):
    assert launch(alice, "set statement_timeout = '1ms'; set lock_timeout = '1ms'").end()["state"] == "succeeded"


def launch_as_one_who_cannot_log_in_any_more(db, owner, count=1):
    """Launch jobs of carol, who has no runner, and loses LOGIN before they are claimed."""
    owner.execute("select pgqueue.pause('default')")
    carol = db.connect(db.create_role("carol"))
    db.execute("update pgqueue.role_key set result_runner = null where role = 'carol'::regrole")
    jobs = [launch(carol, "select session_user::text") for _ in range(count)]
    owner.execute("alter role carol nologin")
    owner.execute("select pgqueue.resume('default')")
    return jobs


@pytest.mark.slow
def test_a_job_of_a_role_that_cannot_log_in_says_so_and_waits(db, owner):
    [job] = launch_as_one_who_cannot_log_in_any_more(db, owner)

    eventually(lambda: job.row["error"])
    row = job.row
    assert (row["state"], row["attempts"]) == ("queued", 0)
    assert 'cannot log in as role "carol"' in row["error"]
    assert 'role "carol" is not permitted to log in' in row["error"]
    assert "password file" in row["error"]

    owner.execute("alter role carol login")
    assert job.end()["state"] == "succeeded"


def test_a_role_that_cannot_log_in_is_tried_less_and_less_often_and_told_once(
    db, owner, executors, monkeypatch, caplog
):
    monkeypatch.setattr(credentials, "_REMEMBERED_FROM", 0.1)
    monkeypatch.setattr(completer, "_DEFERRED_FROM", 0.02)
    caplog.set_level("INFO", "pgqueue")
    logins = []
    log_in = JobSession.log_in.__func__
    monkeypatch.setattr(
        JobSession, "log_in", classmethod(lambda cls, *args: logins.append(args[2]) or log_in(cls, *args))
    )
    jobs = launch_as_one_who_cannot_log_in_any_more(db, owner, count=5)

    refusals = executors.pool.context.credentials._refusals
    eventually(lambda: refusals["carol"].seconds >= 0.8 if "carol" in refusals else False)
    deferrals = "select min((last_error ->> 'deferrals')::int) from pgqueue.message"
    eventually(lambda: db.fetch_value(deferrals) >= 3)
    tried = logins.count("carol")
    told = [record.message for record in caplog.records if "cannot log in" in record.message]
    longest = "select max(due_at - clock_timestamp()) < '2 s' from pgqueue.message"
    assert db.fetch_value(longest)

    owner.execute("alter role carol login")
    assert [job.end()["state"] for job in jobs] == ["succeeded"] * 5
    # A try is two logins, and two executors may try at the same time.
    assert tried <= 4 * 6
    assert len(told) == 1
    assert any("carol can log in again" in record.message for record in caplog.records)


@pytest.mark.slow
def test_a_role_with_too_few_connections_is_not_said_to_lack_credentials(db, owner):
    carol = db.connect(role=db.create_role("carol"))
    owner.execute("alter role carol connection limit 1")
    # With its result kept it needs a session of its own.
    job = launch(carol, "select 1")

    eventually(lambda: "too many connections" in (job.row["error"] or ""))
    assert "raise max_connections or the role's CONNECTION LIMIT" in job.row["error"]
    assert "credentials" not in job.row["error"]


def test_jobs_that_only_find_no_connection_are_tried_as_often_as_ever(db, owner, executors, monkeypatch):
    monkeypatch.setattr(credentials, "_REMEMBERED_FROM", 0.02)
    monkeypatch.setattr(completer, "_DEFERRED_FROM", 0.02)
    carol = db.connect(role=db.create_role("carol"))
    owner.execute("alter role carol connection limit 1")
    job = launch(carol, "select 1")

    deferrals = "select (last_error ->> 'deferrals')::int from pgqueue.message"
    eventually(lambda: (db.fetch_value(deferrals) or 0) >= 4)
    # Other jobs of the role may run all the while, and each end of one may make room.
    assert executors.pool.context.credentials._refusals["carol"].seconds == 0.02

    owner.execute("alter role carol connection limit -1")
    assert job.end()["state"] == "succeeded"


@pytest.mark.slow
def test_the_password_file_of_the_worker_opens_the_roles_that_it_names(
    own_server, own_server_db, tmp_path, monkeypatch
):
    db, passwords = own_server_db, tmp_path / "passwords"
    hba = Path(db.fetch_value("show hba_file"))
    owner = db.connect()
    db.create_role("carol", options="login password 'secret'")
    hba.write_text("local all carol scram-sha-256\n" + hba.read_text())
    owner.execute("select pg_reload_conf()")
    # The worker's own password is nobody else's.
    monkeypatch.setenv("PGPASSWORD", "wrong")
    monkeypatch.setenv("PGPASSFILE", str(passwords))
    executors = Executors(db)
    try:
        owner.execute("set role carol")
        job = launch(owner, "select session_user::text")
        owner.execute("reset role")
        eventually(lambda: 'cannot log in as role "carol"' in (job.row["error"] or ""))
        assert job.state == "queued"

        passwords.write_text("*:*:*:carol:secret\n")
        passwords.chmod(0o600)
        eventually(lambda: job.state == "succeeded")
    finally:
        executors.stop()


@pytest.mark.slow
def test_jobs_of_a_role_that_was_unenrolled_wait_and_say_so_until_it_is_enrolled_again(db, alice, owner, executors):
    executors.awake.clear()
    jobs = [launch(alice, "select 1"), submit(alice, "select 2")]
    owner.execute("select pgqueue.unenroll('alice')")
    executors.awake.set()
    note = 'role "alice" is not enrolled in pgqueue any more'
    notes = "select array_agg(distinct error), array_agg(distinct state::text) from pgqueue.jobs"
    superuser = db.connect("postgres")

    eventually(lambda: fetch_one(superuser, notes) == ([note], ["queued"]))

    owner.execute("select pgqueue.enroll('alice')")
    assert [job.end()["state"] for job in jobs] == ["succeeded", "succeeded"]
