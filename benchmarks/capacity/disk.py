"""How fast the disk is: a flush of the WAL, and its bandwidth."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

from benchmarks.capacity.instruments import SETTLE_SECONDS
from benchmarks.setting import Setting


def flush_seconds(setting: Setting) -> float:
    """Return how long a flush of the WAL takes, as the server measures it."""
    statement = "select coalesce(sum(fsync_time), 0), coalesce(sum(fsyncs), 0) from pg_stat_io where object = 'wal'"
    with setting.database() as db, db.connect() as session:
        session.execute("create table flushed (n int); set track_wal_io_timing = on")
        before = session.execute(statement).fetchone()
        for _ in range(setting.count(500)):
            session.execute("insert into flushed values (1)")
        time.sleep(SETTLE_SECONDS)
        session.execute("insert into flushed values (1)")
        after = session.execute(statement).fetchone()
    assert before is not None
    assert after is not None
    return (float(after[0]) - float(before[0])) / 1000 / max(1.0, float(after[1]) - float(before[1]))


def disk_bandwidth(folder: Path, mebibytes: int = 256) -> float:
    """Return how many bytes a second can be written and flushed, a mebibyte at a time."""
    block = os.urandom(2**20)
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        began = time.perf_counter()
        for _ in range(mebibytes):
            file.write(block)
            file.flush()
            os.fdatasync(file.fileno())
        return mebibytes * 2**20 / (time.perf_counter() - began)
