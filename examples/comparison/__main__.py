"""Measure the same service on several queues: `python -m examples.comparison`.

It needs the package index, and an hour, mostly of waiting. It makes an environment for each library, starts a server of
its own, and runs one library after the other. The page docs/explanation/comparison.md shows what it has found.
"""

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from pgqueue.local.embedded import EmbeddedServer

from . import measures
from .environments import Environment, count_lines, make
from .lanes import SETTINGS, Lanes
from .table import RESULTS, as_text
from .variants import VARIANTS, Library, Variant

# Orders of one variant; those of the next begin so much later.
STEP = 100


def main() -> None:
    """Measure what the command line names."""
    parser = argparse.ArgumentParser(prog="python -m examples.comparison", description=__doc__)
    titles = sorted({variant.library.title for variant in VARIANTS})
    parser.add_argument("--only", action="append", choices=titles, help="one library; may be repeated")
    parser.add_argument("--kills", type=int, default=20, help="how many workers, each with a database; all are killed")
    parser.add_argument("--patience", type=float, help="seconds until a job counts as not run again")
    parser.add_argument("--environments", type=Path, help="where to make and keep the environments")
    parser.add_argument("--python", default=sys.executable, help="the interpreter; Oban needs 3.12 or newer")
    parser.add_argument("--json", type=Path, default=RESULTS, help="where the results are kept; others there stay")
    options = parser.parse_args()
    # So that the workers are ended then, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    found: dict[str, Any] = json.loads(options.json.read_text()) if options.json.exists() else {}
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        place = Path(folder)
        place.chmod(0o755)
        for library in dict.fromkeys(variant.library for variant in VARIANTS):
            if options.only is None or library.title in options.only:
                environment = make(library, options.environments or place, options.python)
                with EmbeddedServer.temporary(settings=SETTINGS, parent="/var/tmp") as server:
                    found["setting"] = describe(server, options.python)
                    measure(server, library, environment, options, place, found)
    print(as_text(found))


def measure(
    server: EmbeddedServer, library: Library, environment: Environment, options: Any, place: Path, found: dict[str, Any]
) -> None:
    """Measure the variants of a library, and keep what is found after each."""
    lanes = Lanes(server, library, environment, options.kills, place)
    try:
        for number, variant in enumerate(each for each in VARIANTS if each.library is library):
            say(f"{variant.name} ...")
            try:
                result = measure_variant(lanes, variant, number * STEP, options.patience or variant.patience)
            except Exception:
                say((lanes.each[0].log).read_text(errors="replace")[-4000:])
                raise
            files, lines = count_lines(variant.place)
            result |= {
                "version": environment.versions[library.distribution],
                "packages": len(environment.versions),
                "installed_megabytes": environment.megabytes,
                "files": files,
                "lines": lines,
            }
            found.setdefault("variants", {})[variant.name] = result
            options.json.write_text(json.dumps(found, indent=1) + "\n")
            say(json.dumps(result))
    finally:
        lanes.close()


def measure_variant(lanes: Lanes, variant: Variant, first: int, patience: float) -> dict[str, Any]:
    """Return what is found of one way to run the workers."""
    if variant.prepare:
        for lane in lanes.each:
            lanes.run(variant.prepare, lane, variant.place, **lanes.often(lane))
    lanes.start(variant)
    measures.warm_up(lanes, variant, first)
    result: dict[str, Any] = {}
    if variant.is_base:
        result["idle"] = measures.idle(lanes)
        result["periodic"] = measures.periodic(lanes)
        result["enqueuing"] = measures.killed_before_commit(lanes, variant, first + 1)
        result["retry"] = measures.retry(lanes, variant, first + 2)
        say(f"  {result}")
    result["worker"] = measures.killed_in_a_job(lanes, variant, first + 3, patience)
    say(f"  {result['worker']}")
    if lanes.library.forget:
        for lane in lanes.each:
            lane.fetch(lanes.library.forget)
    result["connections"] = measures.connections_ended(lanes, variant, first + 10)
    say(f"  {result['connections']}")
    result["server"] = measures.server_restarted(lanes, variant, first + 20)
    for lane in lanes.each:
        lane.kill()
    return result


def describe(server: EmbeddedServer, python: str) -> dict[str, Any]:
    """Return what the results depend on."""
    version = subprocess.run(
        [server.binaries.program("postgres"), "--version"], capture_output=True, text=True, check=True
    )
    used = subprocess.run([python, "--version"], capture_output=True, text=True, check=True)
    return {
        "date": f"{datetime.now(timezone.utc):%Y-%m-%d}",
        "cores": os.cpu_count(),
        "system": platform.system(),
        "server": version.stdout.split(")")[-1].split()[0] if ")" in version.stdout else version.stdout.split()[-1],
        "settings": {name: SETTINGS[name] for name in ("fsync", "synchronous_commit")},
        "python": used.stdout.split()[-1],
    }


def say(what: str) -> None:
    """Tell how far it is."""
    print(what, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
