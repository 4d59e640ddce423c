"""The events of SQL jobs in the format of Celery's monitors, a list of them in one JSON text.

Thousands are published each second, three for a job. So the text is assembled here from parts that need no escaping and
from strings that are escaped one by one, which takes 25 % of the time of Celery's dispatcher and json.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from ..running.error_fields import print_error, to_exception
from .job_request import TASK_NAME

if TYPE_CHECKING:
    from collections.abc import Mapping

_quote = json.encoder.encode_basestring_ascii


class EndedRun(NamedTuple):
    """How a run of a job ended, as the database reports it.

    Without a statement: the job succeeded among many others.
    """

    id: int
    label: str | None
    preview: str | None
    attempts: int
    state: str
    started_at: float
    ended_at: float
    command_tag: str | None
    error: Mapping[str, str | None] | None


class EventText:
    """The events of one message: all of one worker, in the order in which they are added."""

    def __init__(self, hostname: str, pid: int, utcoffset: int, clock: int) -> None:
        # All have the same time on Celery's logical clock, because they are sent together.
        self._origin = f',"hostname":{_quote(hostname)},"pid":{pid},"utcoffset":{utcoffset},"clock":{clock}'
        self._parts: list[str] = []

    def add(self, run: EndedRun, told_at: float, *, has_begun: bool | None) -> None:
        """Add the events of a run: how it began and how it ended.

        Args:
            has_begun: None if monitors do not know the run, else whether they know that it has begun.
        """
        job = f',"uuid":"job-{run.id}"{self._origin}'
        if has_begun is None:
            name = TASK_NAME if run.label is None else run.label
            details = ""
            if run.preview is not None:
                details = (
                    f',"args":{_quote(run.preview)},"kwargs":"{{}}","retries":{max(0, run.attempts - 1)}'
                    f',"root_id":"job-{run.id}","parent_id":null,"eta":null,"expires":null'
                )
            # The event is not later than the start, or monitors would show a job that was received after its end.
            received_at = min(told_at, run.started_at)
            self._parts.append(
                f'{{"type":"task-received"{job},"timestamp":{received_at},"name":{_quote(name)}{details}}}'
            )
        if not has_begun and run.attempts:
            self._parts.append(f'{{"type":"task-started"{job},"timestamp":{run.started_at}}}')
        kind, fields = _ending(run)
        self._parts.append(f'{{"type":"task-{kind}"{job},"timestamp":{run.ended_at}{fields}}}')

    def __str__(self) -> str:
        return f"[{','.join(self._parts)}]"


def _ending(run: EndedRun) -> tuple[str, str]:
    """Return the type of the last event of a run, and the fields that only this type has."""
    if run.state == "succeeded":
        return "succeeded", f',"result":{_quote(run.command_tag or "")},"runtime":{run.ended_at - run.started_at}'
    fields: dict[str, Any]
    if run.state in ("failed", "retried"):
        error = run.error or {}
        kind, fields = run.state, {"exception": repr(to_exception(error)), "traceback": print_error(error)}
    else:
        is_expired = run.state == "expired"
        kind, fields = "revoked", {"terminated": not is_expired, "signum": None, "expired": is_expired}
    return kind, "," + json.dumps(fields)[1:-1]
