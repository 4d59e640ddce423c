"""What monitoring costs while the queue is long: it reads ranges of indexes and a sample of pages."""

from __future__ import annotations

import json

from tests.plans.conftest import Crowd
from tests.plans.explained import plan_of

MOST_PAGES = 300


def test_the_numbers_of_messages_cost_the_same_however_many_there_are(crowd: Crowd) -> None:
    rows, plans = crowd.explained.run("select * from pgqueue._messages()")

    plan = plan_of(plans, "with recursive place")
    assert {(row[0], row[2]) for row in rows} >= {("busy", "ready"), ("busy", "delayed"), ("q19", "ready")}
    assert plan.scanned == set()
    assert plan.indexes == {"message_ready", "message_keyed", "message_delayed", "message_claimed"}
    # Of 400,000 rows: the sample, 1,000 delayed rows, and some pages for each of the 22 queues.
    assert plan.buffers < MOST_PAGES * 2 + 1_200 + 22 * 40


def test_a_backlog_reads_no_more_than_its_bound(crowd: Crowd) -> None:
    [(count,)], plans = crowd.explained.run("select pgqueue.backlog('busy', 1000)")

    plan = plan_of(plans, "select (select count(*) from (select from pgqueue.message m")
    assert count == 1000
    assert plan.scanned == set()
    assert plan.indexes >= {"message_ready", "message_delayed", "message_claimed"}
    assert "message_pkey" not in plan.indexes
    assert plan.buffers < 150


def test_the_backlog_of_an_empty_queue_reads_some_pages(crowd: Crowd) -> None:
    [(count,)], plans = crowd.explained.run("select pgqueue.backlog('nobody', 1000)")

    plan = plan_of(plans, "select (select count(*) from (select from pgqueue.message m")
    assert count == 0
    assert plan.buffers < 40


def test_totals_are_read_from_counters(crowd: Crowd) -> None:
    _rows, plans = crowd.explained.run("select * from pgqueue._job_totals()")

    assert "history" not in json.dumps([plan.root for plan in plans])
