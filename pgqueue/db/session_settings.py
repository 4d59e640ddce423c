"""What the sessions of each purpose are opened with, instead of what is set for a database and a role."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_SPECIAL = re.compile(r"[\\\s]")
#: What pgqueue's own statements rely on, whatever is set for a database or a role: they wait for as long as they say
#: themselves, see what others commit, write, and write and read values in one form. Any role may set these, and every
#: server from PostgreSQL 14 on knows them.
OWN_SETTINGS: Mapping[str, str] = {
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_session_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "default_transaction_isolation": "read committed",
    "default_transaction_read_only": "off",
    "default_transaction_deferrable": "off",
    "search_path": "pg_catalog, pg_temp",
    "row_security": "on",
    "standard_conforming_strings": "on",
    "transform_null_equals": "off",
    "array_nulls": "on",
    "quote_all_identifiers": "off",
    "DateStyle": "ISO, MDY",
    "IntervalStyle": "postgres",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "log_parameter_max_length_on_error": "0",
}
#: The same, of newer servers only.
NEWER_SETTINGS: Mapping[str, str] = {"transaction_timeout": "0", "restrict_nonsystem_relation_kind": ""}
#: Of a program's session, from which jobs are handed in: its values are sent in the form that its jobs read.
CALLER_SETTINGS: Mapping[str, str] = {
    name: value for name, value in {**OWN_SETTINGS, **NEWER_SETTINGS}.items() if name != "IntervalStyle"
}
#: Of sessions in which jobs run: they see what is set for their database and their role. Between jobs, a session waits.
JOB_SETTINGS: Mapping[str, str] = {"idle_session_timeout": "0", "idle_in_transaction_session_timeout": "0"}
#: Of sessions in which the server runs one job after another: what it returns to between them. Timeouts and the kind of
#: transaction would be those of the whole call; a job that has its own brings them (pgqueue._session_settings).
BATCH_SETTINGS: Mapping[str, str] = {
    **JOB_SETTINGS,
    "search_path": "pg_catalog, pg_temp",
    **{
        name: OWN_SETTINGS[name]
        for name in (
            *("statement_timeout", "lock_timeout"),
            *("default_transaction_isolation", "default_transaction_read_only", "default_transaction_deferrable"),
        )
    },
}


def to_options(settings: Mapping[str, str]) -> str:
    """Write settings as command-line options for the server, as a conninfo's `options` takes them."""
    # What the server's reading of its command line would take for the end of a value is escaped.
    return " ".join(f"-c {name}={_SPECIAL.sub(_escape, value)}" for name, value in settings.items())


def _escape(found: re.Match[str]) -> str:
    return f"\\{found[0]}"
