"""The capacity model: cases whose answer is known, the walls, and the page that shows what was measured."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
import simpy

from benchmarks.capacity import tables
from benchmarks.capacity.__main__ import main
from benchmarks.capacity.checking import Run, check
from benchmarks.capacity.model import costs_of, heartbeat_cores, kind_named
from benchmarks.capacity.simulated_server import Cores
from benchmarks.capacity.simulated_worker import Costs, Warmth
from benchmarks.capacity.simulation import Site, percentile_of, simulate
from benchmarks.capacity.walls import find_all
from benchmarks.capacity.workloads import GROUPED, JOB, TASK, WAITING, Kind
from benchmarks.generated import read_from, write_into

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
#: One call for each job, so that a job is served by one executor at a time.
SINGLE = {"worker": 0.0, "group": 0, "chunk": 1}
MEASURED: dict[str, Any] = {
    "machine": {"cores": 2, "flush_seconds": 0.0005, "wal_bandwidth": 4e8},
    "claims": {"empty_us": 100, "one_us": 520, "hundred_us": 2_500, "heartbeat_us": 2_000, "heartbeat_without_upkeep_us": 300},
    "standing": {"idle_server": 0.002, "idle_worker": 0.001, "server": 0.012, "worker": 0.006},
    "running": {
        "job": {"rate": 5_000, "server_us": 200, "worker_us": 40, "child_us": 0, "wal_bytes": 1_400, "claims": 0.01, "calls": 0.02},
        "job, 5 ms more for a flush": {"rate": 400, "server_us": 450, "worker_us": 90, "child_us": 0, "wal_bytes": 1_400, "claims": 0.05, "calls": 0.1},
        "job, group_commit 100": {"rate": 15_000, "server_us": 90, "worker_us": 20, "child_us": 0, "wal_bytes": 1_400, "claims": 0.01, "calls": 0.01},
        "job that waits 20 ms": {"rate": 180, "server_us": 720, "worker_us": 240, "child_us": 0, "wal_bytes": 1_500, "claims": 0.1, "calls": 0.5},
        "job that waits 5 ms": {"rate": 600, "server_us": 480, "worker_us": 110, "child_us": 0, "wal_bytes": 1_500, "claims": 0.02, "calls": 0.1},
        "task, result ignored": {"rate": 1_500, "server_us": 90, "worker_us": 550, "child_us": 150, "wal_bytes": 2_000, "claims": 0.05, "calls": 0},
        "task that waits 20 ms": {"rate": 45, "server_us": 1_100, "worker_us": 2_000, "child_us": 350, "wal_bytes": 2_000, "claims": 1, "calls": 0},
        "task that waits 5 ms": {"rate": 180, "server_us": 450, "worker_us": 1_300, "child_us": 300, "wal_bytes": 2_000, "claims": 0.4, "calls": 0},
    },
    "idling": [
        {"workers": 10, "server_cpu": 0.01, "session_mib": 5.0},
        {"workers": 1_000, "server_cpu": 1.5, "session_mib": 5.0},
    ],
}  # fmt: skip


def test_one_core_with_a_fixed_service_time_does_as_much_as_it_has_time_for() -> None:
    outcome = simulate(Costs(server=0.01, **SINGLE), Site(1, 0.0), workers=1, executors=4, seconds=5)

    assert outcome.rate == pytest.approx(100, rel=0.02)
    assert outcome.wall == "server"


@pytest.mark.slow
def test_jobs_that_arrive_at_random_wait_as_long_as_queueing_theory_says() -> None:
    service, load = 0.001, 0.7

    outcome = simulate(
        Costs(server=service, **SINGLE), Site(1, 0.0), workers=1, executors=1, rate=load / service, seconds=15
    )

    # Pollaczek and Khinchine, for a fixed service time.
    expected = service + load * service / (2 * (1 - load))
    assert sum(outcome.latencies) / len(outcome.latencies) == pytest.approx(expected, rel=0.1)
    assert outcome.rate == pytest.approx(load / service, rel=0.03)
    assert outcome.wall == "nothing"
    assert percentile_of(outcome.latencies, 0.99) > expected


def test_the_same_seed_gives_the_same_outcome_and_another_one_another() -> None:
    def run(seed: int) -> tuple[float, list[float]]:
        outcome = simulate(
            Costs(server=0.002, **SINGLE), Site(1, 0.001), workers=2, executors=2, rate=200, seconds=1, seed=seed
        )
        return outcome.rate, outcome.latencies

    first = run(7)
    assert run(7) == first
    assert run(8) != first


def test_executors_that_wait_for_commits_share_flushes_so_more_of_them_do_more() -> None:
    costs, site = Costs(server=0.00001, worker=0.0, chunk=1), Site(32, 0.005)

    one, many = (simulate(costs, site, workers=1, executors=n) for n in (1, 16))

    assert one.rate == pytest.approx(200, rel=0.05), "one commit for each flush"
    assert many.rate > 7 * one.rate
    assert many.wall == "commits"


def test_a_group_of_jobs_takes_one_flush() -> None:
    site = Site(32, 0.005)
    single = simulate(Costs(server=0.00001, worker=0.0), site, workers=1, executors=1)

    grouped = simulate(Costs(server=0.00001, worker=0.0, group=100), site, workers=1, executors=1)

    assert grouped.rate > 10 * single.rate


def test_a_disk_that_takes_so_many_bytes_bounds_the_rate_whatever_is_grouped() -> None:
    costs = Costs(server=0.00001, worker=0.0, group=100, wal_bytes=2_000)

    outcome = simulate(costs, Site(32, 0.0001, wal_bandwidth=20e6), workers=8, executors=4, seconds=2)

    assert outcome.rate == pytest.approx(10_000, rel=0.1)
    assert outcome.use["disk"] > 0.95


def test_jobs_that_wait_are_bound_by_the_executors_until_the_cores_are_used_up() -> None:
    costs, site = Costs(server=0.001, worker=0.0, waits=0.02, group=0, chunk=1), Site(2, 0.0)

    few, many = (simulate(costs, site, workers=n, executors=4) for n in (1, 64))

    assert (few.rate, few.wall) == (pytest.approx(4 / 0.021, rel=0.05), "waits")
    assert (many.rate, many.wall) == (pytest.approx(2_000, rel=0.05), "server")


def test_the_python_of_a_worker_has_one_core_and_another_worker_has_its_own() -> None:
    costs, site = Costs(server=0.0001, worker=0.002, group=0), Site(8, 0.0)

    one, two = (simulate(costs, site, workers=n, executors=8) for n in (1, 2))

    assert (one.rate, one.wall) == (pytest.approx(500, rel=0.05), "python")
    assert two.rate == pytest.approx(1_000, rel=0.05)


def test_workers_beyond_max_connections_do_nothing() -> None:
    costs = Costs(server=0.0001, worker=0.0, waits=0.02, group=0)
    site = Site(8, 0.0, max_connections=20)

    outcome = simulate(costs, site, workers=100, executors=7, connections=3)

    assert outcome.wall == "connections"
    assert outcome.rate == pytest.approx(simulate(costs, site, workers=2, executors=7).rate, rel=0.02)
    assert simulate(costs, Site(8, 0.0, max_connections=5), workers=1, executors=7).rate == 0


def test_programs_beside_it_and_heartbeats_leave_less_of_the_cores() -> None:
    costs = Costs(server=0.001, worker=0.0, group=0)

    outcome = simulate(costs, Site(2, 0.0, busy_cores=0.5), workers=4, executors=4, idle_cpu=0.5)

    assert outcome.rate == pytest.approx(1_000, rel=0.05)
    assert simulate(costs, Site(2, 0.0), workers=4, executors=4, idle_cpu=2.5).wall == "heartbeats"


@pytest.mark.parametrize("kind", [JOB, GROUPED, WAITING, TASK])
def test_the_costs_of_a_kind_give_back_what_was_measured_of_it(kind: Kind) -> None:
    costs, found, standing = costs_of(MEASURED, kind), MEASURED["running"][kind.name], MEASURED["standing"]

    # Jobs that wait were measured after a pause.
    server = (
        costs.server
        + (costs.server_cold if kind.waits else 0.0)
        + costs.claim * found["claims"]
        + costs.claim_each
        + costs.server_call * found["calls"]
    )
    worker = costs.worker + costs.worker_claim * found["claims"] + costs.worker_call * found["calls"]

    all_the_time = standing["idle_server"] if kind.is_task else standing["server"]
    assert server + all_the_time / found["rate"] == pytest.approx(found["server_us"] / 1e6)
    assert worker + costs.worker_standing / found["rate"] == pytest.approx(found["worker_us"] / 1e6)
    assert costs.child == found["child_us"] / 1e6
    assert costs.server_standing == pytest.approx(0.0 if kind.is_task else 0.01), "the heartbeats are another figure"


def test_the_cost_of_a_call_is_what_jobs_cost_more_that_have_one_for_themselves() -> None:
    costs = costs_of(MEASURED, JOB)

    beside = 0.012 / 180 - 0.012 / 600 + costs.claim * 0.08
    assert costs.server_call == pytest.approx((240e-6 - beside) / 0.4)
    assert costs.worker_call == pytest.approx((130e-6 - 0.006 / 180 + 0.006 / 600) / 0.4)
    assert costs.server_cold > 100e-6, "after a pause a job costs more than its claims and calls do"
    assert costs.pauses == (4 / 5_000, 4 / 400)
    assert costs_of(MEASURED, WAITING).waits == 0.02
    assert costs_of(MEASURED, WAITING).server == costs.server


def test_the_cost_of_a_claim_is_what_tasks_cost_more_that_have_one_for_themselves() -> None:
    costs = costs_of(MEASURED, TASK)

    assert costs.claim == pytest.approx((650e-6 - 0.002 / 45 + 0.002 / 180) / 0.6)
    assert costs.worker_claim == pytest.approx((700e-6 - 0.001 / 45 + 0.001 / 180) / 0.6)
    assert costs.child_cold == pytest.approx(150e-6)
    assert costs.worker_cold > 100e-6


def test_a_pause_costs_in_proportion_between_the_two_that_were_measured() -> None:
    warmth, cores = Warmth(Costs(server=0.0, worker=0.0, pauses=(1.0, 3.0))), Cores(simpy.Environment(), 1)

    assert [warmth.lost(now, cores) for now in (0.0, 0.5, 2.5, 6.0)] == [1.0, 0.0, 0.5, 1.0]


def test_a_pause_costs_nothing_where_all_cores_are_busy() -> None:
    env = simpy.Environment()
    warmth, cores = Warmth(Costs(server=0.0, worker=0.0, pauses=(1.0, 3.0))), Cores(env, 1)
    for _ in range(2):
        env.process(cores.run(1.0))
    seen = []

    def look() -> Generator[simpy.Event, Any, None]:
        for _ in range(4):
            seen.append(warmth.lost(env.now, cores))
            yield env.timeout(0.6)

    env.process(look())
    env.run()

    # The first has just been asked for; the core is free again after 2 s.
    assert seen[1:] == [0.0, 0.0, 0.0]
    assert warmth.lost(9.0, cores) == 1.0


def test_jobs_that_come_after_a_pause_cost_more() -> None:
    costs = Costs(server=0.001, server_cold=0.001, pauses=(0.002, 0.01), **SINGLE)

    def cost(rate: float) -> float:
        outcome = simulate(costs, Site(1, 0.0), workers=1, executors=1, rate=rate, seconds=500 / rate)
        return outcome.use["server"] / outcome.rate

    assert (cost(900), cost(5)) == (pytest.approx(0.001, rel=0.1), pytest.approx(0.002, rel=0.1))


def test_what_a_worker_takes_all_the_time_is_taken_however_little_there_is_to_do() -> None:
    costs = Costs(server=0.0, server_standing=0.02, worker_standing=0.01, **SINGLE)

    outcome = simulate(costs, Site(2, 0.0, worker_cores=4), workers=10, executors=1, rate=0.1, seconds=2)

    assert outcome.use["server"] == pytest.approx(0.2 / 2, rel=0.1)
    assert outcome.use["worker cores"] == pytest.approx(0.1 / 4, rel=0.1)


def test_a_worker_that_has_enough_jobs_claims_again_when_half_of_them_have_run() -> None:
    costs = Costs(server=0.0001, worker=0.0, waits=0.02, group=0)

    outcome = simulate(costs, Site(8, 0.0), workers=1, executors=4, seconds=2)

    # 4 executors, 2 jobs in a call, 3 calls' jobs for each: 24, of which a claim brings half, or what is run in 100 ms.
    assert 1 / 25 < outcome.claims < 1 / 11


def test_a_worker_of_tasks_is_bound_by_its_main_process_or_by_its_child() -> None:
    site = Site(8, 0.0)
    main = simulate(Costs(server=0.0, worker=0.002, child=0.0005, prefetch=4), site, workers=2, executors=1)
    child = simulate(Costs(server=0.0, worker=0.0005, child=0.002, prefetch=4), site, workers=1, executors=1)

    assert (main.rate, main.wall) == (pytest.approx(2 * 500, rel=0.05), "python")
    # It gets the next task when the main process has the result of the one before.
    assert (child.rate, child.wall) == (pytest.approx(1 / (0.002 + 0.0005 / 2), rel=0.05), "executors")


def test_claims_of_workers_that_crowd_the_cores_bring_fewer_tasks() -> None:
    costs = Costs(server=0.00003, worker=0.0005, child=0.0002, claim=0.001, worker_claim=0.001, prefetch=4)

    few, many = (simulate(costs, Site(2, 0.0, worker_cores=0), workers=n, executors=1) for n in (1, 16))

    # One that is alone reads 20 ms ahead.
    assert few.rate * few.claims == pytest.approx(1 / 0.02, rel=0.35)
    assert many.claims > 5 * few.claims
    assert many.rate < 2 / (0.00003 + 0.0007 + 0.002 / 10), "each claim is shared by less than ten"
    assert many.wall == "server"


def test_tasks_that_come_one_by_one_are_claimed_and_acked_by_themselves() -> None:
    costs = Costs(server=0.0001, worker=0.0002, child=0.0002, claim=0.001, prefetch=4)

    outcome = simulate(costs, Site(2, 0.0001), workers=1, executors=1, rate=5, seconds=30)

    assert outcome.claims == pytest.approx(2, rel=0.1)
    assert outcome.rate == pytest.approx(5, rel=0.2)
    assert percentile_of(outcome.latencies, 0.5) < 0.005


@pytest.mark.parametrize(("workers", "cores"), [(0, 0.0), (5, 0.005), (10, 0.01), (505, 0.755), (2_000, 3.0)])
def test_heartbeats_are_read_between_what_was_measured(workers: int, cores: float) -> None:
    assert heartbeat_cores(MEASURED, workers) == pytest.approx(cores)


@pytest.mark.slow
def test_each_kind_and_number_of_workers_has_a_wall() -> None:
    found = find_all(MEASURED, 8, 0.001, numbers=(1, 3))

    assert [wall.workers for wall in found] == [1, 3] * 4
    assert all(wall.rate > 0 and wall.wall for wall in found)
    assert [wall.connections for wall in found[:2]] == [7, 21]
    assert math.isclose(found[1].memory_mib, 105)


def test_a_run_is_compared_with_the_cores_that_others_left_it() -> None:
    runs = [Run(JOB.name, 2, 1_000.0, others, 0.0, 0.0, 0.5) for others in (0.0, 1.0)]
    measured = copy.deepcopy(MEASURED) | {"runs": [vars(run) for run in runs]}

    alone, beside = check(measured)

    assert beside.simulated < 0.7 * alone.simulated
    assert alone.ratio == pytest.approx(alone.simulated / 1_000)


def test_an_unknown_kind_is_an_error() -> None:
    with pytest.raises(KeyError):
        kind_named("nothing")


def test_no_workers_are_an_error_at_the_door(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--workers", "0"])
    assert "numbers of workers from 1 on" in capsys.readouterr().err


def test_a_page_without_a_place_for_a_table_is_an_error(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "<!-- generated: capacity, idling -->\n<!-- end -->\n\n<!-- generated: capacity, running -->\nold\n<!-- end -->\n"
    )

    write_into(page, "capacity", {"running": "new", "idling": "first"})

    assert read_from(page, "capacity") == {"idling": "first", "running": "new"}
    with pytest.raises(ValueError, match="no place for the table 'walls'"):
        write_into(page, "capacity", {"walls": "new"})


def test_the_measured_figures_of_the_page_are_those_of_the_last_measurement() -> None:
    newest = max(RESULTS.glob("*-capacity.json"))
    measured = json.loads(newest.read_text())

    shown = read_from(tables.PAGE, tables.TOPIC)

    hint = f"run: python -m benchmarks.capacity --from benchmarks/results/{newest.name} --write-docs"
    assert shown["handing in"] == tables.handing_in(measured), hint
    assert shown["running"] == tables.running(measured), hint
    assert shown["standing"] == tables.standing(measured), hint
    assert shown["idling"] == tables.idling(measured), hint
    assert [line.split(" | ")[2] for line in shown["check"].splitlines()[2:]] == [
        f"{run['rate']:,.0f}/s" for run in measured["runs"]
    ], hint
