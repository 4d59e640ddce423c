"""Running failed jobs again must be no way to run something else, as somebody else, or past what refuses a job."""

import pytest

from tests.harness.jobs import LaunchedJob, hand_in
from tests.harness.people import fetch_one, fetch_value, refused

ALL = "state => 'failed'"


@pytest.fixture
def boss(db, owner):
    db.create_role("boss", enrolled=False)
    owner.execute("grant pgqueue_admin to boss")
    return db.connect("boss")


def fail(session, worker, statement="select 1 / 0 /* secret */", function="submit", **options):
    job = hand_in(session, function, statement, **options)
    worker.run_all()
    assert job.state == "failed"
    return job


def count(session, table="failed_job"):
    return fetch_value(session, f"select count(*) from pgqueue.{table}")


def test_a_job_runs_again_as_its_submitter_whoever_retries_it(db, alice, boss, owner, worker):
    owner.execute(
        "create table public.ran (who text, work_mem text, path text); grant insert, select on public.ran to public"
    )
    owner.execute("create table public.open (n int); grant select on public.open to public")
    alice.execute("set work_mem = '7MB'; set search_path = pg_catalog")
    statement = """insert into public.ran select current_user || ' ' || session_user, current_setting('work_mem'), current_setting('search_path')
                   where 1 / (select count(*) from public.open) = 1"""
    jobs = [fail(alice, worker, statement, function) for function in ("submit", "launch")]
    owner.execute("insert into public.open values (1)")
    boss.execute("set work_mem = '1MB'; set search_path = public")

    retried = [
        fetch_one(boss, "select (r).id, (r).cookie from pgqueue.retry((%s, null)::pgqueue.handle) r", [job.id])
        for job in jobs
    ]
    worker.run_all()

    assert [LaunchedJob(alice, *again).state for again in retried] == ["succeeded", "succeeded"]
    # The session of the batch lane is the executors', and the role is the submitter's in both.
    rows = owner.execute("select split_part(who, ' ', 1), work_mem, path from public.ran").fetchall()
    assert rows == [("alice", "7MB", "pg_catalog")] * 2
    assert {row[0] for row in alice.execute("select submitter::text from pgqueue.jobs")} == {"alice"}


def test_who_retries_the_job_of_another_role_reads_nothing_of_it(alice, boss, worker):
    failed = fail(alice, worker, label="l")

    new_id, cookie = fetch_one(
        boss, "select (r).id, (r).cookie from pgqueue.retry((%s, null)::pgqueue.handle) r", [failed.id]
    )

    assert cookie is None
    shown = (
        boss.execute("select * from pgqueue.jobs").fetchall()
        + boss.execute("select * from pgqueue.attempts").fetchall()
    )
    assert len(shown) == 3
    assert "secret" not in str(shown)
    assert "division" not in str(shown)
    for table in ("failed_job", "attempt", "job_order"):
        assert refused(boss, f"select * from pgqueue.{table}").sqlstate == "42501"
    assert "secret" in fetch_value(alice, f"select pgqueue.statement({new_id})")


def test_nobody_retries_discards_or_cancels_what_is_anothers(db, alice, bob, owner, worker):
    failed = fail(alice, worker)
    queued = hand_in(alice, "submit", "select 1")
    owner.execute("grant pgqueue_monitor to bob")

    for handle in (f"({failed.id}, {failed.cookie})", f"({failed.id}, null)"):
        assert refused(bob, f"select pgqueue.retry('{handle}'::pgqueue.handle)").sqlstate in ("42501", "22P02")
        assert refused(bob, f"select pgqueue.retry({handle}::pgqueue.handle)").sqlstate == "42501"
    for call in ("retry_jobs", "discard_jobs"):
        assert fetch_value(bob, f"select pgqueue.{call}({ALL})") == 0
    assert fetch_value(bob, "select pgqueue.cancel_jobs(queue => 'default')") == 0
    assert count(owner) == 1
    assert queued.state == "queued"


def test_a_member_of_a_role_retries_its_jobs_as_that_role(db, alice, owner, worker):
    fail(alice, worker)
    db.create_role("carol")
    carol = db.connect("carol")
    assert fetch_value(carol, f"select pgqueue.retry_jobs({ALL})") == 0
    owner.execute("grant alice to carol")

    assert fetch_value(carol, f"select pgqueue.retry_jobs({ALL}, error => 'division')") == 1
    assert fetch_value(owner, "select submitter::regrole::text from pgqueue.message") == "alice"


def test_what_a_role_says_changes_nothing_of_the_job(alice, bob, owner, worker):
    fail(alice, worker)
    fail(bob, worker)
    before = owner.execute(
        "select id, submitter, queue, sql, params, settings from pgqueue.failed_job order by id"
    ).fetchall()

    # In the name of another role, into another queue, with another number: the view has no such columns, or they only choose.
    for columns, values in (
        ("role, act, queue", "'alice'::regrole, 'retry_jobs', 'default'"),
        ("act, queue, new_id", "'retry_jobs', 'default', 1"),
        ("act, queue, count", "'retry_jobs', 'default', 1"),
    ):
        assert refused(bob, f"insert into pgqueue.job_order ({columns}) values ({values})").sqlstate == "42501"
    for statement in (
        "update pgqueue.failed_job set sql = 'select 2'",
        "insert into pgqueue.outbox (cookie, kind, queue, sql, settings, retried_from) values (1, 'job', 'q', 'select 1', '{}', 1)",
        "select pgqueue._retry_or_discard(null, true)",
    ):
        assert refused(bob, statement).sqlstate in ("42501", "42703")
    assert refused(bob, "insert into pgqueue.job_order (act) values ('put')").sqlstate == "22023"
    assert (
        owner.execute(
            "select id, submitter, queue, sql, params, settings from pgqueue.failed_job order by id"
        ).fetchall()
        == before
    )

    assert fetch_value(bob, f"select pgqueue.retry_jobs({ALL})") == 1
    assert fetch_value(owner, "select submitter::regrole::text from pgqueue.message") == "bob"


def test_a_definer_function_retries_for_its_owner_as_it_submits_for_it(alice, bob, owner, worker):
    owner.execute("grant create on schema public to alice")
    alice.execute(
        f"""create function public.again() returns bigint language sql security definer set search_path = pg_catalog
            as $$ select pgqueue.retry_jobs({ALL}) $$"""
    )
    fail(alice, worker)
    fail(bob, worker)

    assert fetch_value(bob, "select public.again()") == 1
    assert fetch_value(owner, "select submitter::regrole::text from pgqueue.message") == "alice"


def test_the_job_of_a_role_that_is_not_enrolled_any_more_is_not_retried(alice, boss, owner, worker):
    failed = fail(alice, worker)
    owner.execute("select pgqueue.unenroll('alice')")

    assert (
        refused(boss, "select pgqueue.retry((%s, null)::pgqueue.handle)", [failed.id]).diag.message_primary
        == 'role "alice" is not enrolled in pgqueue'
    )
    assert fetch_value(boss, f"select pgqueue.retry_jobs({ALL})") == 0
    assert refused(alice, f"select pgqueue.retry_jobs({ALL})").sqlstate == "42501"
    owner.execute("select pgqueue.enroll('alice')")
    assert fetch_value(boss, f"select pgqueue.retry_jobs({ALL})") == 1


def test_the_job_of_a_dropped_role_is_not_retried_even_if_its_name_comes_back(db, owner, worker):
    db.create_role("dora")
    session = db.connect("dora")
    failed = fail(session, worker)
    session.close()
    owner.execute("select pgqueue.unenroll('dora')")
    owner.execute("drop owned by dora; drop role dora")
    db.create_role("dora")

    assert refused(owner, "select pgqueue.retry((%s, null)::pgqueue.handle)", [failed.id]).sqlstate == "42501"
    assert fetch_value(owner, f"select pgqueue.retry_jobs({ALL})") == 0
    assert fetch_value(db.connect("dora"), f"select pgqueue.retry_jobs({ALL})") == 0
    assert count(owner, "message") == 0


def test_a_role_over_its_quota_gets_no_job_by_a_retry(alice, boss, owner, worker):
    failed = fail(alice, worker)
    owner.execute("update pgqueue.role_key set over_quota = 'messages' where role = 'alice'::regrole")

    for session, handle in ((alice, f"({failed.id}, {failed.cookie})"), (boss, f"({failed.id}, null)")):
        assert refused(session, f"select pgqueue.retry({handle}::pgqueue.handle)").sqlstate == "53400"
    assert refused(alice, f"select pgqueue.retry_jobs({ALL})").sqlstate == "53400"
    notices = []
    boss.add_notice_handler(lambda notice: notices.append(notice.message_primary))
    assert fetch_value(boss, f"select pgqueue.retry_jobs({ALL})") == 0
    assert notices == ["failed jobs of these roles stay: alice"]
    assert (count(owner), count(owner, "message")) == (1, 0)


def test_a_job_that_keeps_its_result_is_not_retried_for_a_role_that_may_not_log_in(db, alice, boss, owner, worker):
    failed = fail(alice, worker, function="launch")
    # With a runner it needs no login.
    db.execute("update pgqueue.role_key set result_runner = null where role = 'alice'::regrole")
    owner.execute("alter role alice nologin")

    assert refused(boss, "select pgqueue.retry((%s, null)::pgqueue.handle)", [failed.id]).sqlstate == "55000"
    assert fetch_value(boss, f"select pgqueue.retry_jobs({ALL})") == 0
    owner.execute("alter role alice login")
    assert fetch_value(boss, f"select pgqueue.retry_jobs({ALL})") == 1


def test_who_may_not_read_errors_learns_nothing_of_them_by_searching(alice, bob, boss, worker):
    fail(alice, worker, "do $$ begin raise 'the secret is 7'; end $$")
    notices = []
    boss.add_notice_handler(lambda notice: notices.append(notice.message_primary))

    counts = [
        fetch_value(boss, f"select pgqueue.{call}(state => %s, error => %s)", [state, error])
        for call, state in (("retry_jobs", "failed"), ("discard_jobs", "failed"), ("cancel_jobs", "queued"))
        for error in ("secret is 7", "%7", "secret is 8")
    ]

    assert set(counts) == {0}
    assert set(notices) == {"failed jobs of these roles were not searched: alice"}
    assert fetch_value(bob, f"select pgqueue.retry_jobs({ALL}, error => '%')") == 0
    assert fetch_value(alice, f"select pgqueue.retry_jobs({ALL}, error => 'secret is 7')") == 1


def test_who_is_not_enrolled_does_nothing_with_jobs(db, owner, alice, worker):
    fail(alice, worker)
    db.create_role("stranger", enrolled=False)
    stranger = db.connect("stranger")
    for call in ("retry_jobs", "discard_jobs", "cancel_jobs"):
        assert refused(stranger, f"select pgqueue.{call}(queue => 'default')").sqlstate == "42501"
    owner.execute("grant pgqueue_user to stranger; grant usage on schema pgqueue to stranger")
    for call in ("retry_jobs", "discard_jobs", "cancel_jobs"):
        assert refused(stranger, f"select pgqueue.{call}(queue => 'default')").sqlstate == "42501"


def test_a_worker_retries_and_cancels_no_job_of_others(alice, owner, worker):
    fail(alice, worker)
    queued = hand_in(alice, "submit", "select 1")

    assert fetch_value(worker.session, f"select pgqueue.retry_jobs({ALL})") == 0
    assert fetch_value(worker.session, "select pgqueue.cancel_jobs(queue => 'default')") == 0
    assert queued.state == "queued"
    assert count(owner) == 1


def test_hostile_text_in_filters_is_only_text(alice, owner, worker):
    fail(alice, worker, label="l")
    for text in ("'; drop table pgqueue.failed_job; --", "%' or true or '%", "\\", "$1", "%s"):
        for name in ("queue", "label", "error"):
            assert fetch_value(alice, f"select pgqueue.discard_jobs({name} => %s)", [text]) == 0
    assert refused(alice, "select pgqueue.discard_jobs(label => '%\\')").sqlstate == "22025"
    assert count(owner) == 1


def test_notices_tell_an_administrator_nothing_of_errors_that_it_may_not_read(alice, boss, worker, owner):
    owner.execute("grant pgqueue_admin to boss")
    alice.execute("select pgqueue.submit('select 1 / 0', unique_key => 'k')")
    worker.run_all()
    alice.execute("select pgqueue.submit('select 1', unique_key => 'k')")
    said = []
    boss.add_notice_handler(lambda notice: said.append(notice.message_primary))

    for part in ("division", "something else"):
        assert fetch_value(boss, f"select pgqueue.retry_jobs({ALL}, error => '{part}')") == 0

    assert said == ["failed jobs of these roles were not searched: alice"] * 2
