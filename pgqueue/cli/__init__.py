"""The commands of the command line, one file for each noun. Rules live in other packages."""

from .commands import cli, main, run

__all__ = ["cli", "main", "run"]
