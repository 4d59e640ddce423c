"""`pgqueue relay`: messages that go on to another broker, or come in from one."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

import click

from ..config import LISTEN_DSN_VARIABLE, Settings
from ..errors import ConnectionFailed, NoAnswer
from ..local.child_process import die_with_parent
from ..worker.database_log import take_database_name
from .command_log import start_log
from .options import is_on_command_line, log_format_option
from .several import (
    RepeatableCommand,
    find_places,
    one_or_none,
    run_for_each,
    several_dsn_option,
    several_listen_dsn_option,
)

if TYPE_CHECKING:
    from ..broker.relay.relay import Routing
    from ..broker.relay.target import Target
    from ..db.database import Database

logger = logging.getLogger("pgqueue.relay")

#: The options that are about sending, and those that are about taking in, with their parameters.
_OF_SENDING = {
    "--to": "to_url",
    "--to-file": "to_file",
    "--targets": "targets",
    "--exchange": "exchange",
    "--routing-key": "routing_key",
    "--jobs": "has_jobs",
}
_OF_ONE_TARGET = ("--to", "--to-file", "--exchange", "--routing-key")


@click.command(cls=RepeatableCommand)
@click.option(
    "--queue",
    "queues",
    multiple=True,
    help="Send on this queue, or all that match a pattern with * and ?; may be repeated.",
)
@click.option(
    "--to", "to_url", envvar="PGQUEUE_RELAY_TO", show_envvar=True, metavar="URL", help="The broker to send to."
)
@click.option("--to-file", metavar="FILE", help="A file with the URL in its first line, in place of --to.")
@click.option("--targets", metavar="FILE", help="A file with lines NAME = URL, for the routes in the database.")
@click.option(
    "--jobs",
    "has_jobs",
    is_flag=True,
    help="Send wake-ups for SQL jobs too: workers there that reach the database run them (pgqueue.run_job).",
)
@click.option("--exchange", help="The exchange there, of RabbitMQ [default: the default exchange].")
@click.option("--routing-key", help="The routing key there [default: the name of the queue].")
@click.option(
    "--window",
    type=click.IntRange(1, 100_000),
    default=1000,
    show_default=True,
    help="So many messages may wait for the broker's confirm.",
)
@click.option(
    "--from",
    "from_url",
    envvar="PGQUEUE_RELAY_FROM",
    show_envvar=True,
    metavar="URL",
    help="Take messages in from this broker instead.",
)
@click.option("--from-file", metavar="FILE", help="A file with the URL in its first line, in place of --from.")
@click.option("--into", metavar="QUEUE", help="With --from: the queue here [default: of the same name].")
@log_format_option
@several_dsn_option
@several_listen_dsn_option
def relay(
    queues: tuple[str, ...],
    to_url: str | None,
    to_file: str | None,
    targets: str | None,
    has_jobs: bool,
    exchange: str | None,
    routing_key: str | None,
    window: int,
    from_url: str | None,
    from_file: str | None,
    into: str | None,
    log_format: str,
    dsn: tuple[str, ...],
    listen_dsn: tuple[str, ...],
) -> int:
    """Send the Celery messages of queues on to another broker until SIGTERM, each after its commit.

    With --queue and --to it sends these queues there. Without them it follows the routes that administrators have set
    with pgqueue.relay_to, whose targets are NAMES: it sends to those of which PGQUEUE_RELAY_<NAME>_URL or --targets has
    the URL. With --from it takes messages in.

    The role is a member of pgqueue_worker: it reads the messages of all roles. With --dsn more than once, one process
    for each database runs, and all stop together.
    """
    die_with_parent()
    take_database_name()
    start_log(log_format)
    # py-amqp logs each frame, and what connects has options with passwords.
    logging.getLogger("amqp").setLevel(logging.WARNING)
    from ..broker.relay.opening import require_transport
    from ..broker.relay.url import find_url

    takes_in = from_url is not None or from_file is not None
    _check_options(takes_in=takes_in, has_queues=bool(queues))
    _warn_of_password("to_url", to_url)
    _warn_of_password("from_url", from_url)
    if places := find_places(dsn, listen_dsn):
        if takes_in:
            raise click.UsageError(
                "--from does not go with several --dsn: each message would go to one of them by chance"
            )
        return run_for_each(places, log_format=log_format)
    if listen_dsn:
        os.environ[LISTEN_DSN_VARIABLE] = listen_dsn[0]
    database = _database(one_or_none(dsn))
    if takes_in:
        source = find_url(None if from_file else from_url, from_file, "--from")
        assert source is not None
        require_transport(source, "--from")
        _take_in(database, source, queues, into, window)
        return 0
    target = find_url(None if to_file else to_url, to_file, "--to") if queues else None
    routing = _route(queues, target, exchange, routing_key) if queues else _route_by_name(targets)
    _send_on(database, routing._replace(has_jobs=has_jobs), window)
    return 0


def _check_options(*, takes_in: bool, has_queues: bool) -> None:
    """Refuse options that do not go together. A URL of the environment yields to an option.

    Raises:
        UsageError: some do not.
    """
    given = [option for option, parameter in _OF_SENDING.items() if is_on_command_line(parameter)]
    for option, parameter in (("--to", "to"), ("--from", "from")):
        if is_on_command_line(f"{parameter}_url") and is_on_command_line(f"{parameter}_file"):
            raise click.UsageError(f"{option} and {option}-file do not go together")
    if takes_in and given:
        raise click.UsageError(f"--from and {given[0]} do not go together: run a process for each direction")
    if not takes_in and is_on_command_line("into"):
        raise click.UsageError("--into goes with --from")
    if has_queues and "--targets" in given:
        raise click.UsageError(
            "--targets is for the routes in the database: leave --queue out, or say where to with --to"
        )
    if not has_queues and not takes_in and (of_one := [option for option in given if option in _OF_ONE_TARGET]):
        raise click.UsageError(
            f"{of_one[0]} is for the queues of --queue: name them, or set routes with pgqueue.relay_to and --targets"
        )


def _send_on(database: Database, routing: Routing, window: int) -> None:
    from ..broker.relay.relay import Relay

    _require_schema(database)
    relaying = Relay(database, routing, window)
    relaying.stop_at_signals()
    relaying.run()
    logger.info("%d messages were confirmed", relaying.confirmed)


def _require_schema(database: Database) -> None:
    """Pass when this relay can work on the schema. Whether the server is there shows afterwards.

    Raises:
        InstallationError: pgqueue is not installed there, or is of another version.
        NoAnswer: the server accepts the login and hangs.
    """
    from psycopg import OperationalError

    from ..broker.schema_check import require_usable_schema
    from ..db.client_session import ANSWER_SECONDS, ClientSession
    from ..schema import migrate

    try:
        with ClientSession(
            database.conninfo, application_name="pgqueue relay", answer_seconds=ANSWER_SECONDS
        ) as session:
            session.open()
            require_usable_schema(database)
            migrate.require_current(session.connection, or_next_minor=True)
    except NoAnswer:
        raise
    except (ConnectionFailed, OperationalError):
        return


def _take_in(database: Database, url: str, queues: tuple[str, ...], into: str | None, window: int) -> None:
    from ..broker.relay.intake import Intake

    if len(queues) != 1 or "*" in queues[0] or "?" in queues[0]:
        raise click.UsageError("--from takes one --queue: the name of a queue of that broker")
    _require_schema(database)
    intake = Intake(database, url, queues[0], into or queues[0], min(window, 500))
    intake.stop_at_signals()
    intake.run()
    logger.info("%d messages were stored, %d were there already", intake.stored, intake.repeated)


def _route(queues: tuple[str, ...], url: str | None, exchange: str | None, routing_key: str | None) -> Routing:
    """Return the routes of the command line.

    Raises:
        UsageError: the options do not go together.
        PgQueueError: a package that the target needs is not installed.
    """
    from ..broker.relay.opening import is_amqp, open_target, require_transport
    from ..broker.relay.relay import Routing
    from ..broker.relay.routes import GIVEN, Route

    if url is None:
        raise click.UsageError("say where to: --to URL, --to-file FILE or PGQUEUE_RELAY_TO")
    if exchange and not is_amqp(url):
        raise click.UsageError(
            "--exchange is for RabbitMQ: kombu tells of no other broker whether an exchange reaches a queue"
        )
    require_transport(url, "--to")
    routes = [Route(queue, GIVEN, exchange or None, routing_key) for queue in queues]
    return Routing(routes, lambda _name: open_target(url))


def _route_by_name(targets: str | None) -> Routing:
    """Follow the routes in the database, to targets whose URLs are known here.

    Raises:
        UsageError: no URL is known.
        PgQueueError: one is no URL of a broker, or a package that it needs is not installed.
    """
    from ..broker.relay.opening import open_target, require_transport
    from ..broker.relay.relay import Routing
    from ..broker.relay.url import TargetUrls

    urls = TargetUrls(targets)
    if not urls.names:
        raise click.UsageError(
            "there is nowhere to send. Name queues with --queue and the broker with --to; or set routes with"
            " pgqueue.relay_to, and give the URLs of their targets with --targets FILE or PGQUEUE_RELAY_<NAME>_URL"
        )

    def find(name: str) -> Target | None:
        found = urls.find(name)
        return None if found is None else open_target(found)

    for name in urls.names:
        require_transport(str(urls.find(name)), f"the target {name}")
    return Routing([], find, urls.names)


def _warn_of_password(option: str, url: str | None) -> None:
    from ..broker.relay.url import has_password

    if url is not None and is_on_command_line(option) and has_password(url):
        logger.warning("the list of processes shows the password of the URL: give it by a file or by the environment")


def _database(dsn: str | None) -> Database:
    from ..db.database import Database

    return Database.for_dsn(Settings.load(dsn).conninfo)
