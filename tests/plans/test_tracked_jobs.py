"""What a session's past jobs cost its next launch with pg_background's names."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.harness import Database
from tests.harness.servers import Servers
from tests.plans.explained import Explained, plan_of

ARGUMENTS = """jsonb_build_object('session_id', 77, 'max_tracked', 16, 'kept', 'none', 'settings', '{}'::jsonb, 'sql', 'select 1', 'options', '{"queue": "q", "priority": 0}'::jsonb,
                              'queue_size', 65536, 'cookie', pgqueue._random_bigint())"""
LAUNCH = f"select pgqueue._launch_tracked(current_user::regrole, {ARGUMENTS})"
#: Nobody vacuums meanwhile: what it deletes cannot be cleaned away before it commits.
PAST = f"""do $$ begin
  for n in 1 .. 3000 loop
    perform pgqueue._untrack(current_user::regrole, jsonb_build_object('session_id', 77, 'pid', a ->> 'pid'))
    from (select pgqueue._launch_tracked(current_user::regrole, {ARGUMENTS})) l (a);
  end loop;
end $$"""


@pytest.fixture
def explained(request: pytest.FixtureRequest, servers: Servers) -> Iterator[Explained]:
    db = Database(servers.get(request.config.getoption("--pg-bin")))
    try:
        yield Explained(db)
    finally:
        db.close()


def pages_of_counting(explained: Explained) -> int:
    _, plans = explained.run(LAUNCH)
    plan = plan_of(plans, "select count(*) filter")
    assert "tracked_job_pkey" in plan.indexes
    return plan.buffers


@pytest.mark.slow
def test_a_launch_does_not_read_past_what_was_launched_before(explained: Explained) -> None:
    explained.session.execute(
        "set auto_explain.log_min_duration = -1; set enable_seqscan = off; set enable_bitmapscan = off"
    )
    explained.session.execute("begin")
    explained.session.execute(PAST)
    explained.session.execute("set auto_explain.log_min_duration = 0")

    assert pages_of_counting(explained) < 10
    assert pages_of_counting(explained) < 10
    explained.session.execute("rollback")
