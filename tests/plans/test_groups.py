"""What a group of jobs costs beside the jobs: reading them and ending them touches about as much as each by itself."""

import psycopg
import pytest

from tests.plans.explained import plan_of

COUNT = 100
TAKE = "select array_agg(row(t.place"
FINISH = "with said as materialized"
CHECKS = "select exists (select from pgqueue.dependency"


@pytest.fixture
def claims(crowd):
    """A hundred jobs in a worker's hands; ready again afterwards."""
    found = crowd.worker.claim("busy", max_count=COUNT)
    yield found
    crowd.worker.release(*found, undelivered=True)


def run_group(crowd, claims):
    """Take and end the jobs as a group does, and undo it; return the plans. Not slower than a group may be."""
    ids, tokens = [claim.id for claim in claims], [claim.token for claim in claims]
    session = crowd.explained.session
    for _ in range(20):
        session.execute("begin")
        try:
            _, taken = crowd.explained.run(f"select pgqueue_take.takes_{claims[0].message}(%s, %s)", [ids, tokens])
            _, finished = crowd.explained.run(
                "select pgqueue_run.finish_group(%s, %s, %s, array_fill(now(), array[100]), array_fill(now(), array[100]), 'w1')",
                [ids, tokens, [1] * COUNT],
            )
        except psycopg.errors.QueryCanceled:
            continue  # a busy machine
        finally:
            session.execute("rollback")
        return taken, finished
    raise AssertionError("the machine is too busy")


def test_a_group_reads_and_ends_its_jobs_by_index_and_touches_about_its_size(crowd, claims):
    assert len(claims) == COUNT
    for _ in range(3):
        taken, finished = run_group(crowd, claims)

    take, finish, checks = plan_of(taken, TAKE), plan_of(finished, FINISH), plan_of(finished, CHECKS)
    assert take.indexes == {"message_pkey"}
    assert take.buffers < 12 * COUNT
    assert finish.indexes >= {"message_pkey", "activity_pkey"}
    assert finish.buffers < 30 * COUNT
    assert not any({"message", "activity", "request", "dependency"} & plan.scanned for plan in (take, finish, checks))
    assert checks.buffers < 8 * COUNT


def test_a_look_at_what_runs_reads_each_session_once_however_many_jobs_it_has(crowd, claims):
    sessions = [crowd.explained.session.info.backend_pid, *(1_000_000 + n for n in range(3))]
    pids = [sessions[n % 4] for n in range(COUNT)]
    ids, tokens = [claim.id for claim in claims], [claim.token for claim in claims]

    rows, plans = crowd.explained.run("select * from pgqueue._oversee(%s, %s, %s, 50, 2000)", [ids, tokens, pids])

    assert rows == []
    look = plan_of(plans, "with slow as materialized")
    reads = [node for node in look.nodes() if node.get("Function Name") == "pg_stat_get_activity"]
    assert sum(node["Actual Loops"] for node in reads) == 4
