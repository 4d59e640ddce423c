"""The parts of pgqueue: which tests are about each, and which code it is. `python -m tests.areas [AREA | --coverage]`.

With the name of an area, prints the paths of its tests; without one, those of all tests. With `--coverage`, prints how
many lines of each area the last `make coverage` has run.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Area:
    """Globs below tests/ and below pgqueue/. A test may be of several areas, a module is of one."""

    tests: tuple[str, ...]
    code: tuple[str, ...]


AREAS = {
    "broker": Area(
        tests=(
            "integration/test_celery_worker.py", "integration/test_dead_letters.py", "integration/test_durability.py",
            "integration/test_e*.py", "integration/test_failover.py", "integration/test_groups.py",
            "integration/test_idle_workers.py", "integration/test_leaders.py", "integration/test_in_transaction.py", "integration/test_limited_tasks.py",
            "integration/test_network_cut.py", "integration/test_pgbouncer.py", "integration/test_publish_batch.py", "integration/test_relay*.py", "unit/test_relay*.py",
            "integration/test_server_settings.py", "integration/test_standby.py", "integration/test_task_batches.py",
            "integration/test_transport*.py", "integration/test_unique_tasks.py", "isolation/test_declaring.py", "isolation/test_wakeups.py", "isolation/test_leaders.py",
            "unit/test_encryption.py", "unit/test_read_ahead.py", "unit/test_claim_buffer.py", "unit/test_claim_pace.py", "unit/test_broker_url.py",
            "unit/test_caller_transaction.py", "unit/test_envelope.py", "unit/test_poll_schedule.py", "unit/test_registration.py",
            "unit/test_event_loop_adapter.py", "unit/test_fetcher.py", "unit/test_connection_errors.py", "unit/test_sleep_state.py", "unit/test_unroutable_keys.py",
            "unit/test_schedule_instants.py", "unit/test_celery_instants.py", "integration/test_schedules.py", "integration/test_beat.py", "integration/test_django_beat.py",
        ),
        code=("broker/*.py", "broker/*/*.py"),
    ),
    "worker": Area(
        tests=(
            "integration/test_*job*.py", "integration/test_batch_lane.py", "integration/test_dependencies.py", "integration/test_fair_worker.py", "integration/test_results_inside.py", "integration/test_second_runs.py",
            "integration/test_json_log.py", "integration/test_traces.py", "integration/test_lost_sessions.py", "integration/test_pool_scaling.py", "integration/test_sql_canvas.py", "integration/test_worker*.py", "integration/test_fleet.py", "unit/test_fleet.py",
            "isolation/test_announced_jobs.py", "isolation/test_cancel_at_the_end.py", "isolation/test_chunk*.py", "isolation/test_groups.py", "isolation/test_re[as]*.py",
            "isolation/test_running.py", "unit/test_dispatch.py", "unit/test_event_publisher.py", "unit/test_event_text.py", "unit/test_error_fields.py",
            "unit/test_log.py", "unit/test_job_settings.py", "unit/test_job_waits.py", "unit/test_sql_scanner.py", "unit/test_sql_splitter.py",
        ),
        code=("tasks/*.py", "worker/*.py", "worker/*/*.py"),
    ),
    "sql": Area(
        tests=(
            "compat/*.py", "integration/test_install.py", "integration/test_moved_databases.py", "integration/test_schema_*.py", "isolation/*.py",
            "plans/*.py", "properties/*.py", "sql/*.py", "unit/test_sql.py",
        ),
        code=("schema/*.py", "sql/*.py"),
    ),
    "client": Area(
        tests=(
            "integration/test_aio*.py", "integration/test_cli.py", "integration/test_schedule_command.py", "integration/test_schedule_imports.py", "integration/test_client*.py", "integration/test_several_databases.py", "unit/test_database_processes.py", "integration/test_connection_options.py",
            "integration/test_database.py", "integration/test_many_jobs.py", "integration/test_prepared_queries.py", "integration/test_terminals.py",
            "integration/test_comparison_service.py", "integration/test_django_app.py", "integration/test_kit.py", "unit/test_kit_alone.py", "unit/test_client_*.py", "unit/test_types.py", "unit/test_command_line.py", "unit/test_config.py", "unit/test_crontab.py", "unit/test_errors.py",
            "unit/test_handle.py", "unit/test_http_server.py", "integration/test_exporter.py", "integration/test_dashboards.py", "unit/test_options.py", "unit/test_text_format.py", "unit/test_without_posix.py",
        ),
        code=(
            "__init__.py", "__main__.py", "after_fork.py", "aio/*.py", "cli/*.py", "cli/*/*.py", "client/*.py", "config.py", "db/*.py", "errors.py", "sql_signature.py",
            "django/*.py", "django/*/*.py", "encryption.py", "handle.py", "testing/*.py", "tracing.py",
        ),
    ),
    "results": Area(
        tests=("integration/test_results.py", "unit/test_decompression.py", "unit/test_result_backend.py"),
        code=("decompression.py", "results/*.py"),
    ),
    "security": Area(tests=("security/*.py", "sql/test_*security.py", "sql/test_roles.py"), code=()),
}  # fmt: skip
#: What no area has: the programs around it, and Flower.
THE_REST = "the rest"


def find_tests(area: str) -> list[Path]:
    """Return the files with the tests of an area."""
    return sorted(
        {path for glob in AREAS[area].tests for path in (ROOT / "tests").glob(glob) if path.name.startswith("test_")}
    )


def area_of(module: Path) -> str:
    """Return the area that a module of the package is of."""
    relative = module.relative_to(ROOT / "pgqueue")
    for name, area in AREAS.items():
        if any(relative.match(glob) and len(relative.parts) == glob.count("/") + 1 for glob in area.code):
            return name
    return THE_REST


def main(arguments: list[str]) -> int:
    """Print what was asked for; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.areas", description=__doc__)
    parser.add_argument("area", nargs="?", choices=list(AREAS), metavar="AREA", help=f"one of {', '.join(AREAS)}")
    parser.add_argument("--coverage", action="store_true", help="say what the last `make coverage` has run")
    options = parser.parse_args(arguments)
    lines = _coverage() if options.coverage else _paths(options.area)
    print(*lines, sep="\n")
    return 0


def _paths(area: str | None) -> Iterable[str]:
    return ["tests"] if area is None else [str(path.relative_to(ROOT)) for path in find_tests(area)]


def _coverage() -> Iterator[str]:
    from coverage import Coverage  # of the tools for tests only

    measured = Coverage()
    measured.load()
    counts = {name: [0, 0] for name in [*AREAS, THE_REST] if name == THE_REST or AREAS[name].code}
    for module in sorted((ROOT / "pgqueue").rglob("*.py")):
        _, lines, _, missing, _ = measured.analysis2(str(module))
        counts[area_of(module)][0] += len(lines)
        counts[area_of(module)][1] += len(lines) - len(missing)
    yield f"{'area':<10} {'lines':>7} {'run':>7}"
    for name, (lines_there, run) in counts.items():
        yield f"{name:<10} {lines_there:>7,} {run / lines_there:>7.1%}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
