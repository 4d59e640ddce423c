"""Filters over many failed jobs read an index, and a job that succeeds pays nothing for those that fail."""

import pytest

from tests.plans.explained import plan_of

FILL = """insert into pgqueue.failed_job (id, ended_at, submitter, queue, label, sqlstate, error, kept, top_level, priority, sql, params, settings)
          select 1000000 + n, now() - n * interval '1 s', 'alice'::regrole, 'q' || n % 200, 'l' || n % 1000, case when n % 500 = 0 then '40P01' else '22012' end,
                 'division by zero', 'none', false, 0, 'select $1', array[n::text], '{"search_path": "public"}'
          from generate_series(1, 200000) n"""
FILTERS = [
    ("queue => 'q7'", "failed_job_queue"),
    ("label => 'l7'", "failed_job_label"),
    ("sqlstate => '40P01'", "failed_job_sqlstate"),
    ("since => now() - interval '3 min'", "failed_job_ended_at"),
    ("until => now() - interval '55 h'", "failed_job_ended_at"),
    ("queue => 'q7', since => now() - interval '10 h', error => 'zero'", "failed_job_queue"),
]


@pytest.fixture(scope="module")
def failures(crowd):
    crowd.owner.execute(FILL)
    crowd.owner.execute("vacuum analyze pgqueue.failed_job")
    yield crowd
    crowd.owner.execute("truncate pgqueue.failed_job")


@pytest.mark.parametrize("act", ["retry_jobs", "discard_jobs"])
@pytest.mark.parametrize(("filters", "index"), FILTERS)
def test_a_filter_reads_its_index_and_about_the_batch(failures, act, filters, index):
    session = failures.explained.session
    session.execute("begin")
    [(count,)], plans = failures.explained.run(f"select pgqueue.{act}({filters}, max_count => 50)")
    session.execute("rollback")

    assert count == 50
    plan = plan_of(plans, "with wanted as materialized ( select f.*")
    assert index in plan.indexes
    assert "failed_job" not in plan.scanned
    # For a row: what is read, locked, inserted with the indexes of the queue, and marked.
    assert plan.buffers < 50 * 60


def test_a_job_that_succeeds_reads_and_writes_nothing_of_failures(crowd):
    [claim] = crowd.worker.claim("busy", max_count=1)
    session = crowd.explained.session
    session.execute("begin")
    _, begun = crowd.explained.run(f"select pgqueue_take.take_{claim.message}(%s, %s)", [claim.id, claim.token])
    _, plans = crowd.explained.run("select pgqueue_run.finish_job(%s, %s, '1 on ', 'w1')", [claim.id, claim.token])
    session.execute("rollback")
    crowd.worker.release(claim, undelivered=True)

    touched = {node["Relation Name"] for plan in [*begun, *plans] for node in plan.nodes() if "Relation Name" in node}
    assert touched
    assert not touched & {"failed_job", "attempt", "job_order"}
    finish = plan_of(plans, "with gone as ( delete from pgqueue.message")
    assert finish.indexes == {"message_pkey"}
