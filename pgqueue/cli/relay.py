"""`pgqueue relay`: messages that go on to another broker, or come in from one."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

import click

from ..config import LISTEN_DSN_VARIABLE, Settings
from ..local.child_process import die_with_parent
from ..worker.json_log import log_as_json
from .options import dsn_option, is_on_command_line, listen_dsn_option, log_format_option

if TYPE_CHECKING:
    from ..broker.relay.relay import Routing
    from ..broker.relay.target import Target
    from ..db.database import Database

logger = logging.getLogger("pgqueue.relay")

#: The name of the target that the command line gives.
_GIVEN = "given"


@click.command()
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
@dsn_option
@listen_dsn_option
def relay(
    queues: tuple[str, ...],
    to_url: str | None,
    to_file: str | None,
    targets: str | None,
    exchange: str | None,
    routing_key: str | None,
    window: int,
    from_url: str | None,
    from_file: str | None,
    into: str | None,
    log_format: str,
    dsn: str | None,
    listen_dsn: str | None,
) -> None:
    """Send the Celery messages of queues on to another broker until SIGTERM, each after its commit.

    With --queue and --to it sends these queues there. Without them it follows the routes that administrators have set
    with pgqueue.relay_to, whose targets are NAMES: it sends to those of which PGQUEUE_RELAY_<NAME>_URL or --targets has
    the URL. With --from it takes messages in.

    The role is a member of pgqueue_worker: it reads the messages of all roles.
    """
    die_with_parent()
    if log_format == "json":
        log_as_json(logging.INFO)
    else:
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    # py-amqp logs each frame, and what connects has options with passwords.
    logging.getLogger("amqp").setLevel(logging.WARNING)
    from ..broker.relay.url import find_url

    if to_url is not None and to_file is not None and is_on_command_line("to_url"):
        raise click.UsageError("--to and --to-file do not go together")
    if from_url is not None and from_file is not None and is_on_command_line("from_url"):
        raise click.UsageError("--from and --from-file do not go together")
    _warn_of_password("to_url", to_url)
    _warn_of_password("from_url", from_url)
    source = find_url(None if from_file else from_url, from_file, "--from")
    target = find_url(None if to_file else to_url, to_file, "--to")
    if listen_dsn is not None:
        os.environ[LISTEN_DSN_VARIABLE] = listen_dsn
    if source is not None:
        if target is not None and (is_on_command_line("to_url") or to_file):
            raise click.UsageError("--from and --to do not go together: run a process for each")
        _take_in(_database(dsn), source, queues, into, window)
        return
    if into is not None:
        raise click.UsageError("--into goes with --from")
    _send_on(_database(dsn), _route(queues, target, targets, exchange, routing_key), window)


def _send_on(database: Database, routing: Routing, window: int) -> None:
    from ..broker.relay.relay import Relay

    relaying = Relay(database, routing, window)
    relaying.stop_at_signals()
    relaying.run()
    logger.info("%d messages were confirmed", relaying.confirmed)


def _take_in(database: Database, url: str, queues: tuple[str, ...], into: str | None, window: int) -> None:
    from ..broker.relay.intake import Intake

    if len(queues) != 1 or "*" in queues[0] or "?" in queues[0]:
        raise click.UsageError("--from takes one --queue: the name of a queue of that broker")
    intake = Intake(database, url, queues[0], into or queues[0], min(window, 500))
    intake.stop_at_signals()
    intake.run()
    logger.info("%d messages were stored, %d were there already", intake.stored, intake.repeated)


def _route(
    queues: tuple[str, ...], url: str | None, targets: str | None, exchange: str | None, routing_key: str | None
) -> Routing:
    """Return the routes of the command line, or those of the database.

    Raises:
        UsageError: the options do not go together.
    """
    from ..broker.relay.opening import is_amqp, open_target
    from ..broker.relay.relay import Routing
    from ..broker.relay.routes import Route
    from ..broker.relay.url import TargetUrls

    if not queues:
        if exchange is not None or routing_key is not None or is_on_command_line("to_url"):
            raise click.UsageError(
                "name the queues with --queue, or set routes with pgqueue.relay_to and leave --to out"
            )
        urls = TargetUrls(targets)

        def find(name: str) -> Target | None:
            found = urls.find(name)
            return None if found is None else open_target(found)

        return Routing([], find)
    if url is None:
        raise click.UsageError("say where to: --to URL, --to-file FILE or PGQUEUE_RELAY_TO")
    if exchange and not is_amqp(url):
        raise click.UsageError(
            "--exchange is for RabbitMQ: kombu tells of no other broker whether an exchange reaches a queue"
        )
    routes = [Route(queue, _GIVEN, exchange or None, routing_key) for queue in queues]
    return Routing(routes, lambda _name: open_target(url))


def _warn_of_password(option: str, url: str | None) -> None:
    from ..broker.relay.url import has_password

    if url is not None and is_on_command_line(option) and has_password(url):
        logger.warning("the list of processes shows the password of the URL: give it by a file or by the environment")


def _database(dsn: str | None) -> Database:
    from ..db.database import Database

    return Database.for_dsn(Settings.load(dsn).conninfo)
