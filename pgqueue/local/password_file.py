"""libpq's password file for a process that logs in as several roles: the user's own file, and one more line."""

from __future__ import annotations

import os
import re
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict

_FILE_VARIABLE = "PGPASSFILE"
_PASSWORD_VARIABLE = "PGPASSWORD"


def write_password_file(conninfo: str, place: Path) -> Path | None:
    """Write a password file that also has the password of `conninfo`, and return it; None if there is no password.

    Args:
        conninfo: the login; without a password in it, PGPASSWORD is used.
        place: the path of the file, which is created readable by this user only.

    Raises:
        OSError: it cannot be written.
    """
    options = {name: str(value) for name, value in conninfo_to_dict(conninfo).items() if value is not None}
    password = options.get("password") or os.environ.get(_PASSWORD_VARIABLE)
    user = options.get("user") or os.environ.get("PGUSER")
    if not password or not user:
        return None
    place.unlink(missing_ok=True)
    descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(f"*:*:*:{_escape(user)}:{_escape(password)}\n")
        file.write(_read(options.get("passfile")))
    return place


def _read(named: str | None) -> str:
    known = Path(named or os.environ.get(_FILE_VARIABLE) or Path.home() / ".pgpass")
    try:
        return known.read_text(encoding="utf-8")
    except OSError:
        return ""  # libpq works without the file, too.


def _escape(text: str) -> str:
    return re.sub(r"([:\\])", r"\\\1", text)
