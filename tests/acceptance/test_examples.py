"""Every example runs, exactly as its page says."""

from __future__ import annotations

import copy
import itertools
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from examples import celery_beat_program
from tests.harness.eventually import eventually
from tests.harness.running_up import BIN, place_for_up, running_up

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
    listed = re.findall(r"^\| \[([\w.]+)\]\(\1\) \|", PAGE, re.MULTILINE)

    assert sorted(listed) == sorted(path.name for kind in ("*.py", "*.sql") for path in (ROOT / "examples").glob(kind))
    assert set(listed) - {name for name, _options in LISTED} == {"pg_cron_program.sql", "celery_beat_program.py"}


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


BEAT_PROGRAM = "examples.celery_beat_program"
#: How a program for Celery beat is run: options of `pgqueue up`, and the commands beside it.
INSTALLATIONS = {
    "import": ([f"--app={BEAT_PROGRAM}"], []),
    "a worker with --schedules": (["--no-worker"], [f"pgqueue worker -A {BEAT_PROGRAM} --schedules --concurrency=1"]),
    "beat_scheduler": (
        ["--no-worker"],
        [f"celery -A {BEAT_PROGRAM} beat -S pgqueue --pidfile=", f"celery -A {BEAT_PROGRAM} worker --concurrency=1"],
    ),
}
#: A worker that runs SQL jobs is no superuser, which the login of `pgqueue up` is.
SHOP = "create role shop login in role pgqueue_worker; select pgqueue.enroll('shop')"


@contextmanager
def a_terminal(command: str, folder: Path, dsn: str) -> Iterator[None]:
    """Run a command in a folder until the end of the block."""
    program, *options = shlex.split(command)
    log = folder / f"{program}-{options[0]}.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            [str(BIN / program), *options],
            cwd=folder,
            env={**os.environ, "PGQUEUE_DSN": dsn, "CELERY_BROKER_URL": "pgqueue://", "PYTHONPATH": str(ROOT)},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield
        process.terminate()
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
        print(log.read_text())


def by_celery(when: Any, after: datetime, count: int) -> list[datetime]:
    """Return the next instants as the schedule objects of the program compute them for beat."""
    when = copy.copy(when)
    when.app = celery_beat_program.app
    found: list[datetime] = []
    after = after.astimezone(timezone.utc)
    while len(found) < count:
        when.nowfun = partial(datetime.astimezone, after)
        found.append(after + when.remaining_estimate(after))
        # The sun rises at the same instant again if one asks a moment before.
        after = found[-1] + (timedelta(minutes=1) if hasattr(when, "event") else timedelta(0))
    return found


def planned(connection: psycopg.Connection) -> dict[str, tuple[datetime, datetime, list[datetime]]] | None:
    """Return of each schedule when it was looked at, from when intervals count, and its next instants."""
    rows = connection.execute(
        "select name, clock_timestamp(), anchor_at, next_at, coalesce(later_at, '{}') from pgqueue.schedule where name <> 'alive'"
    ).fetchall()
    if any(next_at is None or next_at <= now for _name, now, _anchor, next_at, _later in rows):
        return None
    return {name: (now, anchor, [next_at, *later]) for name, now, anchor, next_at, later in rows}


@pytest.mark.parametrize(("options", "commands"), INSTALLATIONS.values(), ids=INSTALLATIONS)
def test_a_program_for_celery_beat_runs_unchanged_but_for_the_installation(
    options: list[str], commands: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = celery_beat_program.app.conf.beat_schedule
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    with place_for_up() as place, running_up(place, *options, cwd=tmp_path) as told, ExitStack() as terminals:
        connection = terminals.enter_context(psycopg.connect(told["dsn"], autocommit=True))
        connection.execute(SHOP)
        dsn = make_conninfo(told["dsn"], user="shop")
        if not commands:
            imported = subprocess.run(
                [BIN / "pgqueue", "schedule", "import", "-A", BEAT_PROGRAM, "--json", f"--dsn={dsn}"],
                capture_output=True, text=True, timeout=60, check=True,
            )  # fmt: skip
            assert {one["name"]: one["outcome"] for one in json.loads(imported.stdout)} == dict.fromkeys(
                entries, "made"
            )
        for command in commands:
            terminals.enter_context(a_terminal(command, tmp_path, dsn))

        alive = tmp_path / "alive.txt"
        eventually(lambda: alive.exists() and alive.read_text().count("\n") >= 3, 60, what="the task runs each second")
        found = eventually(lambda: planned(connection), 60, what="all schedules have a next instant") or {}
        made = connection.execute("select name, enabled, error, timezone, source from pgqueue.schedules").fetchall()

    assert set(alive.read_text().splitlines()) == {"shop is open"}
    assert sorted(made) == [(name, True, None, "Europe/Berlin", "celery:shop") for name in sorted(entries)]
    assert (len(made), len(found)) == (10, 9)
    for name, (now, anchor, coming) in found.items():
        when = entries[name]["schedule"]
        is_interval = when == timedelta(hours=36)
        known = by_celery(celery_beat_program.schedule(when), anchor, 1) if is_interval else by_celery(when, now, 2)
        off = [abs(at - expected) for at, expected in itertools.zip_longest(coming[: len(known)], known)]
        assert max(off) < timedelta(seconds=1), (name, coming, known)


@pytest.mark.parametrize("processes", [[], ["--numprocesses=2"]], ids=["one-process", "xdist"])
@pytest.mark.timeout(300)
def test_the_tests_of_the_django_shop_pass(processes):
    shop = ROOT / "examples" / "django_shop"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "pytest_pgqueue", "-p", "no:cacheprovider", *processes],
        cwd=shop, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr
    assert "100 passed" in done.stdout


def test_the_tests_of_the_service_with_fastapi_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    with place_for_up() as place, running_up(place, "--app=examples.fastapi_service.tasks", cwd=ROOT) as told:
        ran = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "examples/fastapi_service"],
            cwd=ROOT,
            env={**os.environ, "PGQUEUE_DSN": told["dsn"]},
            capture_output=True,
            text=True,
            timeout=110,
            check=False,
        )

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "6 passed" in ran.stdout
