"""pytest, and what failed once more by itself, one test after the other.

CI's machine is shared: a test whose deadline was too short for that hour should not refuse a change, and should not
stay unseen either, so both outcomes are printed. Only failed tests that flaky.txt names get a second chance, and only a
few of them: a suite that cannot be collected, was interrupted or ran nothing has failed.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from xml.etree import ElementTree

MOST = 10
LIST = Path(__file__).with_name("flaky.txt")
_TESTS_FAILED = 1


def main(arguments: list[str]) -> int:
    """Run pytest with these arguments; return 0 if every test passed, now or the second time."""
    with tempfile.TemporaryDirectory(prefix="pgqueue-ci-") as place:
        cache = [f"--override-ini=cache_dir={place}/cache"]
        code = _pytest([*arguments, *cache])
        if code != _TESTS_FAILED:
            return code
        failed = _read_failed(Path(place, "cache"))
        if not 0 < len(failed) <= MOST or not all("::" in name for name in failed):
            _say(f"no second chance: {len(failed)} failed, at most {MOST} tests may")
            return code
        steady = [name for name in failed if not is_listed(name, read_list(LIST))]
        if steady:
            _say(f"no second chance: not in {LIST.name}, so these have failed:", *steady)
            return code
        _say(f"{len(failed)} failed, once more by themselves:", *failed)
        outcome = Path(place, "outcome.xml")
        again = [
            *cache,
            "--numprocesses=0",
            "--last-failed",
            "--last-failed-no-failures=none",
            f"--junit-xml={outcome}",
        ]
        if _pytest([*arguments, *again]) != 0 or _count_passed(outcome) != len(failed):
            _say("failed the second time as well: see above")
            return code
        _say("failed the first time, passed the second time; each is to be mended:", *failed)
        return 0


def read_list(file: Path) -> dict[str, date]:
    """Return the tests, files and folders that are named there, each with its date.

    Raises:
        ValueError: a line is neither a date and a path nor a comment.
    """
    named = {}
    for line in filter(None, (line.partition("#")[0].strip() for line in file.read_text().splitlines())):
        since, _, path = line.partition(" ")
        if not path or " " in path:
            raise ValueError(f"{file.name}: expected a date and a path, not {line!r}")
        named[path] = date.fromisoformat(since)
    return named


def is_listed(test: str, named: Iterable[str]) -> bool:
    """Tell whether a test, or a file or folder that it is in, is named."""
    return any(re.match(rf"{re.escape(path)}(?:/|::|\[|$)", test) for path in named)


def _pytest(arguments: list[str]) -> int:
    return subprocess.run([sys.executable, "-m", "pytest", *arguments], check=False).returncode


def _read_failed(cache: Path) -> list[str]:
    return sorted(json.loads((cache / "v" / "cache" / "lastfailed").read_text()))


def _count_passed(outcome: Path) -> int:
    # A test that is skipped, or not run, the second time has not passed.
    return sum(
        len(case) == 0 or {part.tag for part in case} <= {"system-out", "system-err", "properties"}
        for case in ElementTree.parse(outcome).iter("testcase")
    )


def _say(*lines: str) -> None:
    print(*(f"=== {line}" for line in lines), sep="\n", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
