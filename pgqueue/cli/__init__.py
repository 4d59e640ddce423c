"""The commands of the command line, a file for each noun. They assemble; rules live elsewhere."""

from .commands import cli, main, run

__all__ = ["cli", "main", "run"]
