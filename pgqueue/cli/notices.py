"""Collect the NOTICEs and WARNINGs of the server while a command runs, for standard error and for the JSON."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from ..db.client_session import ClientSession
from .output import to_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg.errors import Diagnostic

_SEVERITIES = ("NOTICE", "WARNING")


class Notices:
    """The notices of one session, each once: the batches of a command say the same."""

    def __init__(self) -> None:
        self._heard: list[dict[str, str]] = []

    def hear(self, notice: Diagnostic) -> None:
        """Keep a notice of the server."""
        severity = notice.severity_nonlocalized
        if severity not in _SEVERITIES:
            return
        fields = {
            "severity": severity,
            "message": notice.message_primary,
            "detail": notice.message_detail,
            "hint": notice.message_hint,
        }
        told = {name: value for name, value in fields.items() if value}
        if told not in self._heard:
            self._heard.append(told)

    def to_json(self) -> list[dict[str, str]]:
        """Return the notices with their fields under PostgreSQL's names."""
        return self._heard

    def show(self) -> None:
        """Write the notices to standard error."""
        for told in self._heard:
            click.echo(f"pgqueue: {told['severity'].lower()}: {to_text(told['message'])}", err=True)
            for name in ("detail", "hint"):
                if name in told:
                    click.echo(f"{name}: {to_text(told[name])}", err=True)


@contextmanager
def open_heard(dsn: str | None, *, as_json: bool) -> Iterator[tuple[ClientSession, Notices]]:
    """Open a session and keep its notices; write them to standard error at the end, unless the output is JSON."""
    notices = Notices()
    try:
        with ClientSession(dsn, application_name="pgqueue cli", hear=notices.hear) as session:
            yield session, notices
    finally:
        if not as_json:
            notices.show()
