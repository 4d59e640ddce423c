"""Celery's result backend for `pgqueue://`: results pushed to those who wait, chords decided in one transaction.

Which state of a task counts, who is notified and when a chord is complete is decided in SQL. Here Celery's documents
are written and read, and a waiting process is told what arrives.
"""

from .backend import PgQueueBackend

__all__ = ["PgQueueBackend"]
