"""What runs SQL jobs inside a Celery worker."""
