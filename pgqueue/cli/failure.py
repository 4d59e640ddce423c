"""An error on the command line: one line, PostgreSQL's DETAIL, and a hint."""

from __future__ import annotations

import json
import re

import click

from ..errors import JobError, PgQueueError
from .output import to_text

_MORE = ("detail", "hint", "context")


def show_failure(failure: PgQueueError | str, *, as_json: bool, about: str | None = None) -> None:
    """Write an error to standard error, as lines or as one JSON object.

    Args:
        about: stands before a message that does not name it.
    """
    if as_json:
        click.echo(json.dumps({"error": failure_fields(failure)}), err=True)
        return
    fields = failure_fields(failure)
    sqlstate = f" ({fields['sqlstate']})" if fields.get("sqlstate") else ""
    message = to_text(fields["message"])
    if about is not None and not re.search(rf"\b{re.escape(about)}\b", message):
        message = f"{about}: {message}"
    click.echo(f"pgqueue: error: {message}{sqlstate}", err=True)
    if not isinstance(failure, JobError):
        fields.pop("context", None)  # The context names pgqueue's own functions, which does not help the user.
    for name in _MORE:
        if fields.get(name):
            click.echo(f"{name}: {to_text(fields[name])}", err=True)


def failure_fields(failure: PgQueueError | str) -> dict[str, object]:
    """Return the fields of an error, under PostgreSQL's names."""
    if isinstance(failure, str):
        return {"message": failure}
    known = {"type": type(failure).__name__, "message": str(failure)}
    return known | {name: value for name, value in vars(failure).items() if value is not None}
