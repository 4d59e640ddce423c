"""A Celery project written for beat, on a test's database: its tasks leave traces (tests/harness/celery_app.py)."""

from __future__ import annotations

import json
import os
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import psycopg
from celery import Celery
from celery.beat import BeatLazyFunc
from celery.schedules import crontab, schedule, solar
from kombu import Exchange, Queue

from pgqueue.config import to_url

#: Each as beat knows them: what is sent, and how.
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "queue": {"queue": "mail"},
    "expires": {"expires": 600},
    "expires at": {"expires": datetime(2099, 1, 1, tzinfo=timezone.utc)},
    "priority": {"priority": 7},
    "countdown": {"countdown": 900, "expires": 1200},
    "eta": {"eta": datetime(2099, 1, 1, tzinfo=timezone.utc)},
    "headers": {"headers": {"tenant": "eu"}},
    "topic": {"exchange": "news", "routing_key": "eu.berlin"},
    "limits": {"time_limit": 30, "soft_time_limit": 20},
    "pickle of its own": {"serializer": "yaml", "compression": "gzip"},
    "no result": {"ignore_result": True},
    "ttl": {"expiration": 60},
    "shadow": {"shadow": "another name"},
}


def make_app(dsn: str, schedule_file: str | None = None) -> Celery:
    """An application on a database. Its schedules stand in a file, so that a test may change them."""
    app = Celery("tests.harness.beat_app", broker=to_url(dsn, "pgqueue"), set_as_current=False)
    app.conf.update(
        timezone="Europe/Berlin",
        task_ignore_result=True,
        result_expires=None,  # else beat adds an entry that cleans up
        beat_scheduler="pgqueue",
        task_routes={"routed": {"queue": "letters"}},
        task_queues=[
            Queue("celery", routing_key="celery"),
            Queue("mail", routing_key="mail"),
            Queue("letters", routing_key="letters"),
            Queue("news", Exchange("news", type="topic"), routing_key="eu.#"),
        ],
    )
    app.task(bind=True, name="leave_trace", shared=False)(leave_trace)
    app.task(name="routed", expires=300, shared=False)(routed)
    if schedule_file is not None:
        entries = json.loads(Path(schedule_file).read_text())
        app.conf.beat_schedule = {name: to_entry(entry) for name, entry in entries.items()}
    return app


def to_entry(entry: dict[str, Any]) -> dict[str, Any]:
    """Return an entry whose schedule is written as Python."""
    names = {"crontab": crontab, "solar": solar, "schedule": schedule, "timedelta": timedelta}
    return {**entry, "schedule": eval(entry["schedule"], names)}


def many_entries() -> dict[str, dict[str, Any]]:
    """Return an entry for each way to send."""
    entries = {
        name: {"task": "leave_trace", "schedule": 3600, "args": (name,), "kwargs": {"x": [1, "ü"]}, "options": options}
        for name, options in OPTIONS.items()
    }
    entries["routed"] = {"task": "routed", "schedule": 3600}
    entries["not known here"] = {"task": "elsewhere", "schedule": 3600, "args": [1]}
    return entries


def lazy() -> BeatLazyFunc:
    """Return an argument that is computed when the task is sent."""
    return BeatLazyFunc(datetime.now)


def leave_trace(task: Any, label: str, **_kwargs: object) -> None:
    """Write a row."""
    with psycopg.connect(os.environ["PGQUEUE_DSN"]) as connection:
        connection.execute("insert into trace (label, task_id) values (%s, %s)", [label, task.request.id])


def routed() -> None:
    """Do nothing."""


if "PGQUEUE_DSN" in os.environ:
    app = make_app(os.environ["PGQUEUE_DSN"], os.environ.get("BEAT_SCHEDULE_FILE"))
