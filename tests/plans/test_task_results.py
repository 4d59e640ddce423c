"""Each statement of the result backend finds its rows by index, however many results, chords and waiters there are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.harness import Database
from tests.harness.servers import Servers
from tests.plans.explained import Explained, Plan, plan_of

FILL = """
insert into pgqueue.task_result (task_id, stored_at, expires_at, state, content_type, payload)
select 'task-' || n, now() - n % 2 * interval '1 day', now() + interval '1 day', 'SUCCESS', 'application/json', '{}'
from generate_series(1, 100000) n;
insert into pgqueue.chord (group_id, size, returned, expires_at)
select 'chord-' || n, 100, 99, now() + interval '1 day' from generate_series(1, 20000) n;
insert into pgqueue.chord_part (group_id, place, task_id, payload)
select 'chord-' || n, place, n || '-' || place, '{}' from generate_series(1, 500) n, generate_series(1, 99) place;
insert into pgqueue.task_group (id, expires_at, payload)
select 'group-' || n, now() + interval '1 day', '{}' from generate_series(1, 20000) n;
insert into pgqueue.result_waiter (task_id, pid)
select 'awaited-' || n, 1 + n % 50 from generate_series(1, 50000) n;
analyze pgqueue.task_result, pgqueue.chord, pgqueue.chord_part, pgqueue.task_group, pgqueue.result_waiter;
"""


@dataclass(frozen=True)
class Results:
    """100,000 results, 20,000 chords, 500 of which miss one part, 20,000 groups, 50,000 waits of other sessions."""

    db: Database
    explained: Explained


@pytest.fixture(scope="module")
def results(request: pytest.FixtureRequest, servers: Servers) -> Iterator[Results]:
    db = Database(servers.get(request.config.getoption("--pg-bin")))
    try:
        db.execute("select pgqueue._make_partitions()")
        for statement in FILL.split(";\n"):
            if statement.strip():
                db.execute(statement)
        yield Results(db, Explained(db))
    finally:
        db.close()


@pytest.fixture(autouse=True)
def undone(results: Results) -> Iterator[None]:
    """Each test leaves the tables as it found them."""
    results.explained.session.execute("begin")
    yield
    results.explained.session.execute("rollback")


def read_from_end_to_end(plans: list[Plan]) -> set[str]:
    """The tables that a statement read whole, those that are empty aside."""
    return {
        node["Relation Name"]
        for plan in plans
        for node in plan.nodes()
        if node["Node Type"] == "Seq Scan" and node["Shared Hit Blocks"] + node["Shared Read Blocks"] > 0
    }


def most_buffers(plans: list[Plan]) -> int:
    """Pages that the greediest of the statements touched, those that only call others aside."""
    return max(plan.buffers for plan in plans if not plan.statement.startswith("select pgqueue."))


@pytest.mark.parametrize("count", [1, 100])
def test_reading_results_touches_their_rows(results: Results, count: int) -> None:
    ids = [f"task-{n}" for n in range(1, count + 1)]
    results.explained.run("select * from pgqueue._task_results(%s)", [ids])  # now the catalogs are known

    rows, plans = results.explained.run("select * from pgqueue._task_results(%s)", [ids])

    assert len(rows) == count
    plan = plan_of(plans, "select wanted.id, best.state")
    assert not read_from_end_to_end([plan])
    # A look into the index of each partition, and a row.
    assert plan.buffers < 40 * count + 60


def test_storing_a_result_touches_one_partition_and_the_waits_for_it(results: Results) -> None:
    store = "select pgqueue._store_task_result(%s, 'SUCCESS', 'application/json', '{}', '1 day')"
    results.explained.run(store, ["awaited-1"])

    _, plans = results.explained.run(store, ["awaited-2"])

    assert not read_from_end_to_end(plans)
    assert most_buffers(plans) < 30


def test_news_are_read_by_what_the_session_waits_for(results: Results) -> None:
    results.explained.run("select pgqueue._await_results(%s)", [["task-7", "task-8", "nothing"]])

    rows, plans = results.explained.run(
        "select * from pgqueue._collect_results(%s, false)", [["task-7", "task-8", "nothing"]]
    )

    assert sorted(row[1] for row in rows) == ["task-7", "task-8"]
    plan = plan_of(plans, "with news as materialized")
    assert not read_from_end_to_end([plan])
    assert "result_waiter_pid" in plan.indexes
    assert plan.buffers < 200


def test_waiting_no_more_touches_the_sessions_own_waits(results: Results) -> None:
    results.explained.run("select pgqueue._await_results(%s)", [["a", "b"]])

    _, plans = results.explained.run("select pgqueue._stop_awaiting(%s, false)", [["a", "b"]])

    assert not read_from_end_to_end(plans)
    assert most_buffers(plans) < 40


def test_a_part_of_a_chord_touches_its_chord(results: Results) -> None:
    add = "select pgqueue._add_chord_part(%s, 100, 'last', '{}', '1 day')"
    results.explained.run(add, ["chord-1"])

    rows, plans = results.explained.run(add, ["chord-2"])

    assert rows == [(True,)]
    assert not read_from_end_to_end(plans)
    assert most_buffers(plans) < 60


def test_reading_the_parts_of_a_chord_touches_those(results: Results) -> None:
    results.explained.run("select * from pgqueue._chord_parts('chord-3')")

    rows, plans = results.explained.run("select * from pgqueue._chord_parts('chord-4')")

    assert len(rows) == 99
    assert not read_from_end_to_end(plans)
    assert max(plan.buffers for plan in plans) < 200


def test_finishing_a_chord_touches_its_parts(results: Results) -> None:
    _, plans = results.explained.run("select pgqueue._finish_chord('chord-5')")

    assert not read_from_end_to_end(plans)
    assert max(plan.buffers for plan in plans) < 99 * 6


def test_a_group_is_found_by_its_id(results: Results) -> None:
    results.explained.run("select pgqueue._task_group('group-1'::text)")

    _, plans = results.explained.run("select pgqueue._task_group('group-2'::text)")

    assert not read_from_end_to_end(plans)


def test_expiring_looks_at_what_has_expired(results: Results) -> None:
    _, plans = results.explained.run("select pgqueue._expire_task_results()")

    for table in ("chord", "task_group"):
        plan = plan_of(plans, f"delete from pgqueue.{table}")
        assert f"{table}_expires_at" in plan.indexes
        assert not read_from_end_to_end([plan])
        assert plan.buffers < 30
