"""Handing jobs in: what launch, submit and enqueue do with each option."""

import datetime as dt

import pytest

from tests.harness.people import fetch_one, fetch_value, refused

EVERY_WAY_IN = pytest.mark.parametrize("way_in", ["launch", "submit", "enqueue"])


def job_of(session, handle):
    """The row of pgqueue.jobs of a handle, as a dict."""
    cursor = session.execute("select * from pgqueue.jobs where id = (%s::pgqueue.handle).id", [handle])
    row = cursor.fetchone()
    assert row is not None, "no such job"
    return dict(zip([column.name for column in cursor.description], row, strict=True))


@EVERY_WAY_IN
def test_every_way_in_returns_a_handle_of_a_queued_job(alice, way_in):
    handle = fetch_one(alice, f"select * from pgqueue.{way_in}('select 1')")

    assert handle[0] > 0
    assert -(2**63) <= handle[1] < 2**63
    assert fetch_value(alice, "select state from pgqueue.jobs where id = %s", [handle[0]]) == "queued"


@EVERY_WAY_IN
def test_a_job_runs_with_its_parameters_bound(alice, worker, way_in):
    alice.execute(f"select pgqueue.{way_in}('select $1::int + $2::int, $3', array['40', '2', null])")

    assert worker.run_next() == "succeeded"
    # The batch lane prepares and executes a statement with parameters: the server counts no rows of that.
    assert fetch_value(alice, "select rows from pgqueue.jobs") == (1 if way_in == "launch" else None)


def test_parameters_are_never_pasted_into_the_statement(alice, worker):
    evil = "'); drop table everything; --"
    handle = fetch_value(alice, "select pgqueue.launch('select $1', array[%s])", [evil])
    worker.run_next()

    answer = fetch_value(alice, "select * from pgqueue.result(%s::pgqueue.handle) as (x text)", [handle])

    assert answer == evil


@EVERY_WAY_IN
def test_options_show_in_the_view(alice, way_in):
    eta = dt.datetime.now(dt.timezone.utc) + dt.timedelta(hours=1)
    handle = fetch_value(
        alice,
        f"""select pgqueue.{way_in}('select 1', queue => 'mail', priority => 7, eta => %s, label => 'a label',
                                    max_attempts => 5, backoff => '2 s', timeout => '1 min', durability => 'async')""",
        [eta],
    )

    job = job_of(alice, handle)

    assert (job["queue"], job["priority"], job["label"], job["max_attempts"]) == ("mail", 7, "a label", 5)
    assert (job["eta"], job["state"], job["attempts"], job["submitter"]) == (eta, "queued", 0, "alice")


def test_high_priority_is_claimed_first_and_equal_priority_in_order(alice, worker):
    for label, priority in [("first", 0), ("second", 0), ("urgent", 9), ("soon", 5)]:
        alice.execute("select pgqueue.launch('select 1', label => %s, priority => %s)", [label, priority])

    claims = worker.claim()

    assert [claim.job["label"] for claim in claims] == ["urgent", "soon", "first", "second"]


@pytest.mark.parametrize("due", ["delay => '1 h'", "eta => now() + interval '1 h'"])
def test_a_delayed_job_is_not_claimed_before_it_is_due(alice, owner, worker, due):
    alice.execute(f"select pgqueue.launch('select 1', {due})")
    assert worker.claim() == []

    owner.execute("update pgqueue.message set due_at = now() - interval '1 s'")

    assert len(worker.claim()) == 1


def test_a_due_time_in_the_past_means_now(alice, worker):
    alice.execute("select pgqueue.launch('select 1', eta => now() - interval '1 year')")
    alice.execute("select pgqueue.launch('select 1', delay => '0')")

    assert len(worker.claim()) == 2


def test_a_job_that_expired_before_it_began_is_expired_and_runs_nothing(alice, owner, worker):
    handle = fetch_value(
        alice, "select pgqueue.launch('create table never_made ()', expires => now() + interval '1 h')"
    )
    owner.execute("update pgqueue.message set expires_at = now() - interval '1 s'")

    assert worker.run_next() == "expired"

    job = job_of(alice, handle)
    assert (job["state"], job["sqlstate"]) == ("expired", "57014")
    assert "expired" in job["error"]


def test_a_worker_is_told_the_timeout_in_milliseconds(alice, worker):
    alice.execute("select pgqueue.launch('select 1', timeout => '1.5 s')")

    assert worker.claim_one().job["timeout_ms"] == 1500


def test_worker_timeout_is_the_timeout_of_jobs_that_name_none(alice, worker):
    alice.execute("set pgqueue.worker_timeout = '3 s'")
    alice.execute("select pgqueue.launch('select 1')")
    alice.execute("select pgqueue.enqueue('select 1', timeout => '1 s')")
    alice.execute("select pgqueue.enqueue_many(array['select 1'])")

    assert [claim.job["timeout_ms"] for claim in worker.claim()] == [3000, 1000, 3000]


def test_a_worker_timeout_of_0_is_none(alice, worker):
    alice.execute("set pgqueue.worker_timeout = 0")
    alice.execute("select pgqueue.launch('select 1')")

    assert worker.claim_one().job["timeout_ms"] is None


@EVERY_WAY_IN
def test_asynchronous_durability_reaches_the_job(alice, worker, way_in):
    alice.execute(f"select pgqueue.{way_in}('show synchronous_commit', durability => 'async')")

    assert worker.claim_one().job["settings"]["synchronous_commit"] == "off"


def test_max_workers_bounds_the_unfinished_jobs_of_a_session(db, alice, worker):
    alice.execute("set pgqueue.max_workers = 2")
    alice.execute("select pgqueue.launch('select 1'), pgqueue.submit('select 1')")

    with pytest.raises(Exception, match="too many background workers") as raised:
        alice.execute("select pgqueue.launch('select 1')")
    assert raised.value.sqlstate == "53400"
    assert "2 unfinished jobs" in raised.value.diag.message_detail

    other = db.connect("alice")
    other.execute("set pgqueue.max_workers = 2")
    other.execute("select pgqueue.launch('select 1')")
    worker.run_all()
    alice.execute("select pgqueue.launch('select 1')")


def test_a_statement_of_a_megabyte_and_of_any_characters_arrives_unchanged(alice, worker):
    statement = "select 'ä\u20ac\U0001f418 \\ '' \" \t\r\n $1 %s' /* " + "x" * 1_000_000 + " */"
    handle = fetch_value(alice, "select pgqueue.launch(%s)", [statement])

    claim = worker.claim_one()

    assert claim.job["sql"] == statement
    assert fetch_value(alice, "select pgqueue.statement(%s::pgqueue.handle)", [handle]) == statement
    assert worker.run(claim) == "succeeded"
    assert fetch_value(alice, "select pgqueue.statement(%s::pgqueue.handle)", [handle]) == statement


def test_enqueue_many_returns_a_handle_for_each_statement_in_order(alice, worker):
    handles = alice.execute(
        "select * from pgqueue.enqueue_many(array['select 1', 'select 2', 'select 3'], queue => 'many', priority => 3)"
    ).fetchall()

    claims = worker.claim("many")

    assert [claim.id for claim in claims] == [handle[0] for handle in handles]
    assert [claim.job["sql"] for claim in claims] == ["select 1", "select 2", "select 3"]
    assert len({handle[1] for handle in handles}) == 3


def test_enqueue_many_shares_parameters_and_options_and_keeps_results(alice, worker):
    handles = alice.execute(
        """select pgqueue.enqueue_many(array['select $1::int', 'select 10 * $1::int'], array['7'], label => 'both',
                                       keep_result => true)"""
    ).fetchall()
    claims = worker.claim()
    assert [claim.job["label"] for claim in claims] == ["both", "both"]
    assert [worker.run(claim) for claim in claims] == ["succeeded", "succeeded"]

    answers = [
        fetch_value(alice, "select * from pgqueue.result(%s::pgqueue.handle) as (x int)", [handle[0]])
        for handle in handles
    ]

    assert answers == [7, 70]


def test_enqueue_many_takes_a_unique_key_for_each(alice, worker):
    enqueue = (
        "select id from pgqueue.enqueue_many(array['select 1', 'select 2', 'select 3', 'select 4'], unique_keys => %s)"
    )
    taken = fetch_value(alice, "select (pgqueue.enqueue('select 0', unique_key => 'b')).id")

    (first,), (second,), (third,), (fourth,) = alice.execute(enqueue, [["a", "b", None, "a"]]).fetchall()

    assert (second, fourth) == (taken, first)
    assert [claim.job["sql"] for claim in worker.claim()] == ["select 0", "select 1", "select 3"]
    assert [row[0] for row in alice.execute(enqueue, [["a", "b", None, "a"]])][:2] == [first, second]
    assert third not in (first, second)


def test_enqueue_many_returns_handles_in_order_with_and_without_keys(alice, worker):
    keys = [f"k{n % 40}" if n % 3 else None for n in range(100)]
    statements = [f"select {n}" for n in range(100)]
    taken = fetch_value(alice, "select (pgqueue.enqueue('select 0', unique_key => 'k1')).id")

    ids = [
        row[0]
        for row in alice.execute(
            "select id from pgqueue.enqueue_many(%s::text[], unique_keys => %s::text[])", [statements, keys]
        )
    ]

    sql_of = {claim.id: claim.job["sql"] for claim in worker.claim(max_count=500)}
    for n, key in enumerate(keys):
        first = n if key is None else keys.index(key)
        assert ids[n] == (taken if key == "k1" else ids[first])
        assert sql_of[ids[n]] == ("select 0" if key == "k1" else f"select {first}")
    assert len(sql_of) == len(set(ids))


@pytest.mark.parametrize("keys", ["null", "array['a', 'b', null]"])
def test_each_job_of_a_set_has_a_cookie_of_its_own(alice, keys):
    handles = alice.execute(
        f"select id, cookie from pgqueue.enqueue_many(array['select 1', 'select 2', 'select 3'], unique_keys => {keys})"
    ).fetchall()
    (first, cookie), (second, _other), (third, _another) = handles

    assert len({cookie for _id, cookie in handles}) == 3
    for job in (second, third):
        assert refused(alice, "select pgqueue.cancel(row(%s, %s)::pgqueue.handle)", [job, cookie]).sqlstate == "55000"
    assert fetch_value(alice, "select pgqueue.cancel(row(%s, %s)::pgqueue.handle)", [first, cookie]) is True


def test_enqueue_many_refuses_keys_that_do_not_match_the_statements(alice):
    for keys in ("array['a']", "'{}'", "array[['a', 'b']]"):
        call = f"select pgqueue.enqueue_many(array['select 1', 'select 2'], unique_keys => {keys})"
        assert refused(alice, call).sqlstate == "22023", keys


def test_enqueue_many_of_nothing_is_nothing(alice):
    assert alice.execute("select pgqueue.enqueue_many('{}')").fetchall() == []


@pytest.mark.parametrize("way_in", ["launch", "submit", "enqueue"])
def test_a_delay_ends_by_the_clock_of_the_session(alice, worker, way_in):
    alice.execute("set timezone = 'Europe/Berlin'")
    (expected,) = alice.execute("select extract(epoch from clock_timestamp() + interval '7 mon')").fetchone()

    job_id = fetch_value(alice, f"select (pgqueue.{way_in}('select 1', delay => '7 mon')).id")

    due = fetch_value(alice, "select extract(epoch from eta) from pgqueue.jobs where id = %s", [job_id])
    assert abs(due - expected) < 60


def test_a_role_that_may_not_log_in_and_has_no_runner_is_told_at_once_that_it_can_keep_no_result(db, owner, worker):
    db.create_role("app_owner", options="nologin")
    db.execute("update pgqueue.role_key set result_runner = null where role = 'app_owner'::regrole")
    db.create_role("app")
    owner.execute("create schema shop; grant usage on schema shop to public; grant create on schema shop to app_owner")
    for name, call in {
        "launch": "pgqueue.launch('select 1')",
        "launch_later": "pgqueue.launch('select 1', delay => '1 h')",
        "enqueue": "pgqueue.enqueue('select 1', keep_result => true)",
        "submit": "pgqueue.submit('select 1')",
        "many": "pgqueue.enqueue_many(array['select 1'], keep_result => true)",
    }.items():
        owner.execute(
            f"create function shop.{name}() returns void language plpgsql security definer set search_path = pg_catalog, pg_temp "
            f"as $$ begin perform {call}; end $$; alter function shop.{name}() owner to app_owner"
        )
    app = db.connect("app")

    for name in ("launch", "launch_later", "enqueue", "many"):
        error = refused(app, f"select shop.{name}()")
        assert (error.sqlstate, error.diag.message_primary) == (
            "55000",
            'role "app_owner" may not log in, so its jobs cannot keep a result',
        )
        assert "alter role app_owner login" in error.diag.message_hint
    app.execute("select shop.submit()")
    owner.execute("alter role app_owner login")
    app.execute("select shop.launch()")
    assert fetch_value(owner, "select count(*) from pgqueue.message") == 2


TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.mark.parametrize("way_in", ["launch", "submit", "enqueue", "enqueue_many"])
def test_a_job_has_the_traceparent_that_it_was_given_as_a_setting(alice, worker, way_in):
    statement = "array['select 1']" if way_in == "enqueue_many" else "'select 1'"

    alice.execute(f"select pgqueue.{way_in}({statement}, traceparent => %s)", [TRACEPARENT])

    [claim] = worker.claim()
    assert claim.job["settings"]["pgqueue.traceparent"] == TRACEPARENT


@pytest.mark.parametrize("bad", ["", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331", TRACEPARENT.upper(), "x"])
def test_what_is_no_traceparent_is_refused(alice, bad):
    for way_in in ("launch", "enqueue"):
        error = refused(alice, f"select pgqueue.{way_in}('select 1', traceparent => '{bad}')")
        assert (error.sqlstate, error.diag.message_primary) == ("22023", f'traceparent "{bad}" is not one')
