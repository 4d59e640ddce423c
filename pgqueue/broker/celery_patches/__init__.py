"""What is changed in Celery and kombu, in place, where they have no hook."""
