"""Write what jobs say with RAISE from another session than theirs, so that it is readable at once and after a rollback.

The first line of a job is written at once, then all that was said in each 200 ms. A job that says nothing costs nothing
here. In the batch lane one session runs many jobs, and the context of a notice says which one raised it.
"""

from __future__ import annotations

import json
import re
import threading
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeAlias

import psycopg

from .log import get_logger
from .running.error_fields import fields_of_diagnostic

if TYPE_CHECKING:
    from collections.abc import Collection

    from ..db.database import Database
    from .batch import Chunk
    from .claimed_job import ClaimedJob

logger = get_logger(__name__)

_PAUSE = 0.2
#: The database keeps so much of a job. One line more is sent, so that the database can say that it has cut the log.
_MAX_LINES = 1000
_MAX_BYTES = 262_144
#: Each text of a line is cut to this.
_MAX_TEXT_BYTES = 8192
#: So many lines of all jobs wait to be written. While the server is away there would be ever more.
_MAX_WAITING = 10_000
_TEXTS = ("message", "detail", "hint")
#: The functions that run jobs, with the statement of the job before them. A job cannot add lines behind its own.
_RUNNER_LINE = re.compile(r"\n[^\n]*pgqueue_run\.(?:job|group)_\d+\(")
_MARK = re.compile(r"\n-- pgqueue job (\d+)[^\n]{1,2}\Z")

#: A message of a job, as the database takes it, but for its age.
Line: TypeAlias = dict[str, Any]


@dataclass
class _Said:
    """The messages of one job: how many, and those that are not written yet."""

    lines: int = 0
    bytes: int = 0
    missing: int = 0
    has_ended: bool = False
    waiting: list[Line] = field(default_factory=list)


class JobLogWriter(threading.Thread):
    """One thread of the worker. Executors pass it notices; only at the end of a job that spoke do they wait for it."""

    def __init__(self, database: Database) -> None:
        super().__init__(name="pgqueue-job-log", daemon=True)
        self._database = database
        self._changed = threading.Condition()
        self._said: dict[int, _Said] = {}
        self._waiting = 0
        self._not_before = 0.0
        self._is_writing = False
        self._is_over = False

    def hear(self, job_id: int, notice: psycopg.errors.Diagnostic) -> None:
        """Take a notice of a job."""
        self.add(read_line(job_id, notice))

    def add(self, line: Line) -> None:
        """Take a line of a job."""
        job_id = line["id"]
        with self._changed:
            said = self._said.setdefault(job_id, _Said())
            if said.has_ended:
                # It runs again.
                said.lines, said.bytes, said.has_ended = 0, 0, False
            if said.lines > _MAX_LINES or said.bytes > _MAX_BYTES:
                return
            if self._waiting >= _MAX_WAITING:
                said.missing += 1
                return
            said.lines += 1
            said.bytes += sum(len(line.get(name, "").encode()) for name in _TEXTS)
            said.waiting.append(line)
            self._waiting += 1
            self._changed.notify_all()

    def flush(self, job: ClaimedJob) -> None:
        """Write what a job has said, before it ends: a session that sees its end finds its whole log."""
        if job.id not in self._said:
            return
        with self._changed:
            self._changed.wait_for(lambda: not self._is_writing)
            lines = self._take([job.id])
        self._write(lines)

    def forget(self, job_ids: Collection[int]) -> None:
        """Forget how much was said by jobs that have ended. Messages that wait are written all the same."""
        if self._said:
            with self._changed:
                for job_id in job_ids:
                    said = self._said.get(job_id)
                    if said is not None and not said.waiting:
                        del self._said[job_id]
                    elif said is not None:
                        said.has_ended = True

    def stop(self) -> None:
        """Write what is left, and end the thread."""
        with self._changed:
            self._is_over = True
            self._changed.notify_all()

    def run(self) -> None:
        """Write what is said until `stop`."""
        is_over = False
        while not is_over:
            with self._changed:
                while not self._is_over and (not self._waiting or monotonic() < self._not_before):
                    self._changed.wait(self._not_before - monotonic() if self._waiting else None)
                is_over = self._is_over
                lines = self._take(list(self._said))
                self._not_before = monotonic() + _PAUSE
                self._is_writing = True
            self._write(lines)
            with self._changed:
                self._is_writing = False
                self._changed.notify_all()

    def _take(self, job_ids: Collection[int]) -> list[Line]:
        """Take the waiting lines of jobs, in the order of each job. The caller holds the lock."""
        lines = []
        for job_id in job_ids:
            said = self._said[job_id]
            self._waiting -= len(said.waiting)
            lines += said.waiting
            said.waiting = []
            if said.missing:
                message = f"{said.missing} more lines of the job could not be written in time"
                lines.append(_own_line(job_id, message))
                said.missing = 0
            if said.has_ended:
                del self._said[job_id]
        return lines

    def _write(self, lines: list[Line]) -> None:
        if not lines:
            return
        now = monotonic()
        rows = [{**line, "age_ms": round((now - line["said_at"]) * 1000, 3)} for line in lines]
        try:
            # Escaped characters keep a text storable that no text of the database could hold.
            self._database.fetch("write_job_log", lines=json.dumps(rows))
        except (psycopg.Error, UnicodeError) as error:
            logger.warning("%s lines of the logs of jobs could not be written: %s", len(lines), error)


def read_line(job_id: int, notice: psycopg.errors.Diagnostic) -> Line:
    """Return a notice as a line of a job's log. A notice can be read only while its handler runs."""
    fields = fields_of_diagnostic(notice)
    return {
        "id": job_id,
        "said_at": monotonic(),
        "severity": notice.severity_nonlocalized or "NOTICE",
        "sqlstate": notice.sqlstate,
        **{name: _cut(value) for name in _TEXTS if (value := fields[name])},
    }


def find_speaker(chunk: Chunk, notice: psycopg.errors.Diagnostic) -> int | None:
    """Return the job of a chunk that has raised a notice; None: no statement of a job raised it.

    Deferred triggers raise theirs at the end of a job, where no statement of it runs: then the job is known only if it
    is the only one.
    """
    context = notice.context or ""
    runner = None
    for runner in _RUNNER_LINE.finditer(context):  # noqa: B007 - the last one
        pass
    if runner is None:
        return None
    mark = _MARK.search(context[: runner.start()])
    if mark is None:
        return chunk.jobs[0].id if len(chunk.jobs) == 1 else None
    job_id = int(mark[1])
    return job_id if any(job.id == job_id for job in chunk.jobs) else None


def _own_line(job_id: int, message: str) -> Line:
    return {"id": job_id, "said_at": monotonic(), "severity": "WARNING", "sqlstate": "01000", "message": message}


def _cut(text: str) -> str:
    """Return the beginning of a text: whole characters, at most so many bytes."""
    if len(text) * 4 <= _MAX_TEXT_BYTES:
        return text
    return text.encode("utf-8", "replace")[:_MAX_TEXT_BYTES].decode("utf-8", "ignore")
