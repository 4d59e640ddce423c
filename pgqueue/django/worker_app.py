"""What `celery -A pgqueue.django.worker_app` and `manage.py pgqueue_worker` run: the project's Celery application."""

from __future__ import annotations

import django
from django.apps import apps

from .celery import find_application

if not apps.ready:
    django.setup()
app = find_application()
