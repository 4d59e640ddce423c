"""What schedules that are not due cost the upkeep."""

from __future__ import annotations

import json

from tests.harness import Database
from tests.harness.people import fetch_value

FILL = """insert into pgqueue.schedule (owner, name, expression, every, timezone, sql, settings, queue, priority, overlap, catch_up, anchor_at,
                                        consumed_until, next_at, planned_until)
          select 10, 's' || n, '1 day', '1 day', 'UTC', 'select 1', '{}', 'default', 0, 'skip', 'last', now(), now(), now() + n * interval '1 s' + interval '1 h', 'infinity'
          from generate_series(1, 10000) n"""
DUE = """select s.id from pgqueue.schedule s
         where s.enabled and s.next_at <= clock_timestamp()::timestamptz(6) and (s.catch_up = 'all' or s.planned_until > now())
         order by s.next_at limit 1000 for update skip locked"""


def test_ten_thousand_that_are_not_due_cost_some_pages(db: Database) -> None:
    owner = db.connect()
    owner.execute(FILL)
    owner.execute("analyze pgqueue.schedule")
    now = fetch_value(owner, "select clock_timestamp()")
    due = DUE.replace("clock_timestamp()::timestamptz(6)", f"'{now.isoformat()}'::timestamptz")

    [plan] = fetch_value(owner, f"explain (analyze, buffers, format json) {due}")

    assert "schedule_next_at" in json.dumps(plan)
    assert plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"] <= 6
