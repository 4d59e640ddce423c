"""The notices of the jobs of a chunk: each comes with the number of its job, or says it, and goes where it belongs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .batch import SNOOZE_SQLSTATE
from .job_log_writer import find_speaker, read_line
from .job_waits import WAIT_SQLSTATE, Waiter
from .progress import PROGRESS_SQLSTATE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import psycopg

    from .batch import Chunk
    from .context import WorkerContext
    from .job_log_writer import Line


class ChunkNotices:
    """Reads the notices of one executor's chunks, one chunk after the other.

    Args:
        on_wait: is called for each notice that a job waits for another one, or no longer does.
    """

    def __init__(
        self,
        context: WorkerContext,
        on_wait: Callable[[psycopg.errors.Diagnostic, Iterable[Waiter]], None],
    ) -> None:
        self._context = context
        self._on_wait = on_wait
        self._chunk: Chunk
        #: The messages of jobs that share a transaction: if it fails, the jobs run again and raise them again.
        self._said_in_group: list[Line] = []

    def begin(self, chunk: Chunk) -> None:
        """Read the notices of this chunk from now on."""
        self._chunk = chunk

    def begin_group(self) -> None:
        """Keep the messages of jobs that share a transaction, until it has ended."""
        self._said_in_group.clear()

    def end_group(self) -> None:
        """Log the kept messages of the jobs that do not run again: the transaction has committed."""
        for line in self._said_in_group:
            if line["id"] not in self._chunk.alone:
                self._context.job_log.add(line)

    def hear(self, notice: psycopg.errors.Diagnostic) -> None:
        """Pass a notice on: to the progress, the log or the end of its job, or to `on_wait`."""
        if notice.sqlstate == WAIT_SQLSTATE:
            # All are of one role: no role's job speaks for another's.
            self._on_wait(notice, (Waiter(job.id, job.token, job.role) for job in self._chunk.jobs))
        elif notice.sqlstate == PROGRESS_SQLSTATE:
            self._context.progress.hear_from_chunk(self._chunk, notice)
        elif notice.sqlstate == SNOOZE_SQLSTATE:
            self._chunk.hear_snooze(notice.message_primary or "")
        elif (job_id := find_speaker(self._chunk, notice)) is not None:
            if self._chunk.phase % 2:
                self._said_in_group.append(read_line(job_id, notice))
            else:
                self._context.job_log.hear(job_id, notice)
