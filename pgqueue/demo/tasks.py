"""Celery tasks of the demo, imported by its worker."""

from __future__ import annotations

import platform

from celery import shared_task

from ..db.client_session import ClientSession
from ..db.named_query import run_text
from .context import statement


@shared_task(name="demo.greet")
def greet(order_id: int, name: str) -> str:
    """Write a line that only Python could have written, and return it."""
    line = f"Hello {name}, Python {platform.python_version()} has seen your order {order_id}"
    with ClientSession(application_name="pgqueue demo task", as_it_is=True) as session:
        run_text(session.connection, statement("write_greeting"), {"order_id": order_id, "line": line})
    return line
