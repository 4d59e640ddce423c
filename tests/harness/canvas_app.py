"""A Celery project whose workers run SQL too: steps of a canvas in SQL and in Python, which leave a row in a ledger."""

from __future__ import annotations

import os
from typing import Any

import psycopg
from celery import Celery

from pgqueue.tasks import install
from tests.harness import result_app

#: A step that runs twice breaks the key.
LEDGER = "create table ledger (step text primary key, by_role text default current_user, at timestamptz default clock_timestamp())"


def make_app(dsn: str, **conf: Any) -> Celery:
    """An application on a database."""
    app = result_app.make_app(dsn, **conf)
    app.task(bind=True, name="note", shared=False, acks_late=True)(note)
    app.task(name="collect", shared=False)(collect)
    install(app)
    return app


def note(_task: Any, previous: Any, step: str) -> str:
    """Write a row, once: like SQL, it may be delivered twice."""
    with psycopg.connect(os.environ["PGQUEUE_DSN"]) as connection:
        connection.execute("insert into ledger (step) values (%s) on conflict do nothing", [step])
    return step


def collect(results: list[Any]) -> list[Any]:
    return results


if "PGQUEUE_DSN" in os.environ:
    backend = {"result_backend": os.environ["RESULT_BACKEND"]} if "RESULT_BACKEND" in os.environ else {}
    app = make_app(os.environ["PGQUEUE_DSN"], result_extended="RESULT_EXTENDED" in os.environ, **backend)
