"""Options of several commands: the database, the output format, durations, handles."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from ..config import LISTEN_DSN_VARIABLE
from ..handle import Handle
from ..worker.metrics.http_server import Address

Command = TypeVar("Command", bound=Callable[..., Any])

# ParamType is generic from click 8.5 on; the type checker needs the parameter.
if TYPE_CHECKING:
    ClickType = click.ParamType[Any]
else:
    ClickType = click.ParamType

_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"(?P<number>\d+(\.\d+)?)\s*(?P<unit>ms|s|m|h|d)?")


class DurationType(ClickType):
    """A duration: a number of seconds, or a number with ms, s, m, h or d."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """Convert the text; raise an error if it is no duration."""
        if isinstance(value, timedelta):
            return value
        match = _DURATION.fullmatch(str(value).strip())
        if match is None:
            self.fail(f'"{value}" is not a duration: expected for example 30, 500ms, 5m or 2h', param, ctx)
        return timedelta(seconds=float(match["number"]) * _UNITS[match["unit"] or "s"])


class InstantType(ClickType):
    """An instant in ISO 8601; without a time zone, in this machine's zone."""

    name = "instant"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Convert the text; raise an error if it is no instant."""
        if isinstance(value, datetime):
            return value
        try:
            return datetime.fromisoformat(re.sub("[zZ]$", "+00:00", str(value).strip())).astimezone()
        except ValueError:
            self.fail(
                f'"{value}" is not a moment: expected for example 2030-01-31T18:00 or 2030-01-31T18:00Z', param, ctx
            )


class MomentType(ClickType):
    """A moment: an instant, or a duration that is so long ago."""

    name = "moment"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Convert the text; raise an error if it is neither."""
        if isinstance(value, datetime):
            return value
        if _DURATION.fullmatch(str(value).strip()):
            return datetime.now(timezone.utc) - DURATION.convert(value, param, ctx)
        return INSTANT.convert(value, param, ctx)


class HandleType(ClickType):
    """A job: its number, or its handle `ID:COOKIE`."""

    name = "job"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Handle:
        """Convert the text; raise an error if it names no job."""
        if isinstance(value, Handle):
            return value
        try:
            return Handle.parse(str(value))
        except ValueError as misuse:
            self.fail(str(misuse), param, ctx)


class AddressType(ClickType):
    """Where to listen: HOST:PORT."""

    name = "address"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Address:
        """Convert the text; raise an error if it is no address."""
        if isinstance(value, Address):
            return value
        try:
            return Address.parse(str(value))
        except ValueError as misuse:
            self.fail(str(misuse), param, ctx)


ADDRESS = AddressType()
DURATION = DurationType()
INSTANT = InstantType()
MOMENT = MomentType()
HANDLE = HandleType()
#: The name of a job on the command line.
JOB = "ID|HANDLE"


def is_on_command_line(name: str) -> bool:
    """Return whether a parameter of the running command was given on the command line."""
    return click.get_current_context().get_parameter_source(name) is ParameterSource.COMMANDLINE


def is_from_environment(name: str) -> bool:
    """Return whether a parameter of the running command has its value from the environment."""
    return click.get_current_context().get_parameter_source(name) is ParameterSource.ENVIRONMENT


dsn_option = click.option(
    "--dsn",
    envvar="PGQUEUE_DSN",
    show_envvar=True,
    metavar="DSN",
    help="The database: a postgresql:// URL or key=value pairs.",
)
listen_dsn_option = click.option(
    "--listen-dsn",
    envvar=LISTEN_DSN_VARIABLE,
    show_envvar=True,
    metavar="DSN",
    help="The same database past any pooler, where --dsn leads to PgBouncer.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")


log_format_option = click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="How to write the log; json: one object a line.",
)


def on_database(command: Command) -> Command:
    """Add the options --dsn and --json to a command."""
    return dsn_option(json_option(command))
