"""The SQL that one version of this package brings, and the part of it that was applied."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ..sql import FunctionFile, Migration, function_files, migrations
from ..version import __version__


@dataclass(frozen=True)
class Applied:
    """The files that an installation has applied; false when there were none."""

    migrations: tuple[Migration, ...] = ()
    functions: tuple[FunctionFile, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.migrations or self.functions)


@dataclass(frozen=True)
class Release:
    """The SQL that one version of this package brings."""

    version: str = __version__
    migrations: Sequence[Migration] = field(default_factory=migrations)
    functions: Sequence[FunctionFile] = field(default_factory=function_files)

    @property
    def latest(self) -> int:
        """The number of the newest migration."""
        return max((step.version for step in self.migrations), default=0)
