"""Point a Celery application at another database while it is in use."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from celery import Celery


def repoint(app: Celery, settings: Mapping[str, object]) -> None:
    """Change the URLs of an application, and close the connections that it has open to the old ones.

    Args:
        settings: `broker_url`, `result_backend` and the like.
    """
    # Celery keeps its connections by their URLs, and a result backend for each thread.
    if app._pool is not None:
        app._pool.force_close_all(close_pool=False)
        app._pool = None
    app.amqp._producer_pool = None
    backend = app._backend
    if backend is not None and hasattr(backend, "result_consumer"):
        backend.result_consumer.stop()
    app.conf.update(settings)
    app._backend_cache = None
    app._local.backend = None
