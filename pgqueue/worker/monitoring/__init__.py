"""What Celery and its monitors are told of SQL jobs."""
