"""How Celery and its monitors see SQL jobs."""
