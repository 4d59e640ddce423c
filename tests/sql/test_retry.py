"""Failed jobs: what is kept of them, and running them again, one by one and by filters."""

import psycopg
import pytest

from tests.harness.jobs import hand_in
from tests.harness.people import fetch_one, fetch_value, refused

# A job fails until this table has a row.
SWITCH = "create table public.switch (n int); grant select, insert on public.switch to public"
FAILING = "select 1 / (select count(*) from public.switch) from (select $1::text) p"
#: Of a message: who has it now, how it was waited for, what is counted anew. All else a job takes along when it runs again.
NOT_KEPT = {
    "cookie", "token", "session_id", "due_at", "expires_at", "launched_at", "kind", "state", "worker_id", "deliveries",
    "attempts", "payload", "last_error", "retried_from", "queue_timeout", "acked", "snoozes", "is_member",
}  # fmt: skip


@pytest.fixture
def switch(owner):
    owner.execute(SWITCH)
    return owner


def retry(session, job):
    return fetch_one(
        session, "select (r).id, (r).cookie from pgqueue.retry((%s, %s)::pgqueue.handle) r", [job.id, job.cookie]
    )


def fail(session, worker, statement="select 1 / 0", function="submit", queue="default", **options):
    job = hand_in(session, function, statement, queue=queue, **options)
    while worker.run_next(queue) == "retried":
        session.execute("select pg_sleep(0.01)")
        worker.tick()
    return job


def test_only_a_job_that_failed_leaves_what_runs_it_again(alice, owner, worker):
    alice.execute("select pgqueue.submit('select 1')")
    canceled = hand_in(alice, "submit", "select 2")
    canceled.cancel()
    worker.run_all()
    failed = fail(alice, worker)

    assert owner.execute("select id from pgqueue.failed_job").fetchall() == [(failed.id,)]


def test_every_column_of_a_message_is_kept_or_is_known_not_to_be(owner):
    columns = "select attname::text from pg_attribute where attrelid = %s::regclass and attnum > 0 and not attisdropped"
    message = {name for (name,) in owner.execute(columns, ["pgqueue.message"])}
    kept = {name for (name,) in owner.execute(columns, ["pgqueue.failed_job"])}

    assert message - kept == NOT_KEPT


def test_a_job_runs_again_with_all_that_it_had(db, alice, switch, worker):
    alice.execute("set work_mem = '7MB'")
    options = {
        "params": ["it's"], "queue": "q", "priority": 3, "timeout": "1 min", "max_attempts": 1, "backoff": "5 s", "unique_key": "k",
        "label": "l", "durability": "async",
    }  # fmt: skip
    statement = FAILING + " where current_setting('work_mem') = '7MB'"
    failed = fail(alice, worker, statement, "launch", **options)
    alice.execute("insert into public.switch values (1)")
    columns = "submitter, kept, top_level, priority, max_attempts, queue, sql, params, settings, timeout, backoff, label, unique_key"
    before = fetch_one(switch, f"select {columns} from pgqueue.failed_job")

    new_id, cookie = retry(alice, failed)

    assert new_id > failed.id
    assert cookie != failed.cookie
    assert fetch_one(switch, f"select {columns} from pgqueue.message") == before
    assert before[-6] == ["it's"]
    assert before[-5] == {"search_path": '"$user", public', "work_mem": "7MB", "synchronous_commit": "off"}
    assert fetch_one(alice, "select state, retried_from from pgqueue.jobs where id = %s", [new_id]) == (
        "queued",
        failed.id,
    )
    assert worker.run_next("q") == "succeeded"
    assert alice.execute(
        "select x from pgqueue.result((%s, %s)::pgqueue.handle) as (x bigint)", [new_id, cookie]
    ).fetchall() == [(1,)]
    assert fetch_one(alice, "select state, retried_from from pgqueue.jobs where id = %s", [new_id]) == (
        "succeeded",
        failed.id,
    )
    assert fetch_one(alice, "select state, retried_from from pgqueue.jobs where id = %s", [failed.id]) == (
        "failed",
        None,
    )


@pytest.mark.parametrize("group", ["1", "100"])
def test_the_batch_lane_says_what_a_job_runs_again(db, alice, owner, switch, group):
    from tests.harness.executors import Executors

    owner.execute("select pgqueue.configure('group_commit', %s, queue => 'default')", [group])
    executors = Executors(db)
    try:
        jobs = [hand_in(alice, "submit", FAILING, params=["x"]) for _ in range(3)]
        for job in jobs:
            assert job.end()["state"] == "failed"
        alice.execute("insert into public.switch values (1)")
        assert fetch_value(alice, "select pgqueue.retry_jobs('default')") == 3
        while fetch_value(alice, "select count(*) from pgqueue.jobs where state = 'succeeded'") < 3:
            alice.execute("select pg_sleep(0.02)")
    finally:
        executors.stop()

    again = "select retried_from from pgqueue.jobs where state = 'succeeded' order by 1"
    assert [row[0] for row in alice.execute(again)] == [job.id for job in jobs]


def test_a_job_that_fails_again_can_be_retried_again_and_the_first_failure_not(alice, worker):
    first = fail(alice, worker)
    second, cookie = retry(alice, first)
    assert worker.run_next() == "failed"

    error = refused(alice, "select pgqueue.retry((%s, %s)::pgqueue.handle)", [first.id, first.cookie])
    assert (error.sqlstate, error.diag.message_primary) == ("55000", f"job {first.id} was retried as job {second}")
    third = fetch_value(alice, "select (pgqueue.retry((%s, %s)::pgqueue.handle)).id", [second, cookie])
    assert fetch_value(alice, "select retried_from from pgqueue.jobs where id = %s", [third]) == second


@pytest.mark.parametrize("is_claimed", [True, False])
def test_a_job_whose_sessions_end_is_kept_whatever_the_worker_knows_of_the_error(alice, owner, worker, is_claimed):
    job = hand_in(alice, "submit", "select 1")
    while job.state == "queued":
        claim = worker.claim_one()
        if not is_claimed:
            worker.release(claim)
        worker.settle_run([claim], {"session_lost": True}, 0, is_jobs=True)

    assert job.state == "failed"
    assert fetch_one(owner, "select id, sqlstate, sql from pgqueue.failed_job") == (job.id, "XX000", "select 1")
    assert fetch_value(alice, "select count(*) from pgqueue.attempts") == 1
    assert retry(alice, job)[0] > job.id


def test_a_retry_is_part_of_the_callers_transaction(alice, worker, owner):
    failed = fail(alice, worker)
    alice.execute("begin")
    retry(alice, failed)
    alice.execute("rollback")
    assert fetch_value(owner, "select count(*) from pgqueue.message") == 0

    retry(alice, failed)
    assert fetch_value(owner, "select count(*) from pgqueue.message") == 1


def test_the_content_goes_with_the_job_and_is_kept_once(alice, owner, worker):
    failed = fail(alice, worker)
    retry(alice, failed)

    assert fetch_one(owner, "select sql, params, settings, error from pgqueue.failed_job") == (None, None, None, None)


def test_what_did_not_fail_is_not_retried_and_the_error_says_what_it_is(alice, worker):
    done = hand_in(alice, "submit", "select 1")
    queued = refused(alice, "select pgqueue.retry((%s, %s)::pgqueue.handle)", [done.id, done.cookie])
    worker.run_next()
    ended = refused(alice, "select pgqueue.retry((%s, %s)::pgqueue.handle)", [done.id, done.cookie])
    unknown = refused(alice, "select pgqueue.retry((999999, 1)::pgqueue.handle)")
    failed = fail(alice, worker)
    forged = refused(alice, "select pgqueue.retry((%s, 1)::pgqueue.handle)", [failed.id])
    alice.execute("select pgqueue.discard_jobs('default')")
    discarded = refused(alice, "select pgqueue.retry((%s, %s)::pgqueue.handle)", [failed.id, failed.cookie])

    assert [error.sqlstate for error in (queued, ended, unknown, forged, discarded)] == [
        "55000",
        "55000",
        "42704",
        "42704",
        "55000",
    ]
    assert f"job {done.id} has not ended" in str(queued)
    assert f"job {done.id} did not fail, it is succeeded" in str(ended)
    assert "is gone" in str(discarded)


def test_a_number_is_enough_for_ones_own_job(alice, worker):
    failed = fail(alice, worker)

    assert fetch_value(alice, f"select (pgqueue.retry({failed.id})).id") > failed.id


def test_a_unique_key_that_is_taken_keeps_a_failure_for_later(alice, worker):
    failed = fail(alice, worker, unique_key="k")
    other = hand_in(alice, "submit", "select 1", unique_key="k")

    assert "another job with the unique key" in str(
        refused(alice, "select pgqueue.retry((%s, %s)::pgqueue.handle)", [failed.id, failed.cookie])
    )
    assert fetch_value(alice, "select pgqueue.retry_jobs('default')") == 0
    other.cancel()
    assert fetch_value(alice, "select pgqueue.retry_jobs('default')") == 1


FILTERS = [
    ("queue => 'q1'", ["a", "b"]),
    ("label => 'a'", ["a"]),
    ("label => 'b%'", ["b", "b_long"]),
    ("label => 'b_'", []),
    ("sqlstate => '22012'", ["a", "b"]),
    ("error => 'division'", ["a", "b"]),
    ("error => '%zero'", ["a", "b"]),
    ("error => 'zero%'", []),
    ("error => 'no_table'", ["b_long"]),
    ("error => 'no.table'", []),
    ("state => 'failed'", ["a", "b", "b_long"]),
    ("queue => 'q1', max_count => 1", ["a"]),
    ("since => clock_timestamp() - interval '1 min'", ["a", "b", "b_long"]),
    ("since => clock_timestamp()", []),
    ("until => clock_timestamp()", ["a", "b", "b_long"]),
    ("queue => 'q2', sqlstate => '22012'", []),
]


@pytest.mark.parametrize(("filters", "labels"), FILTERS)
def test_filters_choose_failed_jobs_and_each_call_says_how_many(alice, owner, worker, filters, labels):
    fail(alice, worker, queue="q1", label="a")
    fail(alice, worker, queue="q1", label="b")
    fail(alice, worker, "select * from no_table", queue="q2", label="b_long")

    alice.execute("begin")
    assert fetch_value(alice, f"select pgqueue.retry_jobs({filters})") == len(labels)
    assert [
        label for (label,) in alice.execute("select label from pgqueue.jobs where state = 'queued' order by id")
    ] == labels
    alice.execute("rollback")
    assert fetch_value(alice, f"select pgqueue.discard_jobs({filters})") == len(labels)
    assert fetch_value(owner, "select count(*) from pgqueue.failed_job") == 3 - len(labels)
    assert fetch_value(alice, "select count(*) from pgqueue.jobs where state = 'failed'") == 3
    assert fetch_value(alice, f"select pgqueue.retry_jobs({filters})") == 0 if "max_count" not in filters else True


@pytest.mark.parametrize("function", ["retry_jobs", "discard_jobs", "cancel_jobs"])
@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ("", "no filter says which jobs"),
        ("max_count => 5", "no filter says which jobs"),
        ("state => 'succeeded'", "takes no jobs in state"),
        ("sqlstate => '4'", "is not one"),
        ("error => ''", "error cannot be empty"),
        ("queue => 'q', max_count => 0", "max_count 0 is out of range"),
        ("since => now(), until => now() - interval '1 s'", "since is later than until"),
    ],
)
def test_filters_that_choose_nothing_are_errors(alice, function, filters, message):
    error = refused(alice, f"select pgqueue.{function}({filters})")

    assert error.sqlstate == "22023"
    assert message in error.diag.message_primary
    assert error.diag.message_hint


def test_a_label_of_any_length_is_kept_and_found(alice, worker):
    label = "ä" * 4000
    fail(alice, worker, label=label)

    assert fetch_value(alice, "select pgqueue.retry_jobs(label => %s)", [label[:-1] + "b"]) == 0
    assert fetch_value(alice, "select pgqueue.retry_jobs(label => %s)", [label]) == 1


def test_retention_deletes_what_was_kept_and_the_attempts(alice, owner, worker):
    fail(alice, worker)
    owner.execute(
        "update pgqueue.failed_job set ended_at = '2020-01-01'; update pgqueue.attempt set ended_at = '2020-01-01'"
    )
    kept = fail(alice, worker)
    worker.tick()

    assert owner.execute("select id from pgqueue.failed_job").fetchall() == [(kept.id,)]
    assert owner.execute("select id from pgqueue.attempt").fetchall() == [(kept.id,)]


def test_jobs_are_canceled_by_filters(alice, owner, worker):
    first = [hand_in(alice, "submit", "select 1", queue="q1", label=f"l{n}") for n in range(3)]
    delayed = hand_in(alice, "submit", "select 1", queue="q1", delay="1 h", label="later")
    other = hand_in(alice, "submit", "select 1", queue="q2")

    assert fetch_value(alice, "select pgqueue.cancel_jobs('q1', label => 'l1')") == 1
    assert [job.state for job in first] == ["queued", "canceled", "queued"]
    assert fetch_value(alice, "select pgqueue.cancel_jobs('q1', max_count => 1)") == 1
    assert fetch_value(alice, "select pgqueue.cancel_jobs('q1')") == 2
    assert fetch_value(alice, "select pgqueue.cancel_jobs('q1')") == 0
    assert {job.state for job in (*first, delayed)} == {"canceled"}
    assert other.state == "queued"
    assert delayed.row["sqlstate"] == "57014"
    assert fetch_value(owner, "select count(*) from pgqueue.request") == 0


def test_a_job_that_a_worker_has_is_canceled_when_it_begins_or_ends(alice, worker):
    claimed, running, queued = [hand_in(alice, "launch", "select 1") for _ in range(3)]
    claims = worker.claim(max_count=2)
    executor = worker.executor("alice")
    executor.begin(claims[1])

    assert fetch_value(alice, "select pgqueue.cancel_jobs('default', state => 'running')") == 1
    assert queued.state == "queued"
    assert fetch_value(alice, "select pgqueue.cancel_jobs('default', state => 'queued')") == 2
    assert fetch_value(alice, "select pgqueue.cancel_jobs('default')") == 0
    assert queued.state == "canceled"
    assert worker.run(claims[0]) == "canceled"
    with pytest.raises(psycopg.errors.QueryCanceled) as raised:
        executor.lock(claims[1])
    assert executor.fail(claims[1], raised.value) == "canceled"
    assert (claimed.state, running.state) == ("canceled", "canceled")


def test_jobs_that_wait_for_their_next_attempt_are_found_by_their_error(alice, worker):
    waiting = hand_in(alice, "submit", "select 1 / 0", max_attempts=5, backoff="1 h")
    assert worker.run_next() == "retried"

    assert fetch_value(alice, "select pgqueue.cancel_jobs(error => 'by zero', sqlstate => '22012')") == 1
    assert waiting.state == "canceled"


def test_each_attempt_that_failed_is_shown_and_no_other(alice, owner, worker):
    owner.execute("create sequence public.tries; grant usage on sequence public.tries to public")
    statement = """do $$ begin
        case nextval('public.tries')
        when 1 then perform 1 / 0;
        when 2 then raise invalid_text_representation using message = 'bad', hint = 'h', detail = 'd';
        else null; end case;
    end $$"""
    alice.execute("select pgqueue.submit('select 1')")
    worker.run_next()
    job = hand_in(alice, "submit", statement, max_attempts=5, backoff="0")
    endings = []
    while len(endings) < 3:
        worker.tick()
        endings += [worker.run(claim) for claim in worker.claim()]

    assert endings == ["retried", "retried", "succeeded"]
    columns = "id, attempt, sqlstate, error, error_detail, error_hint, started_at <= ended_at, worker"
    assert alice.execute(f"select {columns} from pgqueue.attempts order by attempt").fetchall() == [
        (job.id, 1, "22012", "division by zero", None, None, True, "w1"),
        (job.id, 2, "22P02", "bad", "d", "h", True, "w1"),
    ]


def test_the_last_attempt_of_a_job_that_failed_is_one_of_its_attempts(alice, worker):
    job = fail(alice, worker, max_attempts=3, backoff="0")

    rows = alice.execute(
        "select attempt, sqlstate, duration_ms >= 0 from pgqueue.attempts where id = %s order by 1", [job.id]
    ).fetchall()
    assert rows == [(1, "22012", True), (2, "22012", True), (3, "22012", True)]


def test_a_job_keeps_its_last_hundred_attempts_with_a_part_of_each_text(alice, owner, worker):
    job = hand_in(
        alice, "submit", "do $$ begin raise exception '%', repeat('x', 5000); end $$", max_attempts=200, backoff="0"
    )
    owner.execute("update pgqueue.message set attempts = 150")
    owner.execute(
        "insert into pgqueue.attempt (id, attempt, submitter, error) select %s, n, 'alice'::regrole, '{}' from generate_series(51, 150) n",
        [job.id],
    )
    assert worker.run_next() == "retried"

    assert fetch_one(owner, "select min(attempt), max(attempt), count(*) from pgqueue.attempt") == (52, 151, 100)
    assert fetch_value(alice, "select length(error) from pgqueue.attempts where attempt = 151") == 1000


@pytest.mark.parametrize(
    ("filters", "said"),
    [
        ("sqlstate => '40P01'", []),
        ("label => 'other'", []),
        ("until => '2020-01-01'", []),
        ("since => '2100-01-01'", []),
        ("error => 'deadlock'", []),
        ("sqlstate => '22012'", ["1 failed job stays"]),
        ("label => 'k%', error => 'division'", ["1 failed job stays"]),
    ],
)
def test_a_notice_speaks_of_failures_that_match_the_filters(alice, worker, filters, said):
    alice.execute("select pgqueue.submit('select 1 / 0', label => 'key', unique_key => 'k')")
    worker.run_all()
    alice.execute("select pgqueue.submit('select 1', unique_key => 'k')")
    notices = []
    alice.add_notice_handler(lambda notice: notices.append(notice.message_primary))

    assert fetch_value(alice, f"select pgqueue.retry_jobs({filters})") == 0

    assert notices == said
