"""Install the newest version of what `make bench-peers` compares: `python -m benchmarks.peers.install`.

Each is installed by itself. One that cannot be is named, and is a row with its reason in the table; what was installed before is used.
RabbitMQ and Redis are Debian's: apt-get install rabbitmq-server redis-server.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console

from benchmarks.peers.catalog import BUILD, OBAN_PYTHON, OBAN_VENV, oban_python

#: pgqueuer and awa insert by asyncpg; psycopg_pool is procrastinate's and pgmq's. pgmq's client brings the SQL of pgmq.
PYTHON_PACKAGES = (
    *("asyncpg", "psycopg_pool", "uvloop", "pgqueuer", "procrastinate", "awa-pg"),
    *("redis", "sqlalchemy", "pgmq", "kombu-pgmq"),
)
#: pg-boss 12 and graphile-worker 0.18 need Node 22, which is a package as well.
NODE_PACKAGES = ("node@22", "pg@8", "graphile-worker@latest", "pg-boss@latest")
_PIP = ("-m", "pip", "install", "-qq", "--disable-pip-version-check", "--root-user-action=ignore", "--upgrade")


def main() -> None:
    """Install all that can be installed."""
    BUILD.mkdir(parents=True, exist_ok=True)
    for package in PYTHON_PACKAGES:
        _attempt(package, [sys.executable, *_PIP, package])
    for package in NODE_PACKAGES:
        _attempt(package, ["npm", "install", "--no-audit", "--no-fund", "--silent", f"--prefix={BUILD}", package])
    if oban_python() != Path(sys.executable) and not oban_python().exists():
        found = find_python(OBAN_PYTHON)
        if found is None:
            _say("oban", f"it needs Python {'.'.join(map(str, OBAN_PYTHON))} or newer, and none was found")
            return
        _attempt("a virtual environment for oban", [found, "-m", "venv", str(OBAN_VENV)])
    _attempt("oban", [str(oban_python()), *_PIP, "oban"])


def find_python(at_least: tuple[int, int]) -> str | None:
    """Return an interpreter of at least that version: from PEERS_PYTHON, the PATH, or pyenv's versions."""
    return next((python for python in _pythons() if _is_at_least(python, at_least)), None)


def _pythons() -> Iterator[str]:
    if "PEERS_PYTHON" in os.environ:
        yield os.environ["PEERS_PYTHON"]
    yield from filter(None, (shutil.which(f"python3.{minor}") for minor in (14, 13, 12)))
    yield from map(str, sorted(Path("~/.pyenv/versions").expanduser().glob("3.*/bin/python3"), reverse=True))


def _is_at_least(python: str, version: tuple[int, int]) -> bool:
    """Return whether it runs and is so new: pyenv puts names on the PATH that do not run."""
    program = f"import sys; sys.exit(sys.version_info[:2] < {version})"
    try:
        return subprocess.run([python, "-c", program], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def _attempt(what: str, command: Sequence[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as problem:
        _say(what, f"{command[0]}: {problem.strerror}")
        return
    if done.returncode:
        _say(what, ((done.stderr or done.stdout).strip().splitlines() or ["it said nothing"])[-1])


def _say(what: str, why: str) -> None:
    Console(stderr=True, highlight=False, soft_wrap=True).print(f"{what} cannot be installed: {why}")


if __name__ == "__main__":
    main()
