"""Run Flower on a Celery app, with pgqueue's additions."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Collection, Sequence
from typing import Any

from celery import Celery
from flower import api
from flower.app import Flower
from tornado.web import HTTPError, RequestHandler

from ..db.database import Database
from .broker_tab import show_queues
from .bulk_events import take_events_in_bulk
from .confirmation import ask_before_stopping
from .local_access import is_expected_host, is_local_request, is_loopback
from .lost_workers import look_after_lost_workers
from .own_task import offer_no_calls
from .pages.routes import add_pages
from .task_list import COLUMNS, lay_out_tasks


def run_flower(
    app: Celery,
    database: Database,
    address: str,
    port: int,
    extra: Sequence[str] = (),
    allowed_hosts: Collection[str] = (),
) -> None:
    """Serve Flower until SIGTERM or Ctrl-C, and end the process.

    Args:
        allowed_hosts: names under which it may be reached, besides those of its address.
        extra: further options of Flower, as `--name=value`.

    Raises:
        SystemExit: it could not start.
    """
    add_pages(database)
    show_queues(database)
    take_events_in_bulk()
    look_after_lost_workers(database)
    lay_out_tasks()
    ask_before_stopping()
    _answer_under(address, allowed_hosts)
    if is_loopback(address):
        _open_api_to_this_machine()
    offer_no_calls()
    options = [f"--address={address}", f"--port={port}", f"--tasks_columns={COLUMNS}", "--persistent=False"]
    app.start(["flower", *options, *extra])
    _end_process()


def _end_process() -> None:
    """End without waiting for Flower's threads: one that asks the workers tries forever while the server is away."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


class _ForeignHost(RequestHandler):
    def prepare(self) -> None:
        raise HTTPError(403, "Flower answers under its own names only: pgqueue flower --allowed-host=NAME adds one")


def _answer_under(address: str, allowed: Collection[str]) -> None:
    """Refuse requests that name another host, for whatever they ask: pages, the API, metrics, files."""
    original = Flower.find_handler

    def find_handler(flower: Flower, request: Any, **kwargs: Any) -> Any:
        if is_expected_host(request.host, address, allowed):
            return original(flower, request, **kwargs)
        return flower.get_handler_delegate(request, _ForeignHost)

    Flower.find_handler = find_handler


def _open_api_to_this_machine() -> None:
    original = api.BaseApiHandler.prepare

    def prepare(handler: Any) -> None:
        options = handler.application.options
        if options.basic_auth or options.auth or handler.unauthenticated_api:
            original(handler)
        elif not is_local_request(handler.request):
            raise HTTPError(403, "Only pages of this Flower, on this machine, may use its API without a password")

    api.BaseApiHandler.prepare = prepare
