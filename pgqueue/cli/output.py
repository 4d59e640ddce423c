"""The output of commands: a table for people, JSON for scripts."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time
from typing import Any

import click
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

# Rich assumes 80 columns without a terminal, and would cut the output to a pipe.
_WIDTH_WITHOUT_TERMINAL = 240

#: Characters that control a terminal. Any role chooses its labels, statements and values.
_CONTROL = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0)) if code not in b"\n\t"}
_CONTROL_IN_JSON = {code: f"\\u{code:04x}" for code in _CONTROL}


def console(*, error: bool = False) -> Console:
    """Return a console on standard output (or error) that cuts nothing without a terminal."""
    stream = sys.stderr if error else sys.stdout
    return Console(file=stream, width=None if stream.isatty() else _WIDTH_WITHOUT_TERMINAL, highlight=False)


def print_json(value: object) -> None:
    """Print a value as one line of JSON; instants in ISO 8601, numerics and the rest as text."""
    # JSON leaves the control characters above 0x7f unescaped.
    click.echo(json.dumps(value, default=_to_json, ensure_ascii=False).translate(_CONTROL_IN_JSON))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print all columns of each row: as a table, or one value a line if the terminal is too narrow."""
    table = Table(header_style="bold", box=None, pad_edge=False)
    for position, column in enumerate(columns):
        is_number = bool(rows) and all(isinstance(row[position], (int, float, type(None))) for row in rows)
        table.add_column(Text(column), justify="right" if is_number else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(to_text(value)) for value in row))
    out = console()
    if not out.is_terminal or _natural_width(columns, rows) <= out.width:
        _print(table)
        return
    for number, row in enumerate(rows, 1):
        out.print(Text(f"row {number}", style="bold"))
        print_fields({column: to_text(value) for column, value in zip(columns, row, strict=True)})


def _natural_width(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> int:
    texts = ([column, *(to_text(row[n]) for row in rows)] for n, column in enumerate(columns))
    widths = [max(cell_len(line) for text in column for line in text.split("\n")) for column in texts]
    return sum(widths) + 2 * (len(widths) - 1)


def print_fields(fields: Mapping[str, object]) -> None:
    """Print fields as `name: value` lines, without those that have no value."""
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in fields.items():
        if value is not None:
            table.add_row(name, Text(to_text(value)))
    _print(table)


def _print(table: Table) -> None:
    out = console()
    if out.is_terminal:
        out.print(table)
        return
    # Rich pads each line to the width of the table; the padding is removed.
    with out.capture() as capture:
        out.print(table)
    click.echo("\n".join(line.rstrip() for line in capture.get().splitlines()))


def to_text(value: object) -> str:
    r"""Write a value for people; control characters are written as `\x1b`."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="seconds")
    if isinstance(value, float):
        return f"{value:.1f}"
    return str(value).translate(_CONTROL)


def _to_json(value: Any) -> object:
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if isinstance(value, (bytes, memoryview)):
        return "\\x" + bytes(value).hex()
    return str(value)
