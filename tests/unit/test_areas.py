"""`make test-area` leaves no test out by mistake, and names none that is gone."""

import pytest

from tests.areas import AREAS, ROOT, THE_REST, area_of, find_tests, main

SUITES = ("compat", "integration", "isolation", "plans", "properties", "security", "sql", "unit")
#: Tests of what belongs to no area: `pgqueue up`, the containers, Flower, and the tests' own tools.
NO_AREA = {
    "test_areas.py", "test_capacity.py", "test_child_process.py", "test_comparison.py", "test_compose.py", "test_local_access.py", "test_restart_policy.py",
    "test_chart.py", "test_every_server.py", "test_flower_pages.py",
    "test_peers.py", "test_prose.py", "test_second_chance.py", "test_structure.py", "test_systemd.py",
}  # fmt: skip


@pytest.mark.parametrize("area", sorted(AREAS))
def test_every_glob_of_an_area_finds_something(area: str) -> None:
    assert [glob for glob in AREAS[area].tests if not list((ROOT / "tests").glob(glob))] == []
    assert [glob for glob in AREAS[area].code if not list((ROOT / "pgqueue").glob(glob))] == []
    assert all(path.name.startswith("test_") for path in find_tests(area))


def test_every_test_of_the_engine_is_of_an_area() -> None:
    there = {path for suite in SUITES for path in (ROOT / "tests" / suite).glob("test_*.py")}

    left_out = there - {path for area in AREAS for path in find_tests(area)}

    assert {path.name for path in left_out} <= NO_AREA, "name it in tests/areas.py"


def test_a_module_is_of_the_area_of_its_folder() -> None:
    assert area_of(ROOT / "pgqueue" / "broker" / "channel.py") == "broker"
    assert area_of(ROOT / "pgqueue" / "client" / "client.py") == "client"
    assert area_of(ROOT / "pgqueue" / "demo" / "run.py") == THE_REST


def test_a_name_that_is_no_area_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["kitchen"])

    assert "'broker', 'worker', 'sql', 'client', 'results', 'security'" in capsys.readouterr().err
