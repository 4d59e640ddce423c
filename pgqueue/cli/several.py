"""`--dsn` more than once: commands that run a process for each database, and commands that show each database."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any

import click
from psycopg.conninfo import conninfo_to_dict

from ..config import DSN_VARIABLE, LISTEN_DSN_VARIABLE, WORKER_DSN_VARIABLE, to_conninfo
from ..errors import PgQueueError
from ..worker.json_log import log_as_json
from .failure import failure_fields, show_failure
from .options import Command, json_option
from .output import print_json

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..local.database_processes import Place

_ARGUMENTS = "pgqueue.arguments"
_OF_DATABASES = ("--dsn", "--listen-dsn")


class DsnType(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """A DSN. That of the environment is one, though key=value pairs have spaces."""

    name = "dsn"

    def split_envvar_value(self, rv: str) -> list[str]:
        """Return the value as it is."""
        return [rv] if rv else []


class RepeatableCommand(click.Command):
    """A command that knows its own arguments, to run itself once for each database."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep the arguments, and parse them."""
        ctx.meta[_ARGUMENTS] = list(args)
        return super().parse_args(ctx, args)


several_dsn_option = click.option(
    "--dsn",
    envvar=DSN_VARIABLE,
    show_envvar=True,
    metavar="DSN",
    multiple=True,
    type=DsnType(),
    help="The database: a postgresql:// URL or key=value pairs. May be repeated, for several databases.",
)
several_listen_dsn_option = click.option(
    "--listen-dsn",
    envvar=LISTEN_DSN_VARIABLE,
    show_envvar=True,
    metavar="DSN",
    multiple=True,
    type=DsnType(),
    help="The same database past any pooler, where --dsn leads to PgBouncer. As often as --dsn, in the same order.",
)


def one_or_none(given: Sequence[str]) -> str | None:
    """Return the DSN of an option that was given once, or None."""
    return given[0] if given else None


def find_places(dsns: Sequence[str], listen_dsns: Sequence[str]) -> list[Place]:
    """Return the databases of a command that runs a process for each of several; empty: there is one, or none is named.

    Raises:
        InvalidDsn: a DSN is none.
        UsageError: a database is named twice, or the listening DSNs do not match.
    """
    if len(listen_dsns) not in (0, len(dsns) or 1):
        raise click.UsageError(
            f"there are {len(dsns)} --dsn and {len(listen_dsns)} --listen-dsn: give one for each, in the same order"
        )
    if len(dsns) < 2:
        return []
    if os.environ.get(WORKER_DSN_VARIABLE):
        raise click.UsageError(
            f"{WORKER_DSN_VARIABLE} names one database: unset it, and give the logins of workers with --dsn"
        )
    from ..local.database_processes import Place

    return [
        Place(name, dsn, listen_dsns[number] if listen_dsns else None)
        for number, (name, dsn) in enumerate(zip(_names(dsns), dsns, strict=True))
    ]


def run_for_each(
    places: Sequence[Place], *, further: Callable[[int], Sequence[str]] = lambda _number: (), log_format: str = "text"
) -> int:
    """Run the command of now as one process for each database, until a signal; return the exit code.

    Args:
        further: returns the arguments that the process for the database of a number, from 0, gets besides.
        log_format: how it says which process starts and ends: text or json.

    Raises:
        UsageError: two of them are the same database.
    """
    from ..local.database_processes import DatabaseProcesses
    from ..local.database_twins import TwinWatch, compare

    dsns = [place.dsn for place in places]
    found = compare(dsns)
    for number, first in found.twins:
        raise click.UsageError(f"--dsn names one database twice, as {places[first].name} and as {places[number].name}")
    context = click.get_current_context()
    arguments = [str(context.info_name), *_without_databases(context.meta[_ARGUMENTS])]
    # They come after the others, because of an option that is given twice the last counts; and before --, after which
    # no option comes.
    end = arguments.index("--") if "--" in arguments else len(arguments)
    each = [[*arguments[:end], *further(number), *arguments[end:]] for number in range(len(places))]
    say = _say_in_text
    if log_format == "json":
        log_as_json(logging.INFO)
        say = _say_in_json
    return DatabaseProcesses(places, each, say, None if found.is_complete else TwinWatch(dsns)).run()


def _say_in_text(line: str) -> None:
    click.echo(f"pgqueue: {line}", err=True)


def _say_in_json(line: str) -> None:
    logging.getLogger("pgqueue.databases").info(line)


def on_several_databases(command: Command) -> Command:
    """Add the options --dsn, which may be repeated, and --json to a command."""
    return several_dsn_option(json_option(command))


def show_each(dsns: Sequence[str], show: Callable[[str | None], int]) -> int:
    """Show one database, or several one after the other; return the exit code.

    A database that cannot be reached keeps no other from being shown.

    Args:
        show: shows one, and returns the exit code.
    """
    if len(dsns) < 2:
        return show(one_or_none(dsns))
    code = 0
    for name, dsn in zip(_names(dsns), dsns, strict=True):
        click.echo(f"-- {name}")
        try:
            code = max(code, show(dsn))
        except PgQueueError as failure:
            show_failure(failure, as_json=False)
            code = 1
        click.echo()
    return code


def print_json_of_each(dsns: Sequence[str], find: Callable[[str | None], tuple[Any, int]]) -> int:
    """Print what is found in a database; of several, an object with the name of each. Return the exit code."""
    if len(dsns) < 2:
        found, code = find(one_or_none(dsns))
        print_json(found)
        return code
    answers, codes = {}, [0]
    for name, dsn in zip(_names(dsns), dsns, strict=True):
        try:
            answers[name], code = find(dsn)
        except PgQueueError as failure:
            answers[name], code = {"error": failure_fields(failure)}, 1
        codes.append(code)
    print_json(answers)
    return max(codes)


def _names(dsns: Sequence[str]) -> list[str]:
    """Return the name of each database, for people: never a login or a password.

    Raises:
        InvalidDsn: a DSN is none.
        UsageError: a database is named twice.
    """
    names = [_name(dsn) for dsn in dsns]
    for name in names:
        if names.count(name) > 1:
            raise click.UsageError(f"--dsn names the database {name} twice")
    return names


def _name(dsn: str) -> str:
    options = {name: str(value) for name, value in conninfo_to_dict(to_conninfo(dsn)).items() if value}
    if "service" in options and not options.get("dbname"):
        return f"service {options['service']}"
    host, address = options.get("host"), options.get("hostaddr")
    place = f"{host} ({address})" if host and address else host or address or "localhost"
    return f"{options.get('dbname') or options.get('user') or 'default'} on {place}:{options.get('port') or 5432}"


def _without_databases(arguments: Sequence[str]) -> list[str]:
    kept, given = [], iter(arguments)
    for argument in given:
        if argument in _OF_DATABASES:
            next(given, None)
        elif not argument.startswith(tuple(f"{option}=" for option in _OF_DATABASES)):
            kept.append(argument)
    return kept
