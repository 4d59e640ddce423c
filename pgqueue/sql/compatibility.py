"""Which versions of the schema a version of this package can use: those of its own minor version and of the next.

A newer minor version keeps the functions that released programs call; an older one lacks what this one calls.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..errors import SchemaTooNew, SchemaTooOld
from ..version import __version__


def version_numbers(version: str) -> tuple[int, ...]:
    """Return the numbers of a version, to be compared."""
    return tuple(int(number) for number in re.findall(r"\d+", version))


def accepts(version: str, schema: Sequence[int]) -> bool:
    """Return whether a version of the package can use a schema, given the numbers of the schema's version."""
    major, minor, *_ = version_numbers(version)
    return tuple(schema[:2]) in ((major, minor), (major, minor + 1))


def require_usable(schema: Sequence[int] | None, version: str = __version__) -> None:
    """Pass when a program of this version can use the schema.

    Args:
        schema: the major and the minor number of the newest version that has upgraded it; None: unknown.

    Raises:
        SchemaTooOld, SchemaTooNew: it cannot.
    """
    if schema is None or accepts(version, schema):
        return
    found = ".".join(map(str, schema))
    if tuple(schema) < version_numbers(version):
        raise SchemaTooOld(
            f"the schema is of version {found}, this pgqueue is {version}",
            hint="Let the owner of pgqueue run, with this version of the package: pgqueue upgrade",
        )
    raise SchemaTooNew(
        f"the schema is of version {found}, this pgqueue is {version} and accepts the next minor version at most",
        hint="Upgrade the Python package celery-pgqueue to the version that the database was upgraded with.",
    )
