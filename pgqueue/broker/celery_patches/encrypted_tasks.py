"""Celery copies arguments and return values as text to where no serializer reaches; of encrypted ones, it must not.

It copies arguments to the headers of a message, to events and to the answers of `celery inspect`, and return values to
events and logs.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from ...encryption import HEADER, HIDDEN, SERIALIZER
from ...errors import InvalidArgument
from .. import process_identity

if TYPE_CHECKING:
    from collections.abc import Callable


def hide_arguments(celery_app_amqp: Any) -> None:
    """Let the headers of an encrypted task, and its event `task-sent`, hide its arguments. Harmless to repeat."""
    amqp = celery_app_amqp.AMQP
    if hasattr(amqp.as_task_v2, "hides_arguments"):
        return
    make, make_v1 = amqp.as_task_v2, amqp.as_task_v1

    @functools.wraps(make)
    def as_task_v2(self: Any, *args: Any, **options: Any) -> Any:
        message = make(self, *args, **options)
        if _is_encrypted(self.app, options):
            message.headers[HEADER] = True
            # A caller may describe the arguments of its task in its own words.
            shown = [options.get("argsrepr") or HIDDEN, options.get("kwargsrepr") or HIDDEN]
            message.headers["argsrepr"], message.headers["kwargsrepr"] = shown
            if message.sent_event:
                message.sent_event["args"], message.sent_event["kwargs"] = shown
        return message

    @functools.wraps(make_v1)
    def as_task_v1(self: Any, *args: Any, **options: Any) -> Any:
        if _is_encrypted(self.app, options):
            raise InvalidArgument(
                "messages of Celery's protocol 1 cannot be encrypted: workers would show their arguments",
                hint="Leave task_protocol as it is: 2.",
            )
        return make_v1(self, *args, **options)

    as_task_v2.hides_arguments = True  # type: ignore[attr-defined]
    amqp.as_task_v2, amqp.as_task_v1 = as_task_v2, as_task_v1


def encrypt_retries(celery_app_task: Any) -> None:
    """Let a task that was encrypted be encrypted when it retries itself. Harmless to repeat."""
    describe = celery_app_task.Context.as_execution_options
    if hasattr(describe, "keeps_encryption"):
        return

    @functools.wraps(describe)
    def as_execution_options(self: Any) -> Any:
        options = describe(self)
        # Celery keeps no serializer that was an option of the call.
        return {**options, "serializer": SERIALIZER} if getattr(self, HEADER, False) else options

    as_execution_options.keeps_encryption = True  # type: ignore[attr-defined]
    celery_app_task.Context.as_execution_options = as_execution_options


def hide_from_monitors(celery_worker_request: Any) -> None:
    """Let answers of `celery inspect` hide arguments that were encrypted. Harmless to repeat."""
    describe = celery_worker_request.Request.info
    if hasattr(describe, "hides_arguments"):
        return

    @functools.wraps(describe)
    def info(self: Any, safe: bool = False) -> Any:
        return describe(self, safe=safe or bool(self._request_dict.get(HEADER)))

    info.hides_arguments = True  # type: ignore[attr-defined]
    celery_worker_request.Request.info = info
    # The return value of a task whose process was lost after it.
    _hide_results(celery_worker_request, lambda: getattr(process_identity.app(), "backend", None))


def answer_in_json(celery_app_control: Any) -> None:
    """Send requests and answers of remote control as JSON where tasks are encrypted. Harmless to repeat.

    Celery takes the serializer of tasks for them, and a process that does not accept encrypted content would fail.
    """
    make = celery_app_control.Control.__init__
    if hasattr(make, "answers_in_json"):
        return

    @functools.wraps(make)
    def init(self: Any, app: Any = None) -> None:
        make(self, app=app)
        if self.mailbox.serializer == SERIALIZER:
            self.mailbox.serializer = "json"
            self.mailbox.accept = [*(self.mailbox.accept or ()), "json"]

    init.answers_in_json = True  # type: ignore[attr-defined]
    celery_app_control.Control.__init__ = init


def hide_results(celery_app_trace: Any) -> None:
    """Let events and logs hide return values where results are encrypted. Harmless to repeat."""
    from celery._state import get_current_task

    _hide_results(celery_app_trace, lambda: getattr(get_current_task(), "backend", None))


def _hide_results(module: Any, find_backend: Callable[[], Any]) -> None:
    write = module.saferepr
    if hasattr(write, "hides_results"):
        return

    @functools.wraps(write)
    def saferepr(value: object, *args: Any, **options: Any) -> Any:
        is_hidden = getattr(find_backend(), "serializer", None) == SERIALIZER
        return HIDDEN if is_hidden else write(value, *args, **options)

    saferepr.hides_results = True  # type: ignore[attr-defined]
    module.saferepr = saferepr


def _is_encrypted(app: Any, options: dict[str, Any]) -> bool:
    return bool((options.get("serializer") or app.conf.task_serializer) == SERIALIZER)
