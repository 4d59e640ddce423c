"""Schedules: what is refused, who may do what, and what becomes of what is due. Workers' planning is played here."""

import json
from datetime import datetime, timedelta, timezone

import pytest

from pgqueue.broker.consuming.plan_schedules import plan
from tests.harness.people import fetch_one, fetch_value, refused

INVALID = [
    ("0 0 31 2 *", "22023", "a day that no month of it has"),
    ("0 0 30 FEB MON", "22023", "a day that no month of it has"),
    ("0 0 31 4,6,9,11 *", "22023", "a day that no month of it has"),
    ("61 * * * *", "22023", 'minute "61" is out of range'),
    ("0 24 * * *", "22023", 'hour "24" is out of range'),
    ("0 0 0 * *", "22023", 'day of month "0" is out of range'),
    ("0 0 32 * *", "22023", 'day of month "32" is out of range'),
    ("0 0 * 13 *", "22023", 'month "13" is out of range'),
    ("0 0 * * 8", "22023", 'day of week "8" is out of range'),
    ("0 0 * JANUARY *", "22023", '"JANUARY" is not a month'),
    ("0 0 * XXX *", "22023", 'month "XXX" is out of range'),
    ("0 0 * * MON#6", "22023", '"MON#6" is not a day of week'),
    ("*/0 * * * *", "22023", 'step of minute "*/0" is out of range'),
    ("*/60 * * * *", "22023", 'step of minute "*/60" is out of range'),
    ("5/2 * * * *", "22023", 'step "5/2" of minute has no range'),
    ("0 0 * * 6/1", "22023", 'step "6/1" of day of week has no range'),
    ("5-1 * * * *", "22023", 'range "5-1" of minute ends before it begins'),
    ("1,,2 * * * *", "22023", '"" is not a minute'),
    ("-5 * * * *", "22023", '"-5" is not a minute'),
    ("* * * *", "22023", "is not understood"),
    ("* * * * * *", "22023", "has six fields"),
    ("every day", "22023", "is not understood"),
    ("", "22023", "is not understood"),
    ("@reboot", "22023", "has no instant"),
    ("@fortnightly", "22023", "is not understood"),
    ("@every", "22023", "is not an interval"),
    ("@every now", "22023", "is not an interval"),
    ("0 seconds", "22023", "is out of range"),
    ("0.1 seconds", "22023", "is out of range"),
    ("400 days", "22023", "is out of range"),
    ("@every 3 months", "22023", "counts months"),
]
OPTIONS = [
    ("timezone => 'Europe/Atlantis'", "22023", 'time zone "Europe/Atlantis" is not known'),
    ("timezone => null", "22023", 'time zone "NULL" is not known'),
    ("overlap => 'both'", "22023", 'overlap "both" is not known'),
    ("catch_up => 'some'", "22023", 'catch_up "some" is not known'),
    ("catch_up => 'all', overlap => 'skip'", "22023", 'catch_up "all" cannot go with overlap "skip"'),
    ("jitter => '2 days'", "22023", "jitter is out of range"),
    ("ends_at => '2020-01-01'", "22023", "ends_at is not after now"),
    ("starts_at => 'infinity'", "22023", "starts_at is not finite"),
    ("ends_at => '20000-01-01'", "22023", "ends_at is later than the year 9998"),
    ("queue => null", "22023", "queue name must have 1 to 255 bytes"),
    ("queue => 'w.celery.pidbox'", "42501", 'permission denied for queue "w.celery.pidbox"'),
    ("priority => 10", "22023", "priority 10 is out of range"),
    ("timeout => '0'", "22023", "timeout must be positive and finite"),
    ("max_attempts => 0", "22023", "max_attempts 0 is out of range"),
]


def put(session, name="a", when="1 hour", sql="select 1", **options):
    more = "".join(f", {option} => %({option})s" for option in options)
    return fetch_value(
        session,
        f"select pgqueue.schedule(%(name)s, %(when)s, %(sql)s{more})",
        {"name": name, "when": when, "sql": sql, **options},
    )


def pass_time(owner, **interval):
    """As if everything in the schedules had been so much earlier."""
    owner.execute(
        "update pgqueue.schedule set anchor_at = anchor_at - %(i)s::interval, consumed_until = consumed_until - %(i)s::interval,"
        " next_at = next_at - %(i)s::interval, later_at = array(select i - %(i)s::interval from unnest(later_at) i),"
        " planned_until = planned_until - %(i)s::interval",
        {"i": timedelta(**interval)},
    )


def plan_all(worker):
    """What a worker does with what is to be planned."""
    rows = worker.session.execute("select * from pgqueue._schedules_to_plan(100)").fetchall()
    plans = json.dumps([plan(row) for row in rows])
    return fetch_value(worker.session, "select pgqueue._plan_schedules(%s::jsonb)", [plans])


def runs(session):
    return session.execute("select name, outcome, missed, error from pgqueue.schedule_runs order by id").fetchall()


def jobs(session):
    return fetch_value(session, "select count(*) from pgqueue.jobs")


@pytest.mark.parametrize(("when", "sqlstate", "message"), INVALID, ids=[row[0] or "nothing" for row in INVALID])
def test_what_is_no_schedule_is_refused_at_the_door_with_a_hint(alice, when, sqlstate, message):
    error = refused(alice, "select pgqueue.schedule('a', %s, 'select 1')", [when])

    assert (error.sqlstate, message in str(error.diag.message_primary)) == (sqlstate, True), error
    assert error.diag.message_hint is not None
    assert "\n" not in str(error.diag.message_primary)
    assert fetch_value(alice, "select count(*) from pgqueue.schedules") == 0


@pytest.mark.parametrize(("option", "sqlstate", "message"), OPTIONS, ids=[row[0] for row in OPTIONS])
def test_options_that_make_no_sense_are_refused_at_the_door(alice, option, sqlstate, message):
    error = refused(alice, f"select pgqueue.schedule('a', '* * * * *', 'select 1', {option})")

    assert (error.sqlstate, error.diag.message_primary) == (sqlstate, message)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("@daily", "0 0 * * *"),
        ("@Hourly", "0 * * * *"),
        ("  0   2 * jan-mar,dec mon-fri ", "0 2 * JAN-MAR,DEC MON-FRI"),
        ("0 0 L * *", "0 0 L * *"),
        ("0 0 * * 5L", "0 0 * * 5L"),
        ("10-50/20,7 */4 1,15 * *", "10-50/20,7 */4 1,15 * *"),
    ],
)
def test_what_is_a_schedule_is_kept_as_five_fields(alice, given, meant):
    put(alice, when=given)

    assert fetch_value(alice, "select cron from pgqueue.schedules") == meant


@pytest.mark.parametrize(
    ("given", "seconds"),
    [("30 seconds", 30), ("@every 90 seconds", 90), ("@every 1.5 hours", 5400), ("1 day", 86400), ("@every 30s", 30)],
)
def test_intervals_are_counted_from_when_they_were_scheduled(alice, given, seconds):
    put(alice, when=given)

    every, first = fetch_one(alice, "select every, next_at - created_at from pgqueue.schedules")
    assert every == timedelta(seconds=seconds)
    assert abs(first - every) < timedelta(seconds=1)


def test_task_schedules_check_their_arguments(alice):
    for task, args, message in [("", "[]", "task cannot be empty"), ("t", "{}", "args must be a JSON array")]:
        error = refused(alice, "select pgqueue.schedule_task('a', '@daily', %s, %s)", [task, args])
        assert (error.sqlstate, error.diag.message_primary) == ("22023", message)


def test_scheduling_again_replaces_and_does_not_put_the_next_run_off(alice, owner):
    first = put(alice)
    pass_time(owner, minutes=10)
    before = fetch_value(alice, "select next_at from pgqueue.schedules")

    again = put(alice, sql="select 2", label="other")

    assert again == first
    assert fetch_one(alice, "select runs, label, next_at from pgqueue.schedules") == ("select 2", "other", before)
    put(alice, when="2 hours")
    assert fetch_value(alice, "select next_at > clock_timestamp() + interval '1 h 59 min' from pgqueue.schedules")


def test_a_schedule_of_a_transaction_that_rolls_back_never_was(alice):
    alice.execute("begin")
    put(alice)
    alice.execute("rollback")

    assert fetch_value(alice, "select count(*) from pgqueue.schedules") == 0


def test_what_is_due_is_enqueued_once_as_its_owner_with_the_settings_of_the_session(alice, owner, worker):
    alice.execute("set work_mem = '7MB'")
    put(alice, sql="select $1", params=["x"], queue="q", priority=3, label="l", timeout="1 min", max_attempts=2)
    pass_time(owner, minutes=61)

    worker.tick()
    worker.tick()

    rows = owner.execute(
        "select pg_get_userbyid(submitter), sql, params, queue, priority, label, timeout, max_attempts, settings ->> 'work_mem' from pgqueue.message"
    ).fetchall()
    assert rows == [("alice", "select $1", ["x"], "q", 3, "l", timedelta(minutes=1), 2, "7MB")]
    assert runs(alice) == [("a", "enqueued", 0, None)]
    assert fetch_value(alice, "select next_at > clock_timestamp() from pgqueue.schedules")
    assert fetch_one(alice, "select last_state, last_job is not null from pgqueue.schedules") == ("queued", True)


def test_a_job_that_was_scheduled_runs(alice, owner, worker):
    owner.execute("create table public.done (by text); grant all on public.done to alice")
    put(alice, sql="insert into public.done values (current_user)")
    pass_time(owner, minutes=61)
    worker.tick()

    worker.run_next()

    assert fetch_value(alice, "select by from public.done") == "alice"
    assert fetch_value(alice, "select last_state from pgqueue.schedules") == "succeeded"


def test_a_task_that_is_due_is_sent_as_celerys_message(alice, owner, worker):
    alice.execute("select pgqueue.schedule_task('t', '1 hour', 'shop.digest', '[\"eu\"]', queue => 'mail')")
    pass_time(owner, minutes=61)

    worker.tick()

    queue, payload = fetch_one(owner, "select queue, payload from pgqueue.message")
    assert (queue, payload["headers"]["task"]) == ("mail", "shop.digest")
    assert json.loads(payload["body"])[:2] == [["eu"], {}]
    assert payload["headers"]["id"] == fetch_value(alice, "select task_id from pgqueue.schedule_runs")


MISSED = {
    "none": [("a", "missed", 3, None)],
    "last": [("a", "enqueued", 2, None)],
    "all": [("a", "enqueued", 0, None)] * 3,
}


@pytest.mark.parametrize("catch_up", MISSED)
@pytest.mark.parametrize("when", ["1 hour", "0 * * * *"])
def test_what_was_missed_is_caught_up_with_as_the_schedule_says(alice, owner, worker, when, catch_up):
    # Some minutes after the last of three, whatever the clock says now.
    put(alice, when=when, catch_up=catch_up)
    if when == "1 hour":
        pass_time(owner, hours=3.5)
    else:
        now = datetime.now(timezone.utc)
        hour = now.replace(minute=0, second=0, microsecond=0)
        owner.execute("update pgqueue.schedule set consumed_until = %s", [hour - timedelta(hours=3)])
        plan_all(worker)
        pass_time(owner, seconds=(hour - now + timedelta(minutes=5)).total_seconds())

    worker.tick()
    worker.tick()

    assert runs(alice) == MISSED[catch_up]
    assert jobs(alice) == sum(run[1] == "enqueued" for run in MISSED[catch_up])
    assert fetch_value(alice, "select next_at > clock_timestamp() from pgqueue.schedules")


def test_without_catching_up_a_run_that_is_on_time_is_none_that_was_missed(alice, owner, worker):
    put(alice, catch_up="none")
    pass_time(owner, minutes=60, seconds=5)

    worker.tick()

    assert runs(alice) == [("a", "enqueued", 0, None)]


def test_one_run_at_a_time_unless_runs_may_queue(alice, owner, worker):
    put(alice, "one")
    put(alice, "many", overlap="queue")
    for _ in range(2):
        pass_time(owner, minutes=61)
        worker.tick()

    assert sorted(run[:2] for run in runs(alice)) == [
        ("many", "enqueued"),
        ("many", "enqueued"),
        ("one", "enqueued"),
        ("one", "skipped"),
    ]


def test_paused_nothing_is_fired_and_what_was_due_meanwhile_does_not_come(alice, owner, worker):
    put(alice)
    assert fetch_value(alice, "select pgqueue.pause_schedule('a')") is True
    assert fetch_value(alice, "select pgqueue.pause_schedule('a')") is False
    pass_time(owner, hours=5)
    worker.tick()
    assert runs(alice) == []

    assert fetch_value(alice, "select pgqueue.resume_schedule('a')") is True
    worker.tick()

    assert runs(alice) == []
    assert fetch_one(alice, "select enabled, next_at > clock_timestamp() from pgqueue.schedules") == (True, True)


def test_run_schedule_enqueues_now_and_leaves_the_instants_alone(alice):
    put(alice)
    before = fetch_value(alice, "select next_at from pgqueue.schedules")

    job = fetch_value(alice, "select pgqueue.run_schedule('a')")

    assert fetch_value(alice, "select id from pgqueue.jobs") == job
    assert fetch_value(alice, "select pgqueue.run_schedule('a')") is None, "its run has not ended"
    assert fetch_value(alice, "select next_at from pgqueue.schedules") == before
    assert alice.execute("select outcome, is_manual from pgqueue.schedule_runs order by id").fetchall() == [
        ("enqueued", True),
        ("skipped", True),
    ]


def test_alter_schedule_changes_what_is_given_and_keeps_the_rest(alice, owner):
    alice.execute("set work_mem = '7MB'")
    put(alice, label="l", params=["x"])
    alice.execute("reset work_mem")

    alice.execute("select pgqueue.alter_schedule('a', sql => 'select 2', priority => 5)")

    assert fetch_one(
        owner, "select sql, priority, label, params, settings ->> 'work_mem', every from pgqueue.schedule"
    ) == (
        "select 2",
        5,
        "l",
        ["x"],
        "7MB",
        timedelta(hours=1),
    )
    error = refused(alice, "select pgqueue.alter_schedule('a', args => '[1]')")
    assert error.diag.message_primary == 'schedule "a" runs SQL'


def test_a_schedule_that_does_not_exist_is_said_to(alice):
    for call in (
        "unschedule('x')",
        "pause_schedule('x')",
        "resume_schedule('x')",
        "run_schedule('x')",
        "alter_schedule('x')",
    ):
        assert refused(alice, f"select pgqueue.{call}").sqlstate == "42704", call


def test_what_was_removed_is_not_fired_and_its_runs_stay(alice, owner, worker):
    put(alice)
    alice.execute("select pgqueue.run_schedule('a'), pgqueue.unschedule('a')")

    worker.tick()

    assert fetch_value(alice, "select count(*) from pgqueue.schedules") == 0
    assert runs(alice) == [("a", "enqueued", 0, None)]


def test_the_schedules_of_a_role_that_is_unenrolled_pause_and_say_so(db, alice, owner, worker):
    put(alice)

    boss = db.connect(db.create_role("boss"))
    owner.execute("grant pgqueue_admin to boss")
    owner.execute("select pgqueue.unenroll('alice')")

    assert fetch_one(boss, "select enabled, error from pgqueue.schedules") == (
        False,
        'paused: role "alice" is not enrolled in pgqueue',
    )
    pass_time(owner, hours=2)
    worker.tick()
    assert fetch_value(boss, "select count(*) from pgqueue.schedule_runs") == 0
    owner.execute("select pgqueue.enroll('alice')")
    assert fetch_value(boss, "select pgqueue.resume_schedule('a', owner => 'alice')") is True
    assert fetch_one(boss, "select enabled, error from pgqueue.schedules") == (True, None)


def test_a_role_over_its_quota_is_refused_the_run_and_the_schedule_goes_on(alice, owner, worker):
    put(alice)
    pass_time(owner, minutes=61)
    owner.execute("update pgqueue.role_key set over_quota = 'messages'")

    owner.execute("select pgqueue._fire_schedules(10)")

    assert runs(alice) == [("a", "refused", 0, "the role has more messages than one role may have")]
    assert fetch_value(alice, "select next_at > clock_timestamp() from pgqueue.schedules")


def test_one_that_cannot_be_enqueued_stops_no_other(alice, owner, worker):
    put(alice, "good")
    put(alice, "bad")
    owner.execute("update pgqueue.schedule set queue = 'x.pidbox' where name = 'bad'")
    pass_time(owner, minutes=61)

    worker.tick()

    assert sorted((run[0], run[1]) for run in runs(alice)) == [("bad", "refused"), ("good", "enqueued")]
    assert fetch_value(alice, "select error from pgqueue.schedule_runs where name = 'bad'").startswith(
        "permission denied"
    )
    assert fetch_value(owner, "select count(*) from pgqueue.upkeep_failure where part = 'schedules'") == 0


def test_what_only_the_evaluation_finds_is_shown_and_stops_no_other(alice, owner, worker):
    put(alice, "good", "0 2 * * *")
    put(alice, "bad", "0 2 * * *")
    owner.execute("update pgqueue.schedule set timezone = 'Europe/Atlantis' where name = 'bad'")

    assert plan_all(worker) == 2

    rows = alice.execute("select name, error, next_at is null from pgqueue.schedules order by name").fetchall()
    assert rows == [("bad", 'time zone "Europe/Atlantis" is not known to Python here', True), ("good", None, False)]


def test_a_plan_is_not_taken_for_a_schedule_that_was_changed_meanwhile(alice, worker):
    put(alice, when="0 2 * * *")
    rows = worker.session.execute("select * from pgqueue._schedules_to_plan(100)").fetchall()
    put(alice, when="0 3 * * *")

    taken = fetch_value(worker.session, "select pgqueue._plan_schedules(%s::jsonb)", [json.dumps([plan(rows[0])])])

    assert taken == 0
    assert fetch_value(alice, "select next_at from pgqueue.schedules") is None


def test_a_clock_that_steps_back_fires_nothing_twice(alice, owner, worker):
    put(alice, when="1 second", overlap="queue")
    pass_time(owner, seconds=2)
    worker.tick()
    fired = runs(alice)

    # As if it were two minutes earlier: what has been fired lies in the future.
    pass_time(owner, minutes=-2)
    worker.tick()

    assert runs(alice) == fired


def test_many_that_are_due_are_enqueued_in_sets(alice, owner, worker):
    alice.execute("select pgqueue.schedule('s' || n, '1 hour', 'select 1') from generate_series(1, 900) n")
    pass_time(owner, minutes=61)

    worker.tick()

    assert jobs(alice) == 900
    assert fetch_value(owner, "select count(distinct xmin::text) from pgqueue.message") == 1


def test_a_role_has_no_more_schedules_than_it_may(db, alice, owner, superuser):
    superuser.execute(f'alter database "{db.name}" set pgqueue.max_schedules = 2')
    put(alice, "a")
    put(alice, "b")

    error = refused(alice, "select pgqueue.schedule('c', '@daily', 'select 1')")

    assert (error.sqlstate, put(alice, "b") is not None) == ("53400", True)


def test_old_runs_are_forgotten(alice, owner, worker):
    put(alice)
    alice.execute("select pgqueue.run_schedule('a')")
    owner.execute("update pgqueue.schedule_run set fired_at = fired_at - interval '8 days'")

    worker.tick()

    assert runs(alice) == []


CELERY = [
    ("crontab(0 2 * * *)", "crontab(0 2 * * *)"),
    ("CronTab( */5  22-3 1,15 * MON-fri )", "crontab(*/5 22-3 1,15 * mon-fri)"),
    ("solar(sunset,52.52, -13.40)", "solar(sunset, 52.52, -13.40)"),
    ("schedule(3600, relative)", "schedule(3600, relative)"),
]
NOT_CELERY = [
    ("crontab(0 2 * *)", "is not understood"),
    ("crontab(0 2 * * * *)", "is not understood"),
    ("crontab(0 2 * * ;)", "is not understood"),
    ("solar(moonrise, 1, 2)", "is not understood"),
    ("solar(sunset, 1)", "is not understood"),
    ("solar(sunset, 91, 2)", "is not on Earth"),
    ("solar(sunset, 1, -181)", "is not on Earth"),
    ("schedule(0.5, relative)", "is out of range"),
    ("schedule(3600)", "is not understood"),
]


@pytest.mark.parametrize(("given", "meant"), CELERY)
def test_a_schedule_of_celerys_is_kept_in_one_form(alice, worker, given, meant):
    put(alice, when=given, timezone="Europe/Berlin")
    plan_all(worker)

    assert fetch_one(alice, "select cron, next_at > now(), error from pgqueue.schedules") == (meant, True, None)


@pytest.mark.parametrize(("when", "message"), NOT_CELERY)
def test_what_is_no_schedule_of_celerys_is_refused_at_the_door(alice, when, message):
    error = refused(alice, "select pgqueue.schedule('a', %s, 'select 1')", [when])

    assert (error.sqlstate, message in str(error.diag.message_primary)) == ("22023", True), error
    assert error.diag.message_hint is not None


def test_what_only_celery_finds_wrong_is_shown(alice, worker):
    put(alice, when="crontab(0 0 31 2 *)")
    plan_all(worker)

    assert "never occurs in month_of_year" in fetch_value(alice, "select error from pgqueue.schedules")


def sent_message(owner):
    return fetch_value(owner, "select payload from pgqueue.message order by id desc limit 1")


def test_a_task_is_sent_with_the_options_of_its_schedule(alice, owner):
    alice.execute(
        "select pgqueue.schedule_task('a', '1 hour', 'shop.a', headers => '{\"tenant\": \"eu\"}', expires => '10 min', ignore_result => true,"
        " link => 'shop.b', errback => 'shop.c')"
    )
    alice.execute("select pgqueue.run_schedule('a')")
    message = sent_message(owner)

    assert (message["headers"]["tenant"], message["headers"]["ignore_result"]) == ("eu", True)
    expires = datetime.fromisoformat(message["headers"]["expires"]) - datetime.now(timezone.utc)
    assert timedelta(minutes=9) < expires <= timedelta(minutes=10)
    assert fetch_value(
        owner,
        "select expires_at between clock_timestamp() + interval '9 min' and clock_timestamp() + interval '10 min' from pgqueue.message",
    )
    callbacks = json.loads(message["body"])[2]
    assert (callbacks["callbacks"][0]["task"], callbacks["errbacks"][0]["task"]) == ("shop.b", "shop.c")


def test_one_option_of_a_task_is_altered_and_the_others_stay(alice, owner):
    alice.execute(
        "select pgqueue.schedule_task('a', '1 hour', 'shop.a', headers => '{\"tenant\": \"eu\"}', link => 'shop.b')"
    )
    alice.execute("select pgqueue.alter_schedule('a', headers => '{\"tenant\": \"us\"}', queue => 'mail')")
    alice.execute("select pgqueue.run_schedule('a')")
    message = sent_message(owner)

    assert message["headers"]["tenant"] == "us"
    assert message["properties"]["delivery_info"]["routing_key"] == "mail"
    assert json.loads(message["body"])[2]["callbacks"][0]["task"] == "shop.b"
    put(alice, name="sql")
    assert refused(alice, "select pgqueue.alter_schedule('sql', link => 'shop.b')").sqlstate == "22023"


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("headers => '[]'", "headers must be a JSON object"),
        ("expires => '0'", "expires is out of range"),
        ("expires => '11 years'", "expires is out of range"),
        ("link => ' '", "link cannot be empty"),
        ("errback => ''", "errback cannot be empty"),
    ],
)
def test_options_of_a_task_that_make_no_sense_are_refused(alice, option, message):
    error = refused(alice, f"select pgqueue.schedule_task('a', '1 hour', 'shop.a', {option})")

    assert (error.sqlstate, error.diag.message_primary) == ("22023", message)
    assert error.diag.message_hint is not None
