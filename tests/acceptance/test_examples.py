"""Every example runs, exactly as its page says."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from tests.harness.running_up import place_for_up, running_up

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "examples" / "README.md").read_text()
#: The example, and what the page tells its reader to start before it.
LISTED = re.findall(r"^\| \[(\w+\.py)\]\(\1\) \| `pgqueue up( [^`]*)?` \|", PAGE, re.MULTILINE)


@pytest.mark.parametrize(("example", "options"), LISTED, ids=[name for name, _options in LISTED])
def test_an_example_runs_and_finds_what_it_expects(example: str, options: str) -> None:
    with place_for_up() as place, running_up(place, *shlex.split(options), cwd=ROOT) as told:
        ran = subprocess.run(
            [sys.executable, f"examples/{example}"],
            cwd=ROOT,
            env={**os.environ, "PGQUEUE_DSN": told["dsn"]},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout


def test_the_page_lists_every_example() -> None:
    assert {name for name, _options in LISTED} == {path.name for path in (ROOT / "examples").glob("*.py")}


def test_a_program_for_pg_cron_runs_unchanged_but_for_the_installation() -> None:
    with place_for_up() as place, running_up(place, cwd=ROOT) as told:
        with psycopg.connect(told["dsn"], autocommit=True) as owner:
            owner.execute("select pgqueue.install_pg_cron()")
        psql = shlex.split(told["psql"])[0]
        ran = subprocess.run(
            [psql, "-X", "-qAt", "-v", "ON_ERROR_STOP=1", "-d", told["dsn"], "-f", "examples/pg_cron_program.sql"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout.split() == [
        *("t", "t", "t", "t", "t"),
        *("clear|30", "3", "$", "*", "*|t", "history|0", "12", "*", "*", "*|t"),
        *("nightly|0", "4", "*", "*", "*|t", "rollup|1", "second|t"),
        *("succeeded|t|t", "click|3", "old|1", "4"),
    ]
