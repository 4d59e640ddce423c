"""The Celery application of the project, as `manage.py pgqueue_worker` and `celery -A` load it."""

from __future__ import annotations

import django
from django.apps import apps

from .celery import find_application, stop_following

if not apps.ready:
    django.setup()
stop_following()
app = find_application()
