"""`pgqueue doctor`: what is wrong, and what to do about it."""

from __future__ import annotations

import dataclasses

import click
from rich.text import Text

from ..doctor import Level, examine
from .options import on_database
from .report import console, print_json

_STYLES = {Level.OK: "green", Level.WARN: "yellow", Level.FAIL: "bold red"}


@click.command()
@on_database
def doctor(dsn: str | None, as_json: bool) -> int:
    """Check the database, its queues and this role's way to them; fail if something does not work."""
    findings = []
    for finding in examine(dsn):
        findings.append(finding)
        if not as_json:
            mark = Text(f"{finding.level.value:4}", style=_STYLES[finding.level])
            console().print(mark, Text(f" {finding.check}: {finding.text}"), sep="")
            if finding.hint is not None and finding.level is not Level.OK:
                console().print(Text(f"      hint: {finding.hint}"))
    if as_json:
        print_json([dataclasses.asdict(finding) | {"level": finding.level.value} for finding in findings])
    return int(any(finding.level is Level.FAIL for finding in findings))
