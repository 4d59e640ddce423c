"""The SQL that pgqueue is made of, as text: numbered migrations and named queries.

Owns where the files are. What they do is written in them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

_PLACEHOLDER = re.compile(r"%\((\w+)\)s")
_MIGRATION = re.compile(r"(?P<version>\d{4})_(?P<name>[a-z0-9_]+)\.sql")


@dataclass(frozen=True)
class Migration:
    """One step of the schema; frozen once released."""

    version: int
    name: str
    text: str


@cache
def query(name: str) -> str:
    """Return the text of a named query, to be executed with its named parameters.

    Raises:
        FileNotFoundError: there is no query of that name.
    """
    return (files(__name__) / "queries" / f"{name}.sql").read_text(encoding="utf-8")


@cache
def numbered(name: str) -> tuple[bytes, tuple[str, ...]]:
    """Return a named query with $1, $2 for its parameters, and which those are.

    Raises:
        FileNotFoundError: as `query`.
    """
    names = tuple(dict.fromkeys(_PLACEHOLDER.findall(query(name))))
    text = _PLACEHOLDER.sub(lambda found: f"${names.index(found[1]) + 1}", query(name))
    return text.encode(), names


@cache
def migrations() -> tuple[Migration, ...]:
    """Return all migrations, in the order in which they are applied.

    Raises:
        ValueError: a file is not named NNNN_verb_object.sql, or numbers are missing or taken twice.
    """
    found = []
    for file in (files(__name__) / "migrations").iterdir():
        if not file.name.endswith(".sql"):
            continue
        name = _MIGRATION.fullmatch(file.name)
        if name is None:
            raise ValueError(f"{file.name} is not named NNNN_verb_object.sql")
        found.append(Migration(int(name["version"]), name["name"], file.read_text(encoding="utf-8")))
    found.sort(key=lambda migration: migration.version)
    if [migration.version for migration in found] != list(range(1, len(found) + 1)):
        raise ValueError("the migrations are not numbered from 1 without gaps")
    return tuple(found)
