"""pgqueue for asyncio: `connect()`, and Celery tasks from a coroutine."""

from .celery import apply_async, delay
from .client import AsyncClient, connect
from .job import AsyncJob

__all__ = ["AsyncClient", "AsyncJob", "apply_async", "connect", "delay"]
