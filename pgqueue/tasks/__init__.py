"""Running jobs: the Celery application, and the SQL lane that any Celery application can have.

`celery -A pgqueue.tasks worker` runs SQL jobs and Celery tasks; `pgqueue.tasks.install(app)` adds SQL jobs to the
workers of `app`.
"""

try:
    from .app import app, install, make_app
except ModuleNotFoundError as missing:
    if missing.name is None or missing.name.partition(".")[0] not in ("postgast", "google"):
        raise
    raise ModuleNotFoundError(
        "pgqueue.tasks needs the parser of the extra `worker`: pip install 'celery-pgqueue[worker]'", name=missing.name
    ) from missing

__all__ = ["app", "install", "make_app"]
