"""Compares what a database has of pgqueue with what this release makes, object by object.

The release is known by a digest of each object, in `catalog.tsv`: `make schema` writes it from an installation. The
digests are the same on every version of PostgreSQL that is supported.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from ..db.client_session import ClientSession

FILE_NAME = "catalog.tsv"


class Problem(str, enum.Enum):
    """How an object differs from the release."""

    MISSING = "is missing"
    CHANGED = "differs from the release's"
    ADDED = "is not of the release"


class Object(NamedTuple):
    """A table, a column, a function, a grant and so on; a grant is all of its name."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


class Difference(NamedTuple):
    """An object that is not as the release makes it."""

    object: Object
    problem: Problem

    def __str__(self) -> str:
        return f"{self.object} {self.problem.value}"


@cache
def released_catalog() -> Mapping[Object, str]:
    """Return the digests of the objects that this release makes."""
    lines = (files(__name__.rpartition(".")[0]) / FILE_NAME).read_text(encoding="utf-8").splitlines()
    rows = (line.split("\t") for line in lines)
    return {Object(kind, name): digest for kind, name, digest in rows}


def installed_catalog(session: ClientSession) -> dict[Object, str]:
    """Return the digests of the objects that a database has.

    Raises:
        PgQueueError: the server refused, or cannot be reached.
    """
    return {Object(kind, name): digest for kind, name, digest in session.fetch("installed_catalog")}


def find_differences(session: ClientSession) -> list[Difference]:
    """Return what a database has otherwise than this release makes it, sorted by kind and name.

    Raises:
        PgQueueError: as `installed_catalog`.
    """
    return sorted(_compare(released_catalog(), installed_catalog(session)))


def to_text(catalog: Mapping[Object, str]) -> str:
    """Write a catalog as `released_catalog` reads it."""
    return "".join(f"{found.kind}\t{found.name}\t{digest}\n" for found, digest in sorted(catalog.items()))


def _compare(released: Mapping[Object, str], installed: Mapping[Object, str]) -> Iterator[Difference]:
    yield from (Difference(each, Problem.MISSING) for each in released.keys() - installed.keys())
    yield from (Difference(each, Problem.ADDED) for each in installed.keys() - released.keys())
    both = released.keys() & installed.keys()
    yield from (Difference(each, Problem.CHANGED) for each in both if released[each] != installed[each])
