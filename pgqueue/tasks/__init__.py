"""Running jobs: the Celery application, and the SQL lane that any Celery application can have.

`celery -A pgqueue.tasks worker` runs SQL jobs and Celery tasks; `pgqueue.tasks.install(app)` adds SQL jobs to the
workers of `app`.
"""

from .app import app, install, make_app

__all__ = ["app", "install", "make_app"]
