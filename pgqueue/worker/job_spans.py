"""The spans of SQL jobs that a worker runs, by OpenTelemetry's conventions for messaging.

Only jobs that belong to a trace have one, and only if its sender's span is recorded. The job has the worker's span as
its own `pgqueue.traceparent`, so what it submits belongs to that span.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import psycopg

from ..db.named_query import NamedQuery
from ..tracing import SETTING, attributes_of, find_tracer, is_sampled, to_context, to_traceparent
from .batch import TracedJob
from .claimed_job import Ending
from .log import get_logger

if TYPE_CHECKING:
    from collections.abc import Sequence

    from typing_extensions import Self

    from ..db.database import Database
    from .batch import BatchJob
    from .claimed_job import ClaimedJob

logger = get_logger(__name__)

#: A run that ended otherwise did not happen, or another worker has the job: it has no span.
_COMMITTED = (Ending.SUCCEEDED, Ending.SNOOZED)
_ENDS = (*_COMMITTED, Ending.FAILED, Ending.RETRIED, Ending.CANCELED)


_TRACED_JOBS = NamedQuery("traced_jobs", TracedJob)


@dataclass
class JobSpan:
    """The span of one run of a job."""

    span: Any
    traceparent: str

    def end(self, ending: Ending, sqlstate: str | None) -> None:
        """End the span as the run has ended."""
        if ending not in _ENDS:
            return
        if ending not in _COMMITTED:
            from opentelemetry.trace import Status, StatusCode

            self.span.set_attribute("error.type", sqlstate or "_OTHER")
            self.span.set_status(Status(StatusCode.ERROR, ending.value))
        self.span.end()


class JobTracer:
    """Makes spans for a worker. All threads may use it."""

    def __init__(self, tracer: Any, database: Database) -> None:
        self._tracer = tracer
        self._database = database

    @classmethod
    def find(cls, database: Database) -> Self | None:
        """Return the tracer of a worker; None: its process has configured none."""
        tracer = find_tracer()
        return None if tracer is None else cls(tracer, database)

    def begin(self, job: ClaimedJob) -> tuple[ClaimedJob, JobSpan | None]:
        """Begin the span of a job of the top-level lane; return the job with that span as its trace."""
        traceparent = job.settings.get(SETTING)
        if traceparent is None or not is_sampled(traceparent):
            return job, None
        first = None
        if job.attempt is not None and job.attempt > 1:
            first = next((found.first_traceparent for found in self._find([job])), None)
        traced = TracedJob(job.id, traceparent, job.queue or "", job.attempt or 1, first)
        span = self.start(traced)
        settings = {**job.settings, SETTING: span.traceparent}
        return replace(job, settings=settings, span_traceparent=span.traceparent), span

    def find_traced(self, jobs: Sequence[BatchJob]) -> dict[int, TracedJob]:
        """Return those jobs of the batch lane that are to have a span."""
        return {job.id: job for job in self._find(jobs) if is_sampled(job.traceparent)}

    def start(self, job: TracedJob) -> JobSpan:
        """Begin the span of a job."""
        from opentelemetry import trace

        attributes = attributes_of("process", job.queue)
        attributes |= {"messaging.message.id": f"job-{job.id}", "pgqueue.attempt": job.attempt}
        parent = trace.set_span_in_context(trace.NonRecordingSpan(to_context(job.traceparent)))
        links = [] if job.first_traceparent is None else [trace.Link(to_context(job.first_traceparent))]
        span = self._tracer.start_span(
            f"process {job.queue}", parent, kind=trace.SpanKind.CONSUMER, attributes=attributes, links=links
        )
        return JobSpan(span, to_traceparent(span.get_span_context()))

    def _find(self, jobs: Sequence[BatchJob | ClaimedJob]) -> list[TracedJob]:
        ids, tokens = [job.id for job in jobs], [job.token for job in jobs]
        try:
            return self._database.fetch_rows(_TRACED_JOBS, ids=ids, tokens=tokens)
        except psycopg.Error as error:
            logger.warning("jobs run without spans: %s", error)
            return []
