"""CI's second chance for tests that failed: it turns no real failure green."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).parents[2] / ".ci" / "second_chance.py"
FIRST_TIME = """
import os, pathlib, pytest
def is_first_time():
    try:
        os.close(os.open(pathlib.Path(__file__).with_suffix("." + os.environ["PYTEST_CURRENT_TEST"].split("::")[1].split()[0]),
                         os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True
def test_good():
    pass
"""
ONE = "2026-11-29 test_some.py::test_flaky\n"
FLAKY = "def test_flaky():\n    assert not is_first_time()\n"


def run(place: Path, source: str, *arguments: str, flaky: str = "2026-11-29 test_some.py\n") -> tuple[int, str]:
    """Run it on a suite of one file, with this list; return the exit code and what was printed."""
    (place / "pytest.ini").write_text("[pytest]\n")
    (place / "flaky.txt").write_text(flaky)
    script = shutil.copy(SCRIPT, place)
    (place / "test_some.py").write_text(FIRST_TIME + source)
    # No more plugins than it takes: each run of pytest loads them.
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_PLUGINS": "xdist.plugin"}
    command = [sys.executable, script, "-q", *arguments]
    ran = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, check=False)
    return ran.returncode, ran.stdout


def test_what_fails_once_passes_and_is_named(tmp_path: Path) -> None:
    code, said = run(tmp_path, FLAKY, "--numprocesses=2")

    assert code == 0
    assert said.count("1 failed, 1 passed") == 1
    assert said.endswith(
        "=== failed the first time, passed the second time; each is to be mended:\n=== test_some.py::test_flaky\n"
    )


@pytest.mark.parametrize(
    "source",
    [
        FLAKY + "def test_bad():\n    assert 0\n",
        "def test_skips():\n    assert not is_first_time()\n    pytest.skip()\n",
        "def test_ends_badly(request):\n    request.addfinalizer(lambda: 1 / 0)\n",
        "".join(FLAKY.replace("flaky", f"flaky_{n}") for n in range(11)),
    ],
    ids=["fails again", "is skipped then", "fails in its teardown", "too many"],
)
def test_what_fails_stays_failed(tmp_path: Path, source: str) -> None:
    code, _ = run(tmp_path, source)

    assert code == 1


@pytest.mark.parametrize("processes", [0, 2])
def test_a_suite_that_cannot_be_collected_has_failed(tmp_path: Path, processes: int) -> None:
    (tmp_path / "test_other.py").write_text("def test_of_the_other_file(): pass\nimport no_such_module\n")

    code, said = run(tmp_path, FLAKY, f"--numprocesses={processes}")

    assert code != 0
    assert "passed the second time" not in said


@pytest.mark.parametrize("flaky", ["", "2026-11-29 test_some.py::test_flak\n", "2026-11-29 test_som\n"])
def test_what_is_not_listed_has_failed_at_once(tmp_path: Path, flaky: str) -> None:
    code, said = run(tmp_path, FLAKY, flaky=flaky)

    assert code == 1
    assert said.endswith(
        "=== no second chance: not in flaky.txt, so these have failed:\n=== test_some.py::test_flaky\n"
    )


def test_a_listed_test_takes_none_that_is_not_listed_with_it(tmp_path: Path) -> None:
    code, said = run(tmp_path, FLAKY + "def test_other():\n    assert not is_first_time()\n", flaky=ONE)

    assert code == 1
    assert said.endswith("=== test_some.py::test_other\n")


def test_one_test_may_be_listed_with_all_its_parameters(tmp_path: Path) -> None:
    source = 'import pytest\n@pytest.mark.parametrize("n", [1])\n' + FLAKY.replace("()", "(n)", 1)

    assert run(tmp_path, source, flaky=f"# why\n\n{ONE}")[0] == 0


@pytest.mark.parametrize("line", ["test_some.py", "2026-11-31 test_some.py", "2026-11-29 test_some.py and more"])
def test_a_line_without_a_date_or_with_more_is_an_error(tmp_path: Path, line: str) -> None:
    assert run(tmp_path, FLAKY, flaky=line)[0] == 1


def test_what_the_list_names_is_there_and_has_a_date() -> None:
    lines = [line for line in SCRIPT.with_name("flaky.txt").read_text().splitlines() if line and line[0] != "#"]

    assert lines
    for line in lines:
        assert re.fullmatch(r"\d{4}-\d\d-\d\d \S+", line)
        assert (SCRIPT.parents[1] / line.split()[1].partition("::")[0]).exists(), line


def test_a_suite_that_is_interrupted_or_empty_has_failed(tmp_path: Path) -> None:
    assert run(tmp_path, "def test_stops():\n    pytest.exit('enough', 4)\n")[0] == 4
    assert run(tmp_path, FLAKY, "-k", "no_such_test")[0] == 5
    assert run(tmp_path, FLAKY, "--no-such-option")[0] == 4
