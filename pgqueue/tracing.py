"""Traces by OpenTelemetry, for programs that have configured it.

It is never imported here: a program that traces has imported it. Where it has not, and where no provider of tracers is
set, each question takes one lookup in a dictionary.
"""

from __future__ import annotations

import re
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .errors import InvalidArgument
from .version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: The setting of a job, and the header of a task, that name their trace.
SETTING, HEADER = "pgqueue.traceparent", "traceparent"
_SYSTEM = "pgqueue"
_FORM = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def find_tracer() -> Any | None:
    """Return OpenTelemetry's tracer of this process; None: nothing is configured."""
    trace = sys.modules.get("opentelemetry.trace")
    find_provider = getattr(trace, "get_tracer_provider", None)
    if trace is None or find_provider is None:  # It may be in the middle of its import.
        return None
    provider = find_provider()
    if isinstance(provider, (trace.ProxyTracerProvider, trace.NoOpTracerProvider)):
        return None
    return provider.get_tracer("pgqueue", __version__)


def current_traceparent() -> str | None:
    """Return the current span of this thread or asyncio task; None: there is none."""
    trace = sys.modules.get("opentelemetry.trace")
    find_span = getattr(trace, "get_current_span", None)
    if find_span is None:
        return None
    context = find_span().get_span_context()
    return to_traceparent(context) if context.is_valid else None


def to_traceparent(context: Any) -> str:
    """Return a span's context as W3C Trace Context writes it."""
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"


def to_context(traceparent: str) -> Any:
    """Return the span's context that a traceparent names. OpenTelemetry has to be there."""
    from opentelemetry.trace import SpanContext, TraceFlags

    _version, trace_id, span_id, flags = traceparent.split("-")
    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16)))


def is_sampled(traceparent: str) -> bool:
    """Return whether the spans of a trace are recorded: not if the text, which a role can have written, names none."""
    return _FORM.fullmatch(traceparent) is not None and bool(int(traceparent[-2:], 16) & 1)


def attributes_of(operation: str, queue: str) -> dict[str, Any]:
    """Return the attributes of a span by OpenTelemetry's conventions for messaging."""
    return {
        "messaging.system": _SYSTEM,
        "messaging.operation.name": operation,
        "messaging.operation.type": operation,
        "messaging.destination.name": queue,
    }


@contextmanager
def sending(tracer: Any, queue: str, count: int | None = None) -> Iterator[tuple[Any, str]]:
    """Make the span of a program that sends to a queue; yield it, and what the message carries."""
    from opentelemetry.trace import SpanKind, Status, StatusCode

    attributes = attributes_of("send", queue)
    if count is not None:
        attributes["messaging.batch.message_count"] = count
    # It does not become the current span: a coroutine may go on in another context.
    span = tracer.start_span(f"send {queue}", kind=SpanKind.PRODUCER, attributes=attributes)
    try:
        yield span, to_traceparent(span.get_span_context())
    except BaseException as error:
        span.set_attribute("error.type", getattr(error, "sqlstate", None) or type(error).__name__)
        span.set_status(Status(StatusCode.ERROR))
        raise
    finally:
        span.end()


def with_trace(message: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a message of kombu; if it is a Celery task that names no trace, with that of the current span.

    Raises:
        InvalidArgument: it names one that is none.
    """
    headers = message["headers"] or {}
    given = headers.get(HEADER)
    if given is not None:
        if "task" in headers and (not isinstance(given, str) or not _FORM.fullmatch(given)):
            raise InvalidArgument(
                f'the header traceparent "{given}" is not one',
                hint="W3C Trace Context has it as version, trace id, parent id and flags.",
            )
        return message
    traceparent = current_traceparent() if "task" in headers else None
    return message if traceparent is None else {**message, "headers": {**headers, HEADER: traceparent}}
