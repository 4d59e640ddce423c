"""The search in jobs behind the pages of operators: filters, pages, and who finds what."""

import json
from datetime import timedelta

from tests.harness.people import fetch_value

NAMES = ("state", "queue", "label", "submitter", "statement", "sqlstate", "error", "since", "until", "before")
TYPES = {"since": "timestamptz", "until": "timestamptz", "before": "bigint"}


def search(session, *, max_count=50, patience="10 s", **filters):
    assert set(filters) <= set(NAMES)
    named = ", ".join(f"{name} => %({name})s::{TYPES.get(name, 'text')}" for name in NAMES)
    values = {**dict.fromkeys(NAMES), **filters, "max_count": max_count, "patience": patience}
    return fetch_value(
        session, f"select pgqueue._search_jobs({named}, max_count => %(max_count)s, patience => %(patience)s)", values
    )


def ids(session, **filters):
    return [job["id"] for job in search(session, **filters)["jobs"]]


def submit(session, sql, **options):
    named = "".join(f", {name} => %({name})s" for name in options)
    return fetch_value(session, f"select (pgqueue.submit(%(sql)s{named})).id", {"sql": sql, **options})


def test_each_filter_finds_what_the_view_of_jobs_has(db, alice, owner, worker):
    good = submit(alice, "select 'fine'", label="good")
    bad = submit(alice, "select 1 / 0 as spoilt", label="bad 1", queue="bills")
    worker.run_all()
    worker.run_all("bills")
    waiting = submit(alice, "select 'later'", delay="1 h", label="bad 2")
    canceled = submit(alice, "select 'never'", delay="1 h")
    alice.execute("select pgqueue.cancel(j.handle) from pgqueue.jobs j where id = %s", [canceled])

    everything = [canceled, waiting, bad, good]
    assert ids(owner) == everything
    for state, found in {
        "failed": [bad], "succeeded": [good], "canceled": [canceled], "queued": [waiting], "running": [], "expired": [],
    }.items():  # fmt: skip
        assert ids(owner, state=state) == found, state
    assert ids(owner, queue="bills") == [bad]
    assert ids(owner, label="bad%") == [waiting, bad]
    assert ids(owner, label="bad 1") == [bad]
    assert ids(owner, submitter="alice") == everything
    assert ids(owner, submitter="bob") == []
    assert ids(owner, statement="spoilt") == [bad]
    assert ids(owner, statement="select '%'") == [canceled, waiting, good]
    assert ids(owner, sqlstate="22012") == [bad]
    assert ids(owner, error="by zero") == [bad]
    assert ids(owner, error="division%", state="failed", queue="bills") == [bad]
    assert ids(owner, state="canceled", sqlstate="57014") == [canceled]
    now = fetch_value(owner, "select clock_timestamp()")
    assert (ids(owner, since=now), ids(owner, until=now)) == ([], everything)
    assert ids(owner, state="failed", since=now) == []
    assert ids(owner, since=now - timedelta(hours=1)) == everything


def test_a_statement_is_searched_beyond_its_preview(alice, owner):
    id = submit(alice, f"select 1 -- {'x' * 500} needle")

    assert ids(owner, statement="needle") == [id]


def test_pages_follow_each_other_without_gaps_while_jobs_end_and_come(alice, owner, worker):
    alice.execute("select pgqueue.enqueue_many(array_fill('select 1'::text, array[25]))")
    everything = [id for (id,) in owner.execute("select id from pgqueue.jobs order by id desc")]
    seen, before = [], None
    while True:
        page = search(owner, max_count=10, before=before)
        seen += [job["id"] for job in page["jobs"]]
        assert page["was_cut_off"] is False
        if page["next"] is None:
            break
        before = page["next"]
        worker.run_next("default")
        submit(alice, "select 'new'")

    assert seen == everything


def test_a_search_without_patience_says_how_far_it_came_and_goes_on_from_there(alice, owner):
    alice.execute("select pgqueue.enqueue_many(array_fill('select 1'::text, array[600]), label => 'many')")
    first = fetch_value(owner, "select min(id) from pgqueue.jobs")
    owner.execute("update pgqueue.message set label = 'the oldest' where id = %s", [first])

    cut = search(owner, label="the oldest", patience="0")
    assert (cut["jobs"], cut["was_cut_off"]) == ([], True)
    rest = search(owner, label="the oldest", before=cut["next"], patience="0")
    assert [job["id"] for job in rest["jobs"]] == [first]


def test_a_role_finds_its_own_jobs_and_a_monitor_finds_all_without_what_they_contain(db, alice, bob, owner, worker):
    secret = "select 'the-secret'::int"
    id = submit(alice, secret, label="leaky")
    worker.run_all()
    watch = db.connect(db.create_role("watch", enrolled=False))
    owner.execute("grant pgqueue_monitor to watch")

    assert ids(alice, error="the-secret") == ids(alice, statement="the-secret") == [id]
    assert ids(bob) == ids(bob, error="the-secret") == ids(bob, state="failed") == []
    found = search(watch, state="failed")
    assert [job["id"] for job in found["jobs"]] == [id]
    assert "the-secret" not in json.dumps(found)
    assert ids(watch, statement="the-secret") == ids(watch, error="the-secret") == ids(watch, error="%") == []
    for column in ("statement", "params", "notices"):
        assert fetch_value(watch, f"select {column} from pgqueue.job_content where id = %s", [id]) is None
    assert bob.execute("select from pgqueue.job_content").fetchall() == []


def test_no_page_has_a_handle(alice, owner):
    submit(alice, "select 1")

    assert "handle" not in search(owner)["jobs"][0]


def test_the_throughput_counts_jobs_that_ended_by_minute(db, alice, owner, worker):
    for n in range(6):
        submit(alice, "select 1" if n % 3 else "select 1 / 0")
    worker.run_all()
    owner.execute(
        "update pgqueue.history set ended_at = ended_at - interval '90 min' where id = (select min(id) from pgqueue.history)"
    )

    rows = owner.execute(
        "select queue, sum(succeeded)::int, sum(failed)::int, bool_or(is_estimate), max(minutes_ago) from pgqueue._throughput() group by 1"
    ).fetchall()
    assert rows == [("default", 4, 1, False, 0)] or rows == [("default", 4, 1, False, 1)]


def test_the_throughput_of_a_full_hour_is_estimated_from_a_sample(alice, owner):
    owner.execute(
        """insert into pgqueue.history (id, cookie, launched_at, ended_at, submitter, state, kept, priority, attempts, queue, sql)
           select n, n, t, t, 'alice'::regrole, case when n % 10 = 0 then 'failed' else 'succeeded' end::pgqueue.job_state, 'none', 0, 1, 'q', repeat('x', 100)
           from (select n, now() - interval '2 h' + n * interval '2 h' / 60000 as t from generate_series(1, 60000) n) s"""
    )
    rows = owner.execute(
        "select sum(succeeded)::int, sum(failed)::int, bool_and(is_estimate), count(distinct minutes_ago) from pgqueue._throughput()"
    ).fetchone()

    assert rows[2:] == (True, 60)
    assert abs(rows[0] - 27000) < 2700
    assert abs(rows[1] - 3000) < 900


def test_a_job_that_no_worker_can_run_is_found_among_the_failed_ones(db, alice, owner, superuser):
    watch = db.connect(db.create_role("watch"))
    owner.execute("grant pgqueue_monitor to watch")
    id = submit(alice, "select 1")
    owner.execute("update pgqueue.message set submitter = 4294967290, state = 'claimed', token = 7 where id = %s", [id])
    assert fetch_value(owner, "select pgqueue._defer_job(%s, 7, 'no login', '1 s', '1 s')", [id]) is True

    assert ids(watch, state="failed") == ids(superuser, state="failed") == [id]
    # Nobody else is a member of a role that does not exist any more, so the text of its errors is for superusers.
    assert (ids(watch, error="does not exist any more"), ids(superuser, error="does not exist any more")) == ([], [id])


def test_a_canceled_job_is_found_by_its_sqlstate_in_any_state(alice, owner):
    canceled = submit(alice, "select 'never'", delay="1 h")
    alice.execute("select pgqueue.cancel(j.handle) from pgqueue.jobs j where id = %s", [canceled])

    assert ids(owner, sqlstate="57014") == [canceled]


def test_the_steps_of_a_search_tell_a_role_nothing_of_the_jobs_of_others(alice, bob):
    step = "select beginning, ending from pgqueue._search_step(%s, %s, null, null, true)"
    waiting = [submit(bob, "select 1", delay="1 h") for _ in range(3)]
    last = waiting[-1]

    for part in ("waiting", "ended", "failures", "all"):
        for before in (9223372036854775807, last + 1, last, 2):
            assert alice.execute(step, [before, part]).fetchone() == (1, min(before, last + 1))
    assert alice.execute(step, [1, "waiting"]).fetchone() == (None, None)
    assert ids(bob) == waiting[::-1]
    assert ids(alice) == []
