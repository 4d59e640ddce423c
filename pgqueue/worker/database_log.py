"""The name of the database in each line of the log, for a process that is one of several: `--dsn` more than once.

The parent gives the name by the environment. Text lines begin with it, and JSON lines have the field `database`.
"""

from __future__ import annotations

import logging
import os
from typing import Any

from .log import escape

DATABASE_VARIABLE = "PGQUEUE_LOG_DATABASE"

_names: list[str] = []


def take_database_name() -> None:
    """Take the name from the environment. The processes that this one starts do not inherit it."""
    name = os.environ.pop(DATABASE_VARIABLE, None)
    if name and not _names:
        _names.append(escape(name))


def database_name() -> str | None:
    """Return the name of this process's database; None: it is no process of several."""
    return _names[0] if _names else None


def name_database_in_text() -> None:
    """Let the message of each line begin with the name, whatever handler or format writes it. Do it once."""
    name = database_name()
    if name is None:
        return
    make = logging.getLogRecordFactory()

    def make_named(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = make(*args, **kwargs)
        # Without arguments, a message is not formatted.
        record.msg = f"[{name.replace('%', '%%') if record.args else name}] {record.msg}"
        return record

    logging.setLogRecordFactory(make_named)
