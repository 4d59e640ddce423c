"""`pgqueue up` in a terminal of its own, as the pages tell their readers to start it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.harness.eventually import eventually

BIN = Path(sys.executable).parent


@contextmanager
def place_for_up() -> Iterator[Path]:
    """Make a folder that the account which runs the server for root may enter; pytest's own is root's alone."""
    with tempfile.TemporaryDirectory(prefix="pgqueue-up-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@contextmanager
def running_up(place: Path, *arguments: str, cwd: Path) -> Iterator[dict[str, Any]]:
    """Run `pgqueue up` with these arguments in a folder; give what its ready file says, and stop it with Ctrl-C."""
    ready_file = place / "ready.json"
    log = place / "up.log"
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PGQUEUE")}
    with log.open("ab") as output:
        up = subprocess.Popen(
            [str(BIN / "pgqueue"), "up", *arguments, f"--ready-file={ready_file}", "--no-flower"],
            cwd=cwd,
            env={**kept, "PGQUEUE_DATA": str(place / "data")},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        eventually(lambda: ready_file.exists() or up.poll() is not None, 60, what="pgqueue up answers")
        assert up.poll() is None, log.read_text()
        yield json.loads(ready_file.read_text())
    finally:
        up.send_signal(signal.SIGINT)
        try:
            assert up.wait(30) == 0, log.read_text()
        finally:
            if up.poll() is None:
                os.killpg(up.pid, signal.SIGKILL)  # a group of its own
            print(log.read_text())
