"""Write docker/constraints.txt: the versions that pip chooses now for the image.

    python scripts/constraints.py

The resolution is that of the Python that runs this, and the image has a newer one: a package that depends on the
version of Python has to be looked at by hand.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

_TOP = Path(__file__).parents[1]
_HEAD = "# The versions that the image has; `python scripts/constraints.py` writes them anew.\n"


def main() -> None:
    """Resolve and write."""
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet", "--report", "-"]
    resolved = subprocess.run([*command, ".[flower,worker]"], cwd=_TOP, stdout=subprocess.PIPE, check=True)
    found = [package["metadata"] for package in json.loads(resolved.stdout)["install"]]
    pins = sorted(f"{each['name'].lower()}=={each['version']}\n" for each in found if each["name"] != "celery-pgqueue")
    (_TOP / "docker" / "constraints.txt").write_text(_HEAD + "".join(pins))


if __name__ == "__main__":
    main()
