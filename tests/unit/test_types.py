"""The types of a program that uses pgqueue, as mypy and pyright see them."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
CHECKERS = {"mypy": ["mypy", "--strict"], "pyright": ["pyright", "--pythonpath", sys.executable]}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("checker", CHECKERS)
def test_type_checkers_know_what_a_result_becomes(checker: str) -> None:
    command = [sys.executable, "-m", *CHECKERS[checker], "tests/types/of_users.py"]

    checked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert checked.returncode == 0, checked.stdout + checked.stderr
