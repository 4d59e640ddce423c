"""Changes to Celery and kombu in places where they have no hook."""
