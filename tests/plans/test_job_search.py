"""The search behind the pages of jobs reads indexes, a bounded number of pages a step, and only the days that are asked for."""

import pytest

from tests.plans.explained import plan_of

#: As many jobs as make the table far larger than a step; what a step touches does not grow with it.
FILL = """insert into pgqueue.history (id, cookie, launched_at, ended_at, submitter, state, kept, priority, attempts, queue, sql, label, error)
          select 1000000 + n, n, now() - (200000 - n) * interval '1 s', now() - (200000 - n) * interval '1 s', 'alice'::regrole,
                 case when n % 20 = 0 then 'failed' else 'succeeded' end::pgqueue.job_state, 'none', 0, 1, 'q' || n % 20, 'select ' || n, 'l' || n % 1000,
                 case when n % 20 = 0 then '{"sqlstate": "22012", "message": "division by zero"}'::jsonb end
          from generate_series(1, 200000) n"""
FILL_ATTEMPTS = """insert into pgqueue.attempt (id, attempt, submitter, ended_at, error)
                   select h.id, 1, h.submitter, h.ended_at, h.error from pgqueue.history h where h.state = 'failed'"""
FILTERS = [
    "null",
    "'succeeded'",
    "'canceled'",
    "'failed'",
    "'queued'",
    "null, queue => 'q7'",
    "null, queue => 'nowhere'",
    "null, label => 'l7'",
    "null, submitter => 'alice'",
    "null, statement => 'select 77'",
    "null, sqlstate => '22012'",
    "null, error => 'by zero'",
    "null, since => now() - interval '1 h'",
    "'succeeded', until => now() - interval '40 h'",
]
MISSING = ["queue", "label", "submitter", "statement", "sqlstate", "error", "since", "until", "before"]


@pytest.fixture(scope="module")
def history(crowd):
    crowd.owner.execute(FILL)
    crowd.owner.execute(FILL_ATTEMPTS)
    crowd.owner.execute("select setval('pgqueue.message_id_seq', 2000000)")
    crowd.owner.execute("vacuum analyze pgqueue.history")
    crowd.owner.execute("vacuum analyze pgqueue.attempt")
    yield crowd
    crowd.owner.execute("truncate pgqueue.history, pgqueue.attempt")


@pytest.mark.parametrize("filters", FILTERS)
def test_a_page_reads_indexes_and_a_bounded_part(history, filters):
    missing = "".join(f", {name} => null" for name in MISSING if f"{name} =>" not in filters)
    _, plans = history.explained.run(
        f"select pgqueue._search_jobs({filters}{missing}, max_count => 50, patience => '0')"
    )

    search = [plan for plan in plans if "pgqueue" in plan.statement]
    # Daily tables that are empty may be read whole.
    assert not {name for plan in search for name in plan.scanned} & {"message", "attempt", "history_default"}
    # One step: 500 rows at first, 1,000 failures, each found by its number, with what the rows need of others.
    assert max(plan.buffers for plan in search) < 12_000
    assert {"history_default_id_idx", "message_pkey"} & {name for plan in search for name in plan.indexes}


def test_a_step_of_failures_reads_the_small_table(history):
    _, plans = history.explained.run("select pgqueue._search_step(9223372036854775807, 'failures', null, null, true)")
    plan = plan_of(plans, "select min(a.id), max(a.id) + 1 from")

    assert plan.indexes == {"attempt_id"}


def test_an_hour_of_throughput_reads_a_bounded_number_of_pages(history):
    _, plans = history.explained.run("select count(*) from pgqueue._throughput()")

    # Of each part of the history a hundred places of each of at most 200 pages, which then are in memory. After midnight the last hour
    # is in two parts.
    parts = [plan for plan in plans if "jsonb_build_array" in plan.statement]
    assert 0 < max(plan.buffers for plan in parts) < 25_000
    assert not {name for plan in plans for name in plan.scanned} & {"history_default"}
