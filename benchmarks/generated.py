"""Tables in Markdown, and the places of the docs that hold those of a measurement: `<!-- generated: TOPIC, NAME -->` to `<!-- end -->`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def number(value: float) -> str:
    """Return a number with as many digits as it deserves."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2g}" if value >= 0.01 else "0"


def write_into(page: Path, topic: str, made: Mapping[str, str]) -> None:
    """Replace what was generated about a topic in a page.

    Raises:
        ValueError: the page has no place for one of them.
    """
    text = page.read_text()
    for name, content in made.items():
        place = re.compile(rf"(<!-- generated: {topic}, {name} -->\n)(?:(?!<!-- ).*\n)*(<!-- end -->)")
        if not place.search(text):
            raise ValueError(f"{page} has no place for the table {name!r}")
        text = place.sub(lambda match, content=content: f"{match[1]}{content}\n{match[2]}", text)  # type: ignore[misc]
    page.write_text(text)


def read_from(page: Path, topic: str) -> dict[str, str]:
    """Return what a page shows that was generated about a topic, by name."""
    found = re.findall(rf"<!-- generated: {topic}, ([\w ]+) -->\n(.*?)\n<!-- end -->", page.read_text(), re.DOTALL)
    return dict(found)
