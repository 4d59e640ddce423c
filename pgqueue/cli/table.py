"""Tables for people: as many columns as fit the terminal, cut instead of wrapped.

Without a terminal no column is left out and nothing is cut. Scripts read `--json`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

import click
from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from .output import console, to_text

Command = TypeVar("Command", bound=Callable[..., Any])

_GAP = 2
_READABLE = 40
_STYLES = {
    "failed": "red", "lost": "red", "fail": "bold red", "expired": "yellow", "canceled": "yellow", "warn": "yellow",
    "running": "cyan", "succeeded": "green", "online": "green", "ok": "green",
}  # fmt: skip


@dataclass(frozen=True)
class Column:
    """One column, and its importance when there is little room."""

    name: str
    rank: int = 0
    """Those of the highest rank are left out first; those of rank 0 never."""
    least: int | None = None
    """It may be cut to this many places; None: it is never cut."""
    is_extra: bool = False
    """Shown when it is asked for, and with --wide."""


@dataclass(frozen=True)
class View:
    """The options of the command line for a table."""

    wide: bool = False
    chosen: tuple[str, ...] = ()


def table_options(columns: Sequence[Column]) -> Callable[[Command], Command]:
    """Add the options --wide and --columns to a command, as its arguments `wide` and `chosen`."""
    names = [column.name for column in columns]

    def read(_context: click.Context, _option: click.Parameter, given: str | None) -> tuple[str, ...]:
        chosen = tuple(name.strip() for name in (given or "").split(",") if name.strip())
        unknown = [name for name in chosen if name not in names]
        if unknown:
            raise click.BadParameter(f"there is no column {', '.join(unknown)}; there are {', '.join(names)}")
        return chosen

    def decorate(command: Command) -> Command:
        pick = click.option(
            "--columns",
            "chosen",
            metavar="A,B,...",
            callback=read,
            help=f"These columns, in this order: {', '.join(names)}.",
        )
        wide = click.option("--wide", is_flag=True, help="Every column, and nothing cut, however narrow the terminal.")
        return wide(pick(command))

    return decorate


def show_table(
    columns: Sequence[Column], rows: Sequence[Mapping[str, object]], view: View, *, title: str | None = None
) -> None:
    """Print rows in the form that the terminal and the options ask for."""
    out = console()
    fits = out.is_terminal and not view.wide
    shown = _choose(columns, rows, view, leaves_out=fits)
    numbers = {c.name for c in shown if rows and all(_is_number(row[c.name]) for row in rows)}
    cells = [[_to_cell(row[c.name], is_short=fits) for c in shown] for row in rows]
    widths = [max(cell_len(c.name), *(cell_len(row[n]) for row in cells), 0) for n, c in enumerate(shown)]
    if fits:
        shown, cells, widths = _fit(shown, cells, widths, out.width)
    if title is not None:
        _print(out, Text(title, style="italic"))
    _print(out, _join([_align(c.name, w, c.name in numbers) for c, w in zip(shown, widths, strict=True)], "bold"))
    for row in cells:
        texts = [_align(cell, w, c.name in numbers) for cell, c, w in zip(row, shown, widths, strict=True)]
        _print(out, _join(texts))


def _choose(
    columns: Sequence[Column], rows: Sequence[Mapping[str, object]], view: View, *, leaves_out: bool
) -> list[Column]:
    if view.chosen:
        known = {column.name: column for column in columns}
        return [known[name] for name in view.chosen]
    if view.wide:
        return list(columns)
    usual = [column for column in columns if not column.is_extra]
    if not leaves_out or not rows:
        return usual
    # A column without any value is left out, which leaves room for the others.
    return [c for c in usual if c.rank == 0 or any(row[c.name] not in (None, "", []) for row in rows)]


def _fit(
    columns: list[Column], cells: list[list[str]], widths: list[int], room: int
) -> tuple[list[Column], list[list[str]], list[int]]:
    """Leave out the least important columns until the rest fits at its smallest widths.

    Then distribute the remaining room.
    """
    least = [
        w if c.least is None else min(w, max(c.least, cell_len(c.name))) for c, w in zip(columns, widths, strict=True)
    ]
    kept = list(range(len(columns)))

    def taken(sizes: list[int]) -> int:
        return sum(sizes[n] for n in kept) + _GAP * (len(kept) - 1)

    for n in sorted(kept, key=lambda n: -columns[n].rank):
        if taken(least) <= room or columns[n].rank == 0:
            break
        kept.remove(n)
    given = list(least)
    spare = room - taken(least)
    # First each column gets its readable width, then the rest is distributed.
    for most in (_READABLE, room):
        for n in sorted(kept, key=lambda n: columns[n].rank):
            more = max(0, min(spare, widths[n] - given[n], most - given[n]))
            given[n] += more
            spare -= more
    if spare < 0:
        # The columns that must stay do not fit: the terminal is too narrow for a table.
        given[kept[-1]] = max(1, given[kept[-1]] + spare)
    return [columns[n] for n in kept], [[row[n] for n in kept] for row in cells], [given[n] for n in kept]


def _to_cell(value: object, *, is_short: bool) -> str:
    if isinstance(value, datetime) and is_short:
        return short_time(value, datetime.now().astimezone())
    if isinstance(value, (list, tuple)):
        value = ", ".join(str(part) for part in value)
    return " ".join(to_text(value).split())


def short_time(value: datetime, now: datetime) -> str:
    """Write an instant in this machine's time zone: the time alone if it is today, else with the date."""
    local = value.astimezone(now.tzinfo)
    if local.date() == now.date():
        return f"{local:%H:%M:%S}"
    return f"{local:%m-%d %H:%M}" if local.year == now.year else f"{local:%Y-%m-%d}"


def _is_number(value: object) -> bool:
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool))


def _align(text: str, width: int, is_number: bool) -> str:
    length = cell_len(text)
    if length > width:
        mark = "…" if "utf" in (sys.stdout.encoding or "").lower() else "~"
        return set_cell_size(text, width - 1) + mark
    return " " * (width - length) + text if is_number else text + " " * (width - length)


def _join(cells: list[str], style: str | None = None) -> Text:
    line = Text(style=style or "")
    for n, cell in enumerate(cells):
        line.append(" " * _GAP if n else "")
        line.append(cell, style=_STYLES.get(cell.strip(), "") if style is None else "")
    line.rstrip()
    return line


def _print(out: Console, line: Text) -> None:
    # The terminal wraps wide lines; this code does not.
    out.print(line, no_wrap=True, overflow="ignore", crop=False, soft_wrap=True)
