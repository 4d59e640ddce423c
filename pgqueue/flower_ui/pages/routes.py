"""Put the pages into the Flower of this process: their addresses, and a way to them in the menu."""

from __future__ import annotations

from typing import Any

from flower import urls
from flower.views import BaseHandler
from tornado.web import url

from ...db.database import Database
from ..other_databases import make_items, take_flowers
from . import jobs, queues, workers
from .reading import PageDatabase

_MENU_END = b"</ul>"
_ITEM = '<li class="nav-item"><a class="nav-link{}" href="{}">pgqueue</a></li>'


def add_pages(database: Database) -> None:
    """Add the pages of a database, and ways to other Flowers. Call it once, before Flower makes its application."""
    given = {"database": PageDatabase(database.conninfo)}
    pages = [
        url(r"/pgqueue/jobs", jobs.JobsPage, given, name="pgqueue_jobs"),
        url(r"/pgqueue/job/(\d+)", jobs.JobPage, given, name="pgqueue_job"),
        url(r"/pgqueue/queues", queues.QueuesPage, given, name="pgqueue_queues"),
        url(r"/pgqueue/queues/drain", queues.DrainPage, given, name="pgqueue_drain"),
        url(r"/pgqueue/dead-letters", queues.DeadLettersPage, given, name="pgqueue_dead_letters"),
        url(r"/pgqueue/schedules", workers.SchedulesPage, given, name="pgqueue_schedules"),
        url(r"/pgqueue/workers", workers.WorkersPage, given, name="pgqueue_workers"),
        url(r"/api/pgqueue/jobs", jobs.JobsApi, given),
        url(r"/api/pgqueue/job/(\d+)", jobs.JobApi, given),
        url(r"/api/pgqueue/jobs/(retry|discard|cancel)", jobs.JobActsApi, given),
        url(r"/api/pgqueue/queues", queues.QueuesApi, given),
        url(r"/api/pgqueue/queues/drain", queues.DrainApi, given),
        url(r"/api/pgqueue/queues/(pause|resume|purge|redrive)", queues.QueueActsApi, given),
        url(r"/api/pgqueue/dead-letters", queues.DeadLettersApi, given),
        url(r"/api/pgqueue/schedules", workers.SchedulesApi, given),
        url(r"/api/pgqueue/schedules/(pause|resume|run)", workers.ScheduleActsApi, given),
        url(r"/api/pgqueue/workers", workers.WorkersApi, given),
    ]
    # Flower's last handler is for all addresses that are not known. The list is the one that its application reads.
    urls.handlers[:0] = pages
    _add_to_menu()


def _add_to_menu() -> None:
    flowers = take_flowers()
    original = BaseHandler.render_string

    def render_string(page: Any, template: str, **values: Any) -> bytes:
        html: bytes = original(page, template, **values)
        if template == "navbar.html":
            active = " active" if values.get("active_tab") == "pgqueue" else ""
            item = _ITEM.format(active, page.reverse_url("pgqueue_jobs")).encode()
            options = page.application.options
            prefix = f"/{options.url_prefix.strip('/')}" if options.url_prefix else ""
            others = make_items(flowers, options.port, page.request, prefix).encode()
            html = html.replace(_MENU_END, item + others + _MENU_END, 1)
        return html

    BaseHandler.render_string = render_string
