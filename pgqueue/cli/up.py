"""`pgqueue up`: the whole stack, until Ctrl-C."""

from __future__ import annotations

from pathlib import Path

import click
import platformdirs

from ..config import DSN_VARIABLE, Settings
from ..errors import ConnectionFailed
from ..local.embedded import EmbeddedServer
from ..local.server_watch import ServerWatch
from ..local.stack import Stack, StackOptions
from ..local.up import Up
from .extras import require_extras
from .options import dsn_option, is_from_environment, listen_dsn_option, log_format_option

_PATH = click.Path(path_type=Path)


@click.command()
@click.option(
    "--data",
    envvar="PGQUEUE_DATA",
    type=_PATH,
    help="The embedded server's data; kept between runs [default: below ~/.local/share, for root below /var/lib].",
)
@click.option("--port", type=click.IntRange(1, 65535), help="Let the embedded server listen on 127.0.0.1 too.")
@click.option("--flower-port", type=click.IntRange(1, 65535), default=5555, show_default=True, help="Flower's port.")
@click.option("--no-flower", is_flag=True, help="Start no Flower.")
@click.option("--no-worker", is_flag=True, help="Start no worker.")
@click.option("--concurrency", type=click.IntRange(min=1), help="The worker's processes for Celery tasks.")
@click.option("-A", "--app", "app_name", metavar="MODULE", help="Your own Celery app: run its tasks too.")
@click.option("--include", multiple=True, metavar="MODULE", help="A module with tasks to run too; may be repeated.")
@click.option("--loglevel", default="WARNING", show_default=True, help="How much the worker logs.")
@log_format_option
@click.option("--pg-bin", envvar="PGQUEUE_PG_BIN", type=_PATH, help="The programs of the embedded server to use.")
@click.option("--ready-file", type=_PATH, help="Write dsn, flower_url and pids there as JSON once everything answers.")
@dsn_option
@listen_dsn_option
def up(
    data: Path | None,
    port: int | None,
    flower_port: int,
    no_flower: bool,
    no_worker: bool,
    concurrency: int | None,
    app_name: str | None,
    include: tuple[str, ...],
    loglevel: str,
    log_format: str,
    pg_bin: Path | None,
    ready_file: Path | None,
    dsn: str | None,
    listen_dsn: str | None,
) -> None:
    """Run PostgreSQL, a worker and Flower until Ctrl-C. With --dsn, use that server instead of an embedded one.

    The worker runs SQL jobs. It takes Celery tasks only with -A or --include: those of others are not for it.
    """
    if no_worker and (app_name is not None or include or concurrency is not None):
        raise click.UsageError("-A, --include and --concurrency are for the worker: leave them or --no-worker out")
    if ready_file is not None and not ready_file.absolute().parent.is_dir():
        raise click.UsageError(f"--ready-file: there is no directory {ready_file.absolute().parent}")
    settings = Settings.load(dsn)
    if settings.is_given and (port is not None or pg_bin is not None):
        raise click.UsageError("--port and --pg-bin are for the embedded server: leave them out, or leave --dsn out")
    require_extras(*([] if no_worker else ["worker"]), *([] if no_flower else ["flower"]))
    server = None
    if not settings.is_given:
        server = EmbeddedServer(data, port=port, pg_bin=pg_bin, dies_with_us=True)
    options = StackOptions(
        log_dir=_log_dir(server, data),
        conninfo=settings.conninfo if server is None else None,
        listen_conninfo=listen_dsn if server is None else None,
        server=server,
        flower_port=None if no_flower else flower_port,
        has_worker=not no_worker,
        concurrency=concurrency,
        app_name=app_name,
        include=include,
        loglevel=loglevel,
        log_format=log_format,
    )
    watch = None if server is None else ServerWatch(server, click.echo)
    try:
        Up(Stack(options, click.echo), watch, ready_file, click.echo).run()
    except ConnectionFailed as failure:
        if failure.hint is None and is_from_environment("dsn"):
            failure.hint = f"{DSN_VARIABLE} names that server; without it pgqueue up starts one of its own."
        raise


def _log_dir(server: EmbeddedServer | None, data: Path | None) -> Path:
    if server is not None:
        return server.data_dir / "pgqueue-logs"
    return data or platformdirs.user_log_path("pgqueue")
