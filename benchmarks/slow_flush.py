"""A disk that takes longer: what a benchmark starts waits after each fdatasync, as PostgreSQL flushes its WAL."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).with_suffix(".c")


@contextlib.contextmanager
def slow_flush(milliseconds: float) -> Iterator[None]:
    """Make each flush of processes that are started meanwhile take so much longer; 0 changes nothing.

    Raises:
        FileNotFoundError: there is no C compiler (`cc`).
    """
    if not milliseconds:
        yield
        return
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "slow_flush.so"
        subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", library, SOURCE, "-ldl"], check=True)
        Path(folder).chmod(0o755)  # root's server runs as another account
        # Not named PG...: the server is started without what the environment tells PostgreSQL.
        os.environ |= {"LD_PRELOAD": str(library), "FLUSH_DELAY_US": str(round(milliseconds * 1000))}
        try:
            yield
        finally:
            del os.environ["LD_PRELOAD"], os.environ["FLUSH_DELAY_US"]
