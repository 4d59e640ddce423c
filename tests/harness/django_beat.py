"""A Django project with django-celery-beat, on a test's database: settings, Celery app, and what an admin does.

Run as a program it does one thing in a process of its own: `migrate`, or `admin` with JSON of requests on its input.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import django
from celery import Celery
from django.conf import settings
from django.urls import path
from psycopg.conninfo import conninfo_to_dict

from pgqueue.config import to_url

DSN = os.environ["PGQUEUE_DSN"]


def configure() -> None:
    """Set Django up, with its admin."""
    parts = conninfo_to_dict(DSN)
    settings.configure(
        SECRET_KEY="of a test",
        USE_TZ=True,
        TIME_ZONE="Europe/Berlin",
        ROOT_URLCONF="tests.harness.django_beat",
        ALLOWED_HOSTS=["*"],
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.postgresql",
                "NAME": parts["dbname"],
                "USER": parts.get("user", ""),
                "HOST": parts.get("host", ""),
                "PORT": str(parts.get("port", "")),
                "OPTIONS": {"passfile": parts["passfile"]} if "passfile" in parts else {},
            }
        },
        INSTALLED_APPS=[
            *("django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions"),
            *("django.contrib.messages", "django.contrib.admin", "django_celery_beat"),
        ],
        MIDDLEWARE=[
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
            "django.contrib.messages.middleware.MessageMiddleware",
        ],
        TEMPLATES=[
            {
                "BACKEND": "django.template.backends.django.DjangoTemplates",
                "APP_DIRS": True,
                "OPTIONS": {
                    "context_processors": [
                        "django.template.context_processors.request",
                        "django.contrib.auth.context_processors.auth",
                        "django.contrib.messages.context_processors.messages",
                    ]
                },
            }
        ],
    )
    django.setup()


def make_app() -> Celery:
    """Return the Celery application of the project."""
    made = Celery("project", broker=to_url(DSN, "pgqueue"), set_as_current=False)
    made.conf.update(
        beat_scheduler="django_celery_beat.schedulers:DatabaseScheduler",
        beat_max_loop_interval=1,
        task_ignore_result=True,
        result_expires=None,
        timezone="Europe/Berlin",
    )
    made.task(name="project.note")(note)
    return made


def note(label: str) -> None:
    """Write a row."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("insert into trace (label) values (%s)", [label])


def main(action: str) -> None:
    """Do one thing, and print what the admin answered."""
    from django.core.management import call_command

    if action == "migrate":
        call_command("migrate", verbosity=0)
        return
    from django.contrib.auth.models import User
    from django.test import Client
    from django.test.utils import setup_test_environment

    setup_test_environment()  # so that answers tell what was wrong

    admin, _made = User.objects.get_or_create(username="admin", is_staff=True, is_superuser=True)
    client = Client()
    client.force_login(admin)
    for url, fields in json.load(sys.stdin):
        response = client.post(f"/admin/django_celery_beat/{url}", fields)
        if response.status_code != 302:
            raise SystemExit(str(response.context["errors"]))


def _urls() -> list[Any]:
    from django.contrib import admin

    return [path("admin/", admin.site.urls)]


if not settings.configured:
    configure()
app = make_app()
urlpatterns = _urls()

if __name__ == "__main__":
    main(sys.argv[1])
