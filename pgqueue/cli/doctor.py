"""`pgqueue doctor`: find problems, and print a hint for each."""

from __future__ import annotations

import dataclasses

import click
from rich.table import Table
from rich.text import Text

from .health.examine import examine
from .health.finding import Finding, Level
from .output import console, to_text
from .several import on_several_databases, print_json_of_each, show_each

_STYLES = {Level.OK: "green", Level.SKIP: "dim", Level.WARN: "yellow", Level.FAIL: "bold red"}
_CHECK_WIDTH = 15


@click.command()
@click.option("--strict", is_flag=True, help="Fail on warnings too.")
@on_several_databases
def doctor(strict: bool, dsn: tuple[str, ...], as_json: bool) -> int:
    """Check the database, its queues and this role's way to them; fail if something does not work."""
    bad = {Level.FAIL, Level.WARN} if strict else {Level.FAIL}

    def show(one: str | None) -> int:
        findings = []
        for finding in examine(one):
            findings.append(finding)
            _print(finding)
        return int(any(finding.level in bad for finding in findings))

    def find(one: str | None) -> tuple[object, int]:
        findings = list(examine(one))
        found = [dataclasses.asdict(finding) | {"level": finding.level.value} for finding in findings]
        return found, int(any(finding.level in bad for finding in findings))

    return print_json_of_each(dsn, find) if as_json else show_each(dsn, show)


def _print(finding: Finding) -> None:
    out = console()
    hint = finding.hint if finding.level is not Level.OK else None
    if not out.is_terminal:
        click.echo(f"{finding.level.value:4} {finding.check}: {to_text(finding.text)}")
        if hint is not None:
            click.echo(f"      hint: {to_text(hint)}")
        return
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(width=4)
    grid.add_column(width=_CHECK_WIDTH)
    grid.add_column()
    grid.add_row(Text(finding.level.value, style=_STYLES[finding.level]), finding.check, Text(to_text(finding.text)))
    if hint is not None:
        grid.add_row("", "", Text(f"hint: {to_text(hint)}"))
    out.print(grid)
