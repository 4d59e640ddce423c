"""What is built is installed as the README says, in an environment of its own, and holds what it should."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.running_up import place_for_up

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

ROOT = Path(__file__).parents[2]
_NOT_COPIED = shutil.ignore_patterns(
    ".git", ".venv", "build", "dist", "__pycache__", ".hypothesis", ".*_cache", ".coverage", "htmlcov"
)
#: The README's two ways into an environment of one's own.
[FROM_CHECKOUT, FROM_WHEEL] = [
    block for block in re.findall(r"^```sh\n(.*?)^```", (ROOT / "README.md").read_text(), re.M | re.S) if "pip" in block
]
#: Tests that read files beside the package: they pass only where those files are.
READERS = [
    "tests/unit/test_compose.py",
    "tests/security/test_listed.py",
    "tests/acceptance/test_docs.py::test_links_between_the_pages_lead_somewhere",
    "tests/acceptance/test_docs.py::test_the_make_targets_that_the_readme_names_exist",
]


class Environment:
    """A copy of the checkout, and a virtual environment with nothing but pip."""

    def __init__(self, place: Path) -> None:
        self.checkout = place / "checkout"
        shutil.copytree(ROOT, self.checkout, ignore=_NOT_COPIED)
        self._bin = place / "env" / "bin"
        self._home = place / "home"
        self._home.mkdir()
        self._home.chmod(0o755)
        subprocess.run(
            ["sh", ROOT / "scripts" / "make_venv.sh", place / "env"],
            env={**os.environ, "PYTHON": sys.executable},
            check=True,
        )

    def run(self, script: str) -> str:
        """Run lines of a shell in the checkout, with this environment first on the PATH."""
        return self._run(["sh", "-ec", script], self.checkout)

    def run_outside(self, *command: str) -> str:
        """Run a program of this environment where there is no checkout."""
        return self._run([str(self._bin / command[0]), *command[1:]], self._home)

    def _run(self, command: list[str], cwd: Path) -> str:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "PYTHON", "VIRTUAL"))}
        done = subprocess.run(
            command,
            cwd=cwd,
            env={**kept, "PATH": f"{self._bin}:{os.environ['PATH']}"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout


@pytest.fixture(scope="module")
def with_wheel() -> Iterator[Environment]:
    """An environment with the wheel that the README builds; the checkout is still there."""
    with place_for_up() as place:
        environment = Environment(place)
        environment.run(FROM_WHEEL)
        yield environment


def test_the_readme_installs_the_checkout() -> None:
    with place_for_up() as place:
        environment = Environment(place)

        environment.run(FROM_CHECKOUT)

        assert "version" in environment.run_outside("pgqueue", "--version")


def test_the_wheel_has_one_top_level_package_and_all_of_it(with_wheel: Environment) -> None:
    [wheel] = with_wheel.checkout.glob("dist/*.whl")

    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}

    files = (path for path in (ROOT / "pgqueue").rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    # The one package, and beside it the module of pytest's plugin, which loads nothing of the package.
    assert {name.partition("/")[0] for name in names} == {"pgqueue", "pytest_pgqueue.py"}
    assert names - {"pytest_pgqueue.py"} == {str(path.relative_to(ROOT)) for path in files}


def test_a_wheel_from_the_source_distribution_is_one_from_the_tree(with_wheel: Environment) -> None:
    # `python -m build` makes the wheel from the source distribution.
    with_wheel.run("python -m build --wheel --outdir from_tree")

    [from_sdist] = with_wheel.checkout.glob("dist/*.whl")
    [from_tree] = with_wheel.checkout.glob("from_tree/*.whl")
    assert from_sdist.name == from_tree.name
    assert from_sdist.read_bytes() == from_tree.read_bytes()


def test_the_source_distribution_has_what_its_tests_read(with_wheel: Environment, tmp_path: Path) -> None:
    [sdist] = with_wheel.checkout.glob("dist/*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    [tree] = tmp_path.iterdir()

    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", *READERS]
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr


def test_the_installed_wheel_runs_the_demo_without_the_checkout(with_wheel: Environment) -> None:
    away = with_wheel.checkout.rename(with_wheel.checkout.with_name("away"))
    try:
        said = with_wheel.run_outside("pgqueue", "demo")
    finally:
        away.rename(with_wheel.checkout)

    assert "All of it was true" in said
