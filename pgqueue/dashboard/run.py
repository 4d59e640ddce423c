"""Running Flower on a Celery app, with pgqueue's additions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from celery import Celery
from flower import api, views
from tornado.web import HTTPError

from ..database import Database
from .bulk_events import take_events_in_bulk
from .local_access import is_local_request, is_loopback
from .queue_lengths import QueueLengths

# SQL jobs are told apart by their statement, which Flower shows as arguments: its own choice has no such column.
_TASK_COLUMNS = "name,args,state,runtime,received,exception,result,worker"


def run_flower(app: Celery, database: Database, address: str, port: int, extra: Sequence[str] = ()) -> None:
    """Serve Flower until SIGTERM or Ctrl-C.

    Args:
        extra: more of Flower's own options, as `--name=value`.

    Raises:
        SystemExit: it could not start, or was told to stop.
    """
    _add_broker_tab(database)
    take_events_in_bulk()
    if is_loopback(address):
        _open_api_to_this_machine()
    options = [f"--address={address}", f"--port={port}", f"--tasks_columns={_TASK_COLUMNS}", "--persistent=False"]
    app.start(["flower", *options, *extra])


def _add_broker_tab(database: Database) -> None:
    def get_broker(_handler: Any) -> QueueLengths:
        return QueueLengths(database)

    views.BaseHandler.get_broker = get_broker


def _open_api_to_this_machine() -> None:
    original = api.BaseApiHandler.prepare

    def prepare(handler: Any) -> None:
        options = handler.application.options
        if options.basic_auth or options.auth or handler.unauthenticated_api:
            original(handler)
        elif not is_local_request(handler.request):
            raise HTTPError(403, "Only pages of this Flower, on this machine, may use its API without a password")

    api.BaseApiHandler.prepare = prepare
