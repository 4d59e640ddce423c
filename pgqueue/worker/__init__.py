"""The code that runs SQL jobs inside a Celery worker."""
