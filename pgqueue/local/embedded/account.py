"""The account that runs the server. PostgreSQL refuses to run as root, so for root it is an account without rights.

No permissions are changed: if the account cannot enter a directory, another place is chosen.
"""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from ...errors import EmbeddedUnavailable

OWN_ACCOUNT = "pgqueue"
_KNOWN = (OWN_ACCOUNT, "postgres")
_LAST_RESORT = ("nobody", "daemon")


@dataclass(frozen=True)
class Account:
    """The user that owns the server's processes."""

    name: str
    uid: int
    gid: int

    @property
    def is_self(self) -> bool:
        """Return whether this process already runs as that user."""
        return self.uid == os.geteuid()

    def subprocess_options(self) -> dict[str, Any]:
        """Return the options that make `subprocess` run a program as this user."""
        return {} if self.is_self else {"user": self.uid, "group": self.gid, "extra_groups": []}

    def own(self, directory: Path) -> None:
        """Give the account a directory that this process just made."""
        if not self.is_self:
            os.chown(directory, self.uid, self.gid, follow_symlinks=False)

    def open_file(self, path: Path, mode: str) -> IO[bytes]:
        """Open a file of the account for writing, created if necessary, readable by no other user.

        Symbolic links are never followed: with one, the account could make root write elsewhere.
        """
        how = {"wb": os.O_TRUNC, "ab": os.O_APPEND}[mode]
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | how, 0o600)
        if not self.is_self:
            os.fchown(descriptor, self.uid, self.gid)
        return os.fdopen(descriptor, mode)

    def can_enter(self, directory: Path) -> bool:
        """Return whether the account may enter a directory, through all of its parents."""
        resolved = directory.resolve()
        return all(self._has(step, 0o1) for step in (*resolved.parents, resolved))

    def can_read(self, path: Path) -> bool:
        """Return whether the account may read a file or a directory, through all of its parents."""
        return self.can_enter(path.parent) and self._has(path.resolve(), 0o4)

    def _has(self, path: Path, bit: int) -> bool:
        if self.is_self:
            return os.access(path, os.R_OK if bit == 0o4 else os.X_OK)
        about = path.stat()
        if about.st_uid == self.uid:
            bit <<= 6
        elif about.st_gid == self.gid:
            bit <<= 3
        return bool(stat.S_IMODE(about.st_mode) & bit)


def account_for(data_dir: Path) -> Account:
    """Return the account for a data directory: its owner, else this user, and for root an account without rights.

    Raises:
        EmbeddedUnavailable: this process is root and the machine has no other account.
    """
    if os.geteuid() != 0:
        return _self()
    if data_dir.exists() and data_dir.stat().st_uid != 0:
        owner = data_dir.stat()
        return Account(_name_of(owner.st_uid), owner.st_uid, owner.st_gid)
    found = _existing(_KNOWN) or _create() or _existing(_LAST_RESORT)
    if found is None:
        raise EmbeddedUnavailable(
            "PostgreSQL cannot run as root, and there is no other account", hint="Create one: useradd --system pgqueue"
        )
    return found


def _self() -> Account:
    return Account(_name_of(os.geteuid()), os.geteuid(), os.getegid())


def _name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)  # In a container, the user may have no entry.


def _existing(names: tuple[str, ...]) -> Account | None:
    for name in names:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name, entry.pw_uid, entry.pw_gid)
    return None


def _create() -> Account | None:
    useradd = shutil.which("useradd") or shutil.which("useradd", path="/usr/sbin:/sbin")
    if useradd is None:
        return None
    options = ["--system", "--no-create-home", "--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin"]
    has_group = any(group.gr_name == OWN_ACCOUNT for group in grp.getgrall())
    made = subprocess.run(
        [useradd, *options, "--no-user-group" if has_group else "--user-group", OWN_ACCOUNT],
        capture_output=True,
        check=False,
    )
    return _existing((OWN_ACCOUNT,)) if made.returncode == 0 else None
