"""A virtual environment for each library, made from its pinned requirements."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from .variants import HERE, ROOT, Library

# They come with the environment, not with the library.
_TOOLS = {"pip", "setuptools", "wheel"}


@dataclass(frozen=True)
class Environment:
    """The programs of a library.

    Args:
        bin: the folder of the programs.
        versions: the installed distributions.
        megabytes: what they take on the disk.
    """

    bin: Path
    versions: dict[str, str]
    megabytes: float


def make(library: Library, place: Path, python: str) -> Environment:
    """Install the requirements of a library into a new environment below `place`."""
    folder = place / library.folder
    pip = [folder / "bin" / "pip", "--disable-pip-version-check"]
    if not folder.exists():
        subprocess.run([python, "-m", "venv", folder], check=True)
    requirements = HERE / library.folder / "requirements.txt"
    # From the root of the checkout, because the requirements of pgqueue name it as `.`.
    subprocess.run([*pip, "install", "--quiet", "--requirement", requirements], cwd=ROOT, check=True)
    listed = subprocess.run([*pip, "list", "--format=json"], capture_output=True, check=True).stdout
    versions = {each["name"].lower(): each["version"] for each in json.loads(listed)}
    size = sum(
        file.stat().st_size
        for file in folder.glob("lib/*/site-packages/**/*")
        if file.is_file() and file.suffix != ".pyc" and not _TOOLS & set(file.parts)
    )
    return Environment(
        folder / "bin",
        {name: version for name, version in versions.items() if name not in _TOOLS},
        round(size / 1e6, 1),
    )


def count_lines(folder: Path) -> tuple[int, int]:
    """Return the files of a service, and their lines without blanks, comments, and what is for the measurement."""
    files = [file for file in sorted(folder.iterdir()) if file.suffix in (".py", ".sql") and file.is_file()]
    lines = [line.strip() for file in files for line in file.read_text().splitlines()]
    return len(files), sum(1 for line in lines if line and not line.startswith("#") and "pause_at" not in line)
