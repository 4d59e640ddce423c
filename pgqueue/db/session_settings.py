"""The settings with which each kind of session is opened; they override the settings of the database and the role."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_SPECIAL = re.compile(r"[\\\s]")
#: pgqueue's own statements rely on these, whatever a database or a role sets: no timeout but their own, commits of
#: other sessions visible, writes allowed, and one text form for values. Any role may set them, and every server from
#: PostgreSQL 14 on knows them.
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
#: Likewise, but only newer servers know these.
NEWER_SETTINGS: Mapping[str, str] = {"transaction_timeout": "0", "restrict_nonsystem_relation_kind": ""}
#: For the session of a program that submits jobs: its values are sent in the form in which its jobs read them.
CALLER_SETTINGS: Mapping[str, str] = {
    name: value for name, value in {**OWN_SETTINGS, **NEWER_SETTINGS}.items() if name != "IntervalStyle"
}
#: For sessions in which jobs run: the settings of their database and their role apply. Between two jobs, the session is
#: idle.
JOB_SETTINGS: Mapping[str, str] = {"idle_session_timeout": "0", "idle_in_transaction_session_timeout": "0"}
#: For sessions in which the server runs one job after another: the values to which it returns between two jobs. A
#: timeout or a transaction mode would apply to the whole call; a job that has one brings it along
#: (pgqueue._session_settings).
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
    """Write settings as command-line options for the server, for the `options` of a conninfo."""
    # The server splits its command line at spaces, so spaces and backslashes in a value are escaped.
    return " ".join(f"-c {name}={_SPECIAL.sub(_escape, value)}" for name, value in settings.items())


def _escape(found: re.Match[str]) -> str:
    return f"\\{found[0]}"
