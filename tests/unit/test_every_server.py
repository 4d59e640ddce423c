"""Which tests `--also-pg-bin` runs on a second server, those that depend on its version; and which command of make runs which."""

import subprocess
import sys
from pathlib import Path

import pytest

from pgqueue.local.embedded import find_binaries

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.slow


def collect(*tests: str) -> list[str]:
    """Return the tests that run where a second server of the same binaries is given."""
    command = [sys.executable, "-m", "pytest", "-q", "--collect-only", "-p", "no:cacheprovider"]
    listed = subprocess.run(
        [*command, f"--also-pg-bin={find_binaries().bin_dir}", *tests],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert listed.returncode == 0, listed.stdout + listed.stderr
    return [line for line in listed.stdout.splitlines() if "::" in line]


def test_a_second_server_has_the_suites_of_sql_and_what_is_marked() -> None:
    found = collect(
        "tests/sql/test_progress.py", "tests/integration/test_job_notices.py", "tests/integration/test_terminals.py"
    )

    files_there = {name.partition("::")[0] for name in found if "-1]" in name or "-1-" in name}
    assert files_there == {"tests/sql/test_progress.py", "tests/integration/test_job_notices.py"}
    assert any("test_terminals" in name for name in found)


def test_the_three_parts_of_the_suite_have_each_test_once() -> None:
    """`make test`, `make test-slow` and `make test-older` give these options."""
    files = ("tests/sql/test_loopback.py", "tests/integration/test_cli.py", "tests/unit/test_every_server.py")
    parts = [collect(*options, *files) for options in (("-m", "not slow"), ("-m", "slow"), ("--only-also",))]

    # The first two run without other servers.
    first = [name for part in parts[:2] for name in part if "-1]" not in name and "-1-" not in name]
    assert sorted([*first, *parts[2]]) == sorted(collect(*files))
    assert all(parts)
