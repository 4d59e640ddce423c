"""Where test servers put their data: below one directory for each run of the tests, in memory where there is enough.

The process that started the run removes it at the end, whatever became of the processes that ran tests for it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

# A database for each test is hundreds of small files, which memory makes twenty times faster than a disk.
_MEMORY = Path("/dev/shm")
_ENOUGH_MEMORY_BYTES = 4_000_000_000

_VARIABLE = "PGQUEUE_TESTS_PLACE"
_PREFIX = "pgqueue-tests-"


def fast_place() -> Path | None:
    """Return where a short-lived server is best put; None means the system's place for temporary files."""
    given = os.environ.get(_VARIABLE)
    return Path(given) if given else _memory()


@contextlib.contextmanager
def place_of_this_run() -> Iterator[Path]:
    """Make a directory that `fast_place` names to this process and those it starts; remove it at the end."""
    parent = _memory() or Path("/tmp")
    _sweep(parent)
    place = parent / f"{_PREFIX}{os.getpid()}"
    place.mkdir()
    place.chmod(0o711)  # for root the server is another user
    os.environ[_VARIABLE] = str(place)
    try:
        yield place
    finally:
        del os.environ[_VARIABLE]
        shutil.rmtree(place, ignore_errors=True)


def _memory() -> Path | None:
    has_room = _MEMORY.is_dir() and os.access(_MEMORY, os.W_OK | os.X_OK)
    return _MEMORY if has_room and shutil.disk_usage(_MEMORY).free > _ENOUGH_MEMORY_BYTES else None


def _sweep(parent: Path) -> None:
    """Remove what runs have left that were killed themselves."""
    for left in parent.glob(f"{_PREFIX}*"):
        if not Path(f"/proc/{left.name.removeprefix(_PREFIX)}").exists():
            shutil.rmtree(left, ignore_errors=True)
