"""What becomes of a second job with a unique key: `on_conflict`, and for how long the key is taken: `unique_for`."""

import pytest

from tests.harness.people import fetch_one, fetch_value, refused

WAYS_IN = pytest.mark.parametrize("way_in", ["launch", "submit", "enqueue"])


def enqueue(session, sql="select 1", way_in="enqueue", **options):
    given = {"unique_key": "k", **options}
    named = "".join(f", {name} => %({name})s" for name in given)
    return fetch_one(session, f"select * from pgqueue.{way_in}(%(sql)s{named})", {"sql": sql, **given})


def waiting(owner):
    return owner.execute("select sql from pgqueue.message where state <> 'claimed' order by id").fetchall()


@WAYS_IN
def test_replace_gives_the_waiting_job_the_new_content_and_keeps_its_handle(alice, owner, way_in):
    first = enqueue(alice, "select 1", way_in, label="one", priority=1)

    assert enqueue(alice, "select $1", way_in, on_conflict="replace", params=["a"], label="two", priority=7) == first

    columns = "sql, params, label, priority, queue, max_attempts, unique_key"
    assert owner.execute(f"select {columns} from pgqueue.message").fetchall() == [
        ("select $1", ["a"], "two", 7, "default", None, "k")
    ]


def test_replace_takes_every_option_of_the_new_job(alice, owner):
    enqueue(alice, "select 1")

    enqueue(
        alice, "select 2", on_conflict="replace", queue="q", timeout="5 s", max_attempts=4, backoff="2 s", limit_key="l",
        expires="2099-01-01", durability="async", label="x", priority=3,
    )  # fmt: skip

    columns = (
        "queue, timeout::text, max_attempts, backoff::text, limit_key, expires_at is not null, label, priority, "
        "settings ->> 'synchronous_commit'"
    )
    assert owner.execute(f"select {columns} from pgqueue.message").fetchall() == [
        ("q", "00:00:05", 4, "00:00:02", "l", True, "x", 3, "off")
    ]


def test_replace_leaves_the_due_time_and_debounce_moves_it(alice, owner):
    enqueue(alice, delay="1 h")
    due = fetch_value(owner, "select due_at from pgqueue.message")

    enqueue(alice, "select 2", on_conflict="replace", delay="2 h")
    assert fetch_value(owner, "select due_at from pgqueue.message") == due

    enqueue(alice, "select 3", on_conflict="debounce", delay="2 h")
    assert fetch_value(owner, "select due_at - %s from pgqueue.message", [due]).total_seconds() == pytest.approx(
        3600, abs=30
    )
    assert waiting(owner) == [("select 3",)]


def test_debounce_without_a_delay_makes_the_job_ready(alice, owner, worker):
    enqueue(alice, delay="1 h")

    enqueue(alice, "select 2", on_conflict="debounce")

    assert [claim.job["sql"] for claim in worker.claim()] == ["select 2"]


@pytest.mark.parametrize(("unique_for", "minutes"), [(None, 100), ("3 h", 180)])
def test_debounce_is_bounded(alice, owner, unique_for, minutes):
    enqueue(alice, delay="10 min", unique_for=unique_for)
    owner.execute("update pgqueue.message set launched_at = launched_at - interval '1 day'")

    enqueue(alice, "select 2", on_conflict="debounce", delay="10 min", unique_for=unique_for)
    assert fetch_value(owner, "select state::text from pgqueue.message") == "ready"

    owner.execute("update pgqueue.message set launched_at = clock_timestamp() - %s * interval '1 min'", [minutes - 5])
    enqueue(alice, "select 3", on_conflict="debounce", delay="10 min", unique_for=unique_for)
    left = fetch_value(owner, "select due_at - clock_timestamp() from pgqueue.message").total_seconds()
    assert left == pytest.approx(300, abs=30)


def test_raise_is_an_error_that_says_who_has_the_key(alice):
    first = enqueue(alice)

    error = refused(alice, "select pgqueue.enqueue('select 2', unique_key => 'k', on_conflict => 'raise')")

    assert error.sqlstate == "23505"
    assert error.diag.message_primary == f'unique key "k" is taken by job {first[0]}'
    assert "on_conflict" in error.diag.message_hint


@WAYS_IN
def test_raise_submits_when_the_key_is_free(alice, worker, way_in):
    enqueue(alice, way_in=way_in, on_conflict="raise")
    assert worker.run_next() == "succeeded"

    enqueue(alice, "select 2", way_in, on_conflict="raise")

    assert [claim.job["sql"] for claim in worker.claim()] == ["select 2"]


@pytest.mark.parametrize("mode", ["replace", "debounce"])
def test_a_job_that_a_worker_has_is_not_touched_and_the_new_one_is_queued(alice, worker, owner, mode):
    first = enqueue(alice, "select 1")
    claimed = worker.claim_one()

    second = enqueue(alice, "select 2", on_conflict=mode)
    third = enqueue(alice, "select 3", on_conflict=mode)

    assert first != second
    assert third == second
    assert fetch_value(owner, "select sql from pgqueue.message where id = %s", [claimed.id]) == "select 1"
    assert waiting(owner) == [("select 3",)]
    # The key is the newer one's.
    assert enqueue(alice, "select 4") == second


def test_a_job_between_two_attempts_is_replaced_and_begins_anew(alice, worker, owner):
    first = enqueue(alice, "select 1 / 0", max_attempts=3, backoff="1 h")
    assert worker.run_next() == "retried"

    assert enqueue(alice, "select 2", on_conflict="replace") == first

    assert owner.execute("select state::text, attempts, last_error from pgqueue.message").fetchall() == [
        ("ready", 0, None)
    ]
    assert worker.run_next() == "succeeded"


def test_a_result_that_the_first_caller_waits_for_stays_kept(alice, owner):
    enqueue(alice, way_in="launch")

    enqueue(alice, "select 2", way_in="submit", on_conflict="replace")

    assert fetch_value(owner, "select kept::text from pgqueue.message") == "once"


@pytest.mark.parametrize("statement", ["select 1", "select 1 / 0"])
def test_unique_for_keeps_the_key_taken_after_the_end(alice, worker, owner, statement):
    first = enqueue(alice, statement, unique_for="1 h")
    worker.run_next()

    assert enqueue(alice, "select 2") == first
    error = refused(alice, "select pgqueue.enqueue('select 2', unique_key => 'k', on_conflict => 'raise')")
    assert (error.sqlstate, "free at" in error.diag.message_hint) == ("23505", True)
    assert waiting(owner) == []

    owner.execute("update pgqueue.unique_hold set free_at = clock_timestamp() - interval '1 s'")
    assert enqueue(alice, "select 3") != first


@pytest.mark.parametrize("mode", ["replace", "debounce"])
def test_within_unique_for_the_next_run_waits_for_its_end(alice, worker, owner, mode):
    first = enqueue(alice, unique_for="1 h")
    assert worker.run_next() == "succeeded"

    second = enqueue(alice, "select 2", on_conflict=mode, unique_for="1 h")

    assert second != first
    left = fetch_value(owner, "select due_at - clock_timestamp() from pgqueue.message").total_seconds()
    assert left == pytest.approx(3600, abs=30)


def test_a_call_that_was_dropped_does_not_extend_unique_for(alice, owner):
    enqueue(alice, unique_for="1 h")
    free_at = fetch_value(owner, "select free_at from pgqueue.unique_hold")

    enqueue(alice, unique_for="2 h")

    assert fetch_value(owner, "select free_at from pgqueue.unique_hold") == free_at


def test_a_rollback_gives_the_key_back(alice, owner):
    alice.execute("begin")
    enqueue(alice, unique_for="1 h")
    alice.execute("rollback")
    assert fetch_value(owner, "select count(*) from pgqueue.unique_hold") == 0

    first = enqueue(alice, "select 1")
    alice.execute("begin")
    enqueue(alice, "select 2", on_conflict="replace")
    alice.execute("rollback")
    assert waiting(owner) == [("select 1",)]
    assert enqueue(alice) == first


@pytest.mark.parametrize("isolation", ["repeatable read", "serializable"])
@pytest.mark.parametrize("mode", ["keep", "replace", "debounce"])
def test_under_an_old_snapshot_a_change_since_is_a_serialization_failure(db, alice, worker, isolation, mode):
    other = db.connect("alice")
    enqueue(other, "select 1")
    alice.execute(f"begin isolation level {isolation}")
    alice.execute("select 1 from pg_class")
    enqueue(other, "select 2", on_conflict="replace")

    if mode == "keep":
        # It sees a job that has the key, and needs no more.
        enqueue(alice, "select 3")
    else:
        call = f"select pgqueue.enqueue('select 3', unique_key => 'k', on_conflict => '{mode}')"
        assert refused(alice, call).sqlstate == "40001"
    alice.execute("rollback")
    assert [claim.job["sql"] for claim in worker.claim()] == ["select 2"]


def test_each_job_of_a_set_has_its_key(alice, owner, worker):
    enqueue(alice, "select 0", unique_key="a")
    call = "select id from pgqueue.enqueue_many(%s::text[], unique_keys => %s::text[], on_conflict => 'replace', unique_for => '1 h')"

    ids = [row[0] for row in alice.execute(call, [["select 1", "select 2", "select 3"], ["a", None, "a"]]).fetchall()]

    assert ids[0] == ids[2]
    assert waiting(owner) == [("select 3",), ("select 2",)]
    assert fetch_value(owner, "select count(*) from pgqueue.unique_hold where free_at is not null") == 1


def test_a_set_with_raise_is_all_or_nothing(alice, owner):
    enqueue(alice, unique_key="b")

    error = refused(
        alice,
        "select pgqueue.enqueue_many(array['select 1', 'select 2'], unique_keys => array['a', 'b'], on_conflict => 'raise')",
    )

    assert error.sqlstate == "23505"
    assert waiting(owner) == [("select 1",)]


def test_a_set_with_raise_gives_each_key_once(alice, owner):
    error = refused(
        alice,
        "select pgqueue.enqueue_many(array['select 1', 'select 2'], unique_keys => array['a', 'a'], on_conflict => 'raise')",
    )

    assert (error.sqlstate, error.diag.constraint_name) == ("23505", "unique_key")
    assert error.diag.message_primary == 'unique key "a" is given to several jobs of one call'
    assert waiting(owner) == []


@pytest.mark.parametrize("mode", ["keep", "replace", "debounce"])
def test_a_key_that_a_set_names_often_is_written_once(alice, mode):
    """So a thousand jobs with one key cost a thousand times one job, and not a million times."""
    alice.execute("begin")
    alice.execute(
        "select pgqueue.enqueue_many(array(select 'select ' || n from generate_series(1, 1000) n),"
        " unique_keys => array_fill('k'::text, array[1000]), on_conflict => %s)",
        [mode],
    )

    counts = "select relname::text, n_tup_ins, n_tup_upd from pg_stat_xact_all_tables where schemaname = 'pgqueue'"
    written = {table: (added, changed) for table, added, changed in alice.execute(counts) if added or changed}
    assert written == {"message": (1, 0), "unique_hold": (1, 1)}


@pytest.mark.parametrize("way_in", ["launch", "submit", "enqueue"])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("unique_key => 'k', on_conflict => 'ignore'", 'on_conflict "ignore" is not known'),
        ("unique_key => 'k', unique_for => '0 s'", "unique_for must be positive and at most 10 years"),
        ("unique_key => 'k', unique_for => '-1 s'", "unique_for must be positive and at most 10 years"),
        ("unique_key => 'k', unique_for => '11 years'", "unique_for must be positive and at most 10 years"),
        ("unique_for => '1 h'", "unique_for needs a unique key"),
        ("on_conflict => 'replace'", 'on_conflict "replace" needs a unique key'),
        ("unique_key => repeat('k', 1001)", "unique_key has more than 1000 bytes"),
    ],
)
def test_bad_options_are_refused(alice, way_in, options, message):
    error = refused(alice, f"select pgqueue.{way_in}('select 1', {options})")

    assert (error.sqlstate, error.diag.message_primary) == ("22023", message)
    assert error.diag.message_hint


@pytest.mark.parametrize("options", ["unique_for => '1 h'", "on_conflict => 'raise'"])
def test_a_set_without_keys_refuses_options_about_keys(alice, options):
    assert refused(alice, f"select pgqueue.enqueue_many(array['select 1'], {options})").sqlstate == "22023"
    assert (
        refused(
            alice, f"select pgqueue.enqueue_many(array['select 1'], unique_keys => array[null], {options})"
        ).sqlstate
        == "22023"
    )


def test_a_retry_takes_the_key_over_and_two_failures_with_one_key_run_once(alice, worker, owner):
    for n in range(2):
        enqueue(alice, f"select {n} / 0")
        assert worker.run_next() == "failed"

    assert fetch_value(alice, "select pgqueue.retry_jobs(state => 'failed')") == 1

    (retried,) = owner.execute("select id, cookie from pgqueue.message").fetchall()
    assert enqueue(alice, "select 2") == retried


def test_a_failed_job_can_be_retried_while_its_own_key_is_taken_for_a_time(alice, worker):
    first = enqueue(alice, "select 1 / 0", unique_for="1 h")
    assert worker.run_next() == "failed"

    retried = fetch_one(alice, "select * from pgqueue.retry(%s::pgqueue.handle)", [f"({first[0]},{first[1]})"])

    assert enqueue(alice) == retried


def test_upkeep_forgets_keys_that_are_free(alice, worker, owner):
    enqueue(alice, unique_key="ended")
    enqueue(alice, unique_key="for a time", unique_for="1 h")
    worker.run_all()
    enqueue(alice, unique_key="waits")

    owner.execute("select pgqueue._forget_keys()")

    assert owner.execute("select unique_key from pgqueue.unique_hold order by 1").fetchall() == [
        ("for a time",),
        ("waits",),
    ]


def send(session, task="shop.add", **options):
    given = {"unique_key": "k", **options}
    named = "".join(f", {name} => %({name})s" for name in given)
    return fetch_value(session, f"select pgqueue.send_task(%(task)s{named})", {"task": task, **given})


def tasks(owner):
    return owner.execute(
        "select payload #>> '{headers,id}', payload #>> '{headers,task}' from pgqueue.message where kind = 'task' order by id"
    ).fetchall()


def test_a_task_that_is_there_is_kept_and_its_id_returned(alice, owner):
    first = send(alice)

    assert send(alice, "shop.sub") == first
    assert tasks(owner) == [(first, "shop.add")]
    assert refused(
        alice, "select pgqueue.send_task('a', unique_key => 'k', on_conflict => 'raise')"
    ).diag.message_primary == (f'unique key "k" is taken by task "{first}"')


@pytest.mark.parametrize("mode", ["replace", "debounce"])
def test_a_task_that_waits_is_replaced_and_the_old_one_is_revoked(alice, owner, mode):
    first = send(alice, delay="1 h")

    second = send(alice, "shop.sub", on_conflict=mode, delay="2 h")

    assert second != first
    assert tasks(owner) == [(second, "shop.sub")]
    assert fetch_value(alice, "select pgqueue.task_result(%s) ->> 'state'", [first]) == "REVOKED"


def test_the_headers_of_a_task_say_the_same(alice, owner):
    first = send(alice, unique_key=None, headers='{"unique_key": "k", "unique_for": 3600, "on_conflict": "raise"}')
    assert fetch_value(owner, "select free_at > clock_timestamp() + interval '59 min' from pgqueue.unique_hold")

    assert refused(alice, """select pgqueue.send_task('a', headers => '{"unique_key": "k", "on_conflict": "raise"}')""")
    assert refused(alice, """select pgqueue.send_task('a', headers => '{"unique_key": "k", "unique_for": "1 h"}')""")
    # A retry of the task has them too.
    headers = fetch_value(owner, "select payload -> 'headers' from pgqueue.message")
    assert (headers["unique_key"], headers["unique_for"], headers["on_conflict"]) == ("k", 3600, "raise")
    assert send(alice) == first


def test_a_task_that_sends_itself_again_goes_on_with_its_key(alice, owner, worker):
    task_id = send(alice, unique_for="1 h")
    (claim,) = worker.claim("celery", kind="task")
    assert send(alice, task_id=task_id, delay="1 s") == task_id
    worker.ack(claim)

    assert [row[0] for row in tasks(owner)] == [task_id]
    assert send(alice) == task_id


def test_jobs_and_tasks_have_their_own_keys(alice):
    job = enqueue(alice)
    task = send(alice)

    assert enqueue(alice) == job
    assert send(alice) == task


@pytest.mark.parametrize("mode", ["keep", "replace", "debounce", "raise"])
def test_a_task_that_is_published_twice_after_a_lost_connection_is_one(alice, owner, mode):
    task_id = send(alice, task_id="t1", on_conflict=mode)

    assert send(alice, task_id="t1", on_conflict=mode) == task_id
    assert tasks(owner) == [("t1", "shop.add")]
    assert fetch_value(alice, "select pgqueue.task_result('t1')") is None
