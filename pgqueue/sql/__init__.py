"""The SQL that pgqueue is made of, as text: schema migrations, files of functions, named queries.

Owns where the files are and in which order they are applied. README.md says which kind is which.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from graphlib import CycleError, TopologicalSorter
from importlib.resources import files

_PLACEHOLDER = re.compile(r"%\((\w+)\)s")
_MIGRATION = re.compile(r"(?P<version>\d{4})_(?P<name>[a-z0-9_]+)\.sql")
_AFTER = re.compile(r"-- after: ([a-z0-9_, ]+)\n")
_CONCURRENTLY = re.compile(r"(?<=index )concurrently ")
_END_OF_STATEMENT = re.compile(r";[ ]*(?:\n|\Z)")
_VIEW = re.compile(r"^create or replace view pgqueue\.(\w+)", re.MULTILINE)
_QUERY = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)


@dataclass(frozen=True)
class Migration:
    """One step of the schema; frozen once released."""

    version: int
    name: str
    text: str

    @property
    def needs_functions(self) -> bool:
        """Whether it is applied after the files of functions: its first line is `-- after: functions`."""
        return _after(self.text) == ("functions",)

    @property
    def is_concurrent(self) -> bool:
        """Whether it builds indexes while their tables are written to: its first line is `-- concurrently`."""
        return self.text.startswith("-- concurrently\n")

    @property
    def statements(self) -> tuple[str, ...]:
        """The statements of a concurrent migration; each is run outside a transaction."""
        return tuple(statement for statement in _END_OF_STATEMENT.split(self.text) if statement.strip())

    @property
    def text_for_new_tables(self) -> str:
        """The same in one transaction, for tables that nobody uses yet."""
        return _CONCURRENTLY.sub("", self.text) if self.is_concurrent else self.text

    def __str__(self) -> str:
        return f"{self.version:04}_{self.name}"


@dataclass(frozen=True)
class FunctionFile:
    """Functions and views of one noun, applied as a whole when its hash is not the one that the database has."""

    name: str
    text: str

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the text."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def after(self) -> tuple[str, ...]:
        """The files that are applied before it: a view, or a body that is parsed at once, names what they make."""
        return _after(self.text)

    @property
    def views(self) -> tuple[str, ...]:
        """The views that it replaces."""
        return tuple(_VIEW.findall(self.text))

    def __str__(self) -> str:
        return f"functions/{self.name}"


@cache
def query(name: str) -> str:
    """Return the text of a named query, to be executed with its named parameters.

    Raises:
        KeyError: there is no query of that name.
    """
    return queries()[name]


@cache
def numbered(name: str) -> tuple[bytes, tuple[str, ...]]:
    """Return a named query with $1, $2 for its parameters, and which those are.

    Raises:
        KeyError: as `query`.
    """
    names = tuple(dict.fromkeys(_PLACEHOLDER.findall(query(name))))
    text = _PLACEHOLDER.sub(lambda found: f"${names.index(found[1]) + 1}", query(name))
    return text.encode(), names


@cache
def queries() -> dict[str, str]:
    """Return all named queries: what follows a line `-- name: NAME` in a file of queries, up to the next such line.

    Raises:
        ValueError: a name is taken twice.
    """
    found: dict[str, str] = {}
    for file, text in _files("queries"):
        for name, body in _sections(text):
            if name in found:
                raise ValueError(f"the query {name} of {file} is in another file too")
            found[name] = body
    return found


@cache
def migrations() -> tuple[Migration, ...]:
    """Return all migrations of the schema, in the order of their numbers.

    Raises:
        ValueError: a file is not named NNNN_verb_object.sql, or numbers are missing or taken twice.
    """
    found = []
    for file, text in _files("schema"):
        name = _MIGRATION.fullmatch(file)
        if name is None:
            raise ValueError(f"{file} is not named NNNN_verb_object.sql")
        found.append(Migration(int(name["version"]), name["name"], text))
    found.sort(key=lambda migration: migration.version)
    if [migration.version for migration in found] != list(range(1, len(found) + 1)):
        raise ValueError("the migrations are not numbered from 1 without gaps")
    return tuple(found)


@cache
def function_files() -> tuple[FunctionFile, ...]:
    """Return all files of functions, each after those that it names in its first line.

    Raises:
        ValueError: a file names one that is not there, or two wait for each other.
    """
    read = (FunctionFile(file.removesuffix(".sql"), text) for file, text in _files("functions"))
    known = {file.name: file for file in read}
    for file in known.values():
        if strangers := set(file.after) - set(known):
            raise ValueError(f"{file} is after {', '.join(sorted(strangers))}, which is not there")
    try:
        order = TopologicalSorter({name: file.after for name, file in known.items()}).static_order()
        return tuple(known[name] for name in order)
    except CycleError as cycle:
        raise ValueError(f"files of functions wait for each other: {', '.join(cycle.args[1])}") from cycle


def _files(folder: str) -> Iterator[tuple[str, str]]:
    for file in sorted((files(__name__) / folder).iterdir(), key=lambda each: each.name):
        if file.name.endswith(".sql"):
            yield file.name, file.read_text(encoding="utf-8")


def _sections(text: str) -> Iterator[tuple[str, str]]:
    _, *parts = _QUERY.split(text)
    return ((name, body.strip("\n")) for name, body in zip(parts[::2], parts[1::2], strict=True))


def _after(text: str) -> tuple[str, ...]:
    found = _AFTER.match(text)
    return tuple(found[1].split(", ")) if found else ()
