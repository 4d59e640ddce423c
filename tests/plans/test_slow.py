"""What pgqueue.slow reads of a long history: the end of an index, not the table."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.harness import Database
from tests.harness.servers import Servers
from tests.plans.explained import Explained, plan_of

#: More than the view covers.
JOBS = 150_000
FILL = """
insert into pgqueue.history (id, cookie, launched_at, started_at, ended_at, submitter, state, kept, priority, attempts, queue, sql, label)
select 1000000 + g, 1, now(), t.at - interval '5 ms', t.at, 'alice'::regrole, 'succeeded', 'none', 0, 1, 'q' || g %% 3,
       'select ' || g || ' + $1', case when g %% 2 = 0 then 'label ' || g %% 5 end
from generate_series(1, %(jobs)s) g, lateral (select now() - interval '1 ms' * (%(jobs)s - g) as at) t
"""


@pytest.fixture(scope="module")
def long(request: pytest.FixtureRequest, servers: Servers) -> Iterator[tuple[Database, Explained]]:
    db = Database(servers.get(request.config.getoption("--pg-bin")))
    try:
        db.create_role("alice")
        owner = db.connect()
        owner.execute(FILL, {"jobs": JOBS})
        owner.execute("vacuum analyze pgqueue.history")
        yield db, Explained(db)
    finally:
        db.close()


@pytest.mark.parametrize("source", ["pgqueue.slow", "pgqueue.slow_jobs('1 hour')"])
def test_the_view_reads_the_newest_jobs_by_an_index_and_no_more(long: tuple[Database, Explained], source: str) -> None:
    _, explained = long

    [(calls,)], plans = explained.run(f"select sum(calls) from {source}")

    plan = plan_of(plans, "select sum(calls)" if source == "pgqueue.slow" else "select s.* from pgqueue.slow s")
    assert calls == 10_000
    assert not {name for name in plan.scanned if name.startswith("history") and name != "history_default"}
    assert any(name.startswith("history") for name in plan.indexes)
    # 10,000 rows of some 100 bytes, in the order of the table, and the pages of the index.
    assert plan.buffers < 12_000
