"""A data directory: its pg_hba.conf, the version that created it, and the server that runs on it.

It is created under another name and renamed, so that it is complete or absent.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ...errors import DataDirectoryUnusable, EmbeddedStartFailed
from .account import Account
from .binaries import Binaries

SUPERUSER = "postgres"
_LONGEST_SOCKET_DIR = 85  # The kernel accepts 107 bytes for the whole path of a socket.
_SOCKET_NOTE = "pgqueue_socket_dir"
_PASSWORD = "pgqueue_password"

_DEFAULTS = """
# Set by pgqueue; ALTER SYSTEM and the lines below this one win.
max_connections = 200
cluster_name = 'pgqueue'
password_encryption = 'scram-sha-256'
"""

# The loopback's login authenticates by password here as well, because any session can send anything over it. Other
# roles are trusted on the socket, because only the user who started the server, and root, can reach it.
_HBA = """# Written by pgqueue.
local  all  {gate}  scram-sha-256
local  all  all  trust
host   all  all  127.0.0.1/32  scram-sha-256
host   all  all  ::1/128  scram-sha-256
"""
# From PostgreSQL 16 on the second form would also match a role without superuser rights that installed pgqueue: there
# the creator of a role is a member of it. Before 16 there are no patterns.
_GATE_PATTERN = '"/^pgqueue_gate_[0-9]+$"'
_GATE_GROUP = "+pgqueue_gate"


@dataclass(frozen=True)
class Postmaster:
    """The contents of postmaster.pid: the server on a data directory."""

    pid: int
    port: int
    socket_dir: str
    status: str


def server_environment() -> Mapping[str, str]:
    """Return this process's environment without the variables that tell a PostgreSQL program which server to use."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_"))}
    return {**kept, "LC_ALL": "C"}


@contextmanager
def exclusive(data_dir: Path) -> Iterator[int]:
    """Keep other processes from starting on the data directory; they wait. Yields the file descriptor of the lock.

    Raises:
        DataDirectoryUnusable: this user cannot write there.
    """
    try:
        data_dir.parent.mkdir(parents=True, exist_ok=True)
        if data_dir.is_dir() and not os.access(data_dir, os.R_OK | os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, "it belongs to another user")
        descriptor = os.open(data_dir.parent / f".{data_dir.name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as refused:
        raise DataDirectoryUnusable(
            f"cannot use {data_dir}: {refused.strerror}", hint="Choose another place with --data DIR."
        ) from refused
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def ensure_initialized(data_dir: Path, binaries: Binaries, account: Account, *, lock: int, durable: bool) -> None:
    """Create the data directory unless it exists; call it under `exclusive`, with its lock.

    Raises:
        DataDirectoryUnusable: it is of another version, is something else, or the account cannot reach it.
        EmbeddedStartFailed: initdb failed; nothing is left behind.
    """
    if not account.can_enter(data_dir.parent):
        raise DataDirectoryUnusable(
            f"the account {account.name}, which runs the server for root, cannot enter {data_dir.parent}",
            hint="Choose a place that every user can enter with --data DIR, for example under /var/lib.",
        )
    for half_made in data_dir.parent.glob(f".{data_dir.name}.initdb-*"):
        shutil.rmtree(half_made)
    version_file = data_dir / "PG_VERSION"
    if version_file.exists():
        _require_version(data_dir, version_file.read_text().strip(), binaries)
    elif data_dir.exists() and (not data_dir.is_dir() or any(data_dir.iterdir())):
        raise DataDirectoryUnusable(
            f"{data_dir} is not empty, and no PostgreSQL data directory", hint="Choose another place with --data DIR."
        )
    else:
        _initialize(data_dir, binaries, account, lock=lock, durable=durable)


def read_postmaster(data_dir: Path) -> Postmaster | None:
    """Return the live server on a data directory, None if there is none."""
    try:
        lines = (data_dir / "postmaster.pid").read_text().splitlines()
        pid = int(lines[0])
    except (FileNotFoundError, IndexError, ValueError):
        return None  # The file does not exist, or is being written.
    if not _is_server_on(data_dir, pid):
        return None
    lines += [""] * (8 - len(lines))
    return Postmaster(pid, int(lines[3] or 0), lines[4], lines[7].strip())


def forget_dead_server(data_dir: Path) -> None:
    """Remove the lock file of a dead server, whose pid another program may have by now."""
    if read_postmaster(data_dir) is None:
        (data_dir / "postmaster.pid").unlink(missing_ok=True)


def socket_directory(data_dir: Path, account: Account) -> Path:
    """Return the directory for the socket: the data directory, or a private one if its path is too long."""
    if len(os.fsencode(data_dir)) <= _LONGEST_SOCKET_DIR:
        return data_dir
    noted = _noted_socket_directory(data_dir)
    if noted is not None:
        return noted
    short = Path(tempfile.mkdtemp(prefix="pgqueue-", dir="/tmp"))
    account.own(short)
    _write_for(account, data_dir / _SOCKET_NOTE, str(short))
    return short


def remove_socket_directory(data_dir: Path) -> None:
    """Remove the private directory of the socket, if there is one."""
    noted = _noted_socket_directory(data_dir)
    if noted is not None:
        shutil.rmtree(noted)


def read_password(data_dir: Path) -> str:
    """Return the superuser's password for TCP; the socket needs none."""
    return (data_dir / _PASSWORD).read_text().strip()


def _require_version(data_dir: Path, version: str, binaries: Binaries) -> None:
    if version != str(binaries.major):
        raise DataDirectoryUnusable(
            f"{data_dir} was made by PostgreSQL {version}, the binaries are {binaries.version}",
            hint=f"Name PostgreSQL {version}'s binaries with --pg-bin DIR, or another place with --data DIR.",
        )


def _initialize(data_dir: Path, binaries: Binaries, account: Account, *, lock: int, durable: bool) -> None:
    half_made = Path(tempfile.mkdtemp(prefix=f".{data_dir.name}.initdb-", dir=data_dir.parent))
    try:
        account.own(half_made)
        _write_for(account, half_made / _PASSWORD, secrets.token_urlsafe(24))
        _run_initdb(half_made / "data", half_made / _PASSWORD, binaries, account, lock=lock, durable=durable)
        made = half_made / "data"
        (half_made / _PASSWORD).rename(made / _PASSWORD)
        _write_for(
            account, made / "pg_hba.conf", _HBA.format(gate=_GATE_PATTERN if binaries.major >= 16 else _GATE_GROUP)
        )
        with account.open_file(made / "postgresql.conf", "ab") as configuration:
            configuration.write(_DEFAULTS.encode())
        made.rename(data_dir)
    except OSError as failure:
        raise DataDirectoryUnusable(f"cannot make {data_dir}: {failure.strerror}") from failure
    finally:
        shutil.rmtree(half_made, ignore_errors=True)


def _run_initdb(
    data_dir: Path, password: Path, binaries: Binaries, account: Account, *, lock: int, durable: bool
) -> None:
    command = [
        *(binaries.program("initdb"), "-D", str(data_dir), f"--username={SUPERUSER}", f"--pwfile={password}"),
        *("--encoding=UTF8", "--auth-local=trust", "--auth-host=scram-sha-256", "--lc-messages=C"),
        *(() if durable else ("--no-sync",)),
    ]
    # From 17 on the locale is PostgreSQL's own; before, the system may not have C.UTF-8.
    builtin = ("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
    for locale in (builtin,) if binaries.major >= 17 else (("--locale=C.UTF-8",), ("--locale=C",)):
        made = subprocess.run(
            [*command, *locale],
            cwd="/",
            env=server_environment(),
            capture_output=True,
            text=True,
            check=False,
            # The child holds the lock as well: if this process is killed, the next one waits until initdb has ended.
            pass_fds=(lock,),
            **account.subprocess_options(),
        )
        if made.returncode == 0:
            return
    raise EmbeddedStartFailed("initdb failed", detail=made.stderr.strip())


def _write_for(account: Account, path: Path, text: str) -> None:
    with account.open_file(path, "wb") as file:
        file.write(text.encode())


def _is_server_on(data_dir: Path, pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    try:
        if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
            return False  # The process has ended, and its parent has not waited for it.
        # A server works in its data directory. After a crash or in a new container the pid may be another program's.
        return Path(f"/proc/{pid}/cwd").samefile(data_dir)
    except OSError:
        return True  # There is no /proc, or it may not be read, so the lock file decides.


def _noted_socket_directory(data_dir: Path) -> Path | None:
    # The account that owns the data directory can write anything there, so root accepts only a process that matches.
    try:
        noted = Path((data_dir / _SOCKET_NOTE).read_text())
        about = noted.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    is_ours = about.st_uid == data_dir.stat().st_uid and not about.st_mode & 0o077
    return noted if is_ours and stat.S_ISDIR(about.st_mode) and noted.name.startswith("pgqueue-") else None
