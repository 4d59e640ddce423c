"""Runs one claimed Celery task in this process, with what a Celery worker runs it with: Request and its tracer."""

from __future__ import annotations

import sys
from contextlib import ExitStack, nullcontext
from typing import TYPE_CHECKING, Any
from unittest import mock

from celery import current_app, signals
from celery.worker.request import Request
from celery.worker.strategy import proto1_to_proto2
from kombu.serialization import prepare_accept_content

from ..broker.envelope import CLAIM_HEADER, from_row, to_claim
from ..broker.message import Message
from ..decompression import max_bytes
from ..errors import NotTestable
from ..sql_signature import TASK_NAME as SQL_TASK
from .values import Outcome

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from celery import Celery

    from .committed import Claim

_NAME = "pgqueue.testing"


class _Channel:
    """Keeps how a message was settled: the claim ends after the task, whatever a savepoint takes back meanwhile."""

    no_ack_consumers = None

    def __init__(self, max_decompressed_size: int) -> None:
        self.max_decompressed_size = max_decompressed_size
        self.verdict = "ack"

    def decode_body(self, body: Any, _encoding: str | None) -> Any:
        """Return the body: from_row leaves a base64 text to the channel of kombu."""
        import base64

        return base64.b64decode(body) if _encoding == "base64" else body

    def basic_ack(self, _delivery_tag: str, multiple: bool = False) -> None:
        """Record the ack."""
        self.verdict = "ack"

    def ack_early(self, _delivery_tag: str) -> None:
        """Record the ack."""
        self.verdict = "ack"

    def ack_failed(self, _delivery_tag: str) -> None:
        """Record the ack."""
        self.verdict = "ack"

    def basic_reject(self, _delivery_tag: str, requeue: bool = False) -> None:
        """Record the reject."""
        self.verdict = "requeue" if requeue else "reject"

    def refuse(self, _delivery_tag: str, _reason: str) -> None:
        """Record the reject."""
        self.verdict = "reject"


class _Ending:
    """Hears Celery's signals during one task: how it ended, and with what."""

    def __init__(self) -> None:
        self.state, self.result = "rejected", None
        self.error: str | None = None

    def on_success(self, result: Any = None, **_said: Any) -> None:
        """Record a success."""
        self.state, self.result = "succeeded", result

    def on_failure(self, exception: BaseException | None = None, **_said: Any) -> None:
        """Record a failure."""
        self.state, self.error = "failed", f"{type(exception).__name__}: {exception}"

    def on_retry(self, reason: Any = None, **_said: Any) -> None:
        """Record a retry."""
        self.state, self.error = "retried", str(reason)

    def on_revoked(self, **_said: Any) -> None:
        """Record that it was revoked, or has expired."""
        self.state = "canceled"


def run_task(claim: Claim, app: Celery | None) -> tuple[Outcome, str]:
    """Run a task; return how it ended, and how its message is settled: `ack`, `fail`, `reject` or `requeue`.

    Raises:
        NotTestable: the application does not know the task.
    """
    app = app or current_app._get_current_object()
    channel = _Channel(max_bytes(app.conf.get("broker_transport_options") or {}))
    message = Message(from_row_of(claim), channel=channel)
    message.accept = prepare_accept_content(app.conf.accept_content)
    message.headers[CLAIM_HEADER] = to_claim(claim.delivery_tag, message.headers.get("id"))
    request = _make_request(message, app)
    ending = _Ending()
    with ExitStack() as until_its_end:
        for signal, receiver in (
            (signals.task_success, ending.on_success),
            (signals.task_failure, ending.on_failure),
            (signals.task_retry, ending.on_retry),
            (signals.task_revoked, ending.on_revoked),
        ):
            signal.connect(receiver, weak=False)
            until_its_end.callback(signal.disconnect, receiver)
        request.execute()
    outcome = Outcome(
        kind="task",
        id=request.id,
        queue=claim.queue,
        state=ending.state,
        submitter=claim.submitter,
        name=request.task_name,
        result=ending.result,
        error=ending.error,
    )
    # A batch learns that its task has not succeeded.
    return outcome, "fail" if channel.verdict == "ack" and ending.state != "succeeded" else channel.verdict


def from_row_of(claim: Claim) -> dict[str, Any]:
    """Return the message of a claim in the form of kombu's virtual transports."""
    import json

    return from_row(json.dumps(claim.document), claim.delivery_tag, claim.earlier_deliveries)


def _django_as_it_is() -> AbstractContextManager[object]:
    """Keep Celery from setting up Django a second time, which would reset the loggers that a test listens to."""
    apps = sys.modules.get("django.apps")
    return mock.patch("django.setup") if apps is not None and apps.apps.ready else nullcontext()


def _make_request(message: Message, app: Celery) -> Any:
    name = message.headers.get("task") or message.payload.get("task")
    if name == SQL_TASK:
        raise NotTestable(
            "an SQL step of a canvas cannot be drained: workers make a job of it, and tests have not their rights",
            hint="Let a worker run the canvas. Enqueue the statement by itself to test that with drain.",
        )
    if name not in app.tasks:
        # As a worker does when it starts: the modules that the application includes, or finds by autodiscovery.
        with _django_as_it_is():
            app.loader.import_default_modules()
        app.finalize()
    if name not in app.tasks:
        raise NotTestable(
            f"the application {app.main or app} has no task {name}",
            hint="Import the module that defines it, or name the application: drain(app=...).",
        )
    settling = {"on_ack": message.ack_log_error, "on_reject": message.reject_log_error}
    if message.headers.get("task"):
        return Request(message, app=app, hostname=_NAME, task=app.tasks[name], **settling)
    body, headers, decoded, utc = proto1_to_proto2(message, message.payload)
    return Request(
        message,
        app=app,
        hostname=_NAME,
        task=app.tasks[name],
        body=body,
        headers=headers,
        decoded=decoded,
        utc=utc,
        **settling,
    )
