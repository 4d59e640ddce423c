"""Schedules in real workers: on time, and each slot once whatever dies."""

import pytest

from tests.harness import eventually
from tests.harness.people import fetch_value

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

ARGUMENTS = ("--concurrency=1", "--executors=1")


@pytest.mark.every_server
def test_an_idle_worker_fires_on_time(db, start_worker, alice, owner):
    start_worker(db, arguments=ARGUMENTS)
    alice.execute("select pgqueue.schedule('every', '2 seconds', 'select 1')")

    eventually(lambda: fetch_value(alice, "select count(*) >= 5 from pgqueue.schedule_runs"), timeout=30)

    late = fetch_value(alice, "select max(extract(epoch from late_by))::float8 from pgqueue.schedule_runs")
    assert late < 0.5
    assert fetch_value(alice, "select min(extract(epoch from late_by)) >= 0 from pgqueue.schedule_runs")


def test_what_is_written_as_cron_is_planned_at_once(db, start_worker, alice):
    start_worker(db, arguments=ARGUMENTS)
    alice.execute("select pgqueue.schedule('a', '0 2 * * *', 'select 1', timezone => 'Europe/Berlin')")

    eventually(lambda: fetch_value(alice, "select next_at is not null from pgqueue.schedules"), timeout=2)

    assert fetch_value(alice, "select extract(hour from next_at at time zone timezone) from pgqueue.schedules") == 2


@pytest.mark.every_server
def test_each_slot_is_fired_once_though_a_worker_is_killed(db, start_worker, alice, owner):
    owner.execute("create table public.slot (id bigint unique); grant all on public.slot to alice")
    alice.execute(
        "select pgqueue.schedule('s' || n, '1 second', 'insert into public.slot (id) values (current_setting(''pgqueue.job_id'')::bigint)',"
        " overlap => 'queue', catch_up => 'all') from generate_series(1, 20) n"
    )
    first = start_worker(db, arguments=ARGUMENTS)
    start_worker(db, arguments=ARGUMENTS)
    eventually(lambda: fetch_value(alice, "select count(*) >= 60 from pgqueue.schedule_runs"), timeout=60)

    first.kill()
    eventually(lambda: fetch_value(alice, "select count(*) >= 160 from pgqueue.schedule_runs"), timeout=60)

    alice.execute("select pgqueue.pause_schedule(name) from pgqueue.schedules")
    twice, holes = alice.execute(
        """select count(*) filter (where gap = interval '0'), count(*) filter (where gap > interval '1.001 s')
           from (select due_at - lag(due_at) over (partition by name order by due_at) as gap
                 from pgqueue.schedule_runs where outcome = 'enqueued') g"""
    ).fetchone()
    assert (twice, holes) == (0, 0)
    fired = fetch_value(alice, "select count(*) from pgqueue.schedule_runs where outcome = 'enqueued'")
    eventually(lambda: fetch_value(alice, "select count(*) = %s from public.slot", [fired]), timeout=60)
