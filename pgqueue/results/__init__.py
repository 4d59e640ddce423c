"""Celery's result backend for `pgqueue://`: results pushed to waiting clients, chords decided in one transaction.

SQL decides which state of a task counts, which client is notified and when a chord is complete. This package writes and
reads Celery's documents, and passes results to waiting threads.
"""

from .backend import PgQueueBackend

__all__ = ["PgQueueBackend"]
