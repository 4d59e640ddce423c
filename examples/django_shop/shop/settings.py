"""The settings of the shop. The parts about pgqueue are marked."""

import os

import django

SECRET_KEY = os.environ.get("SHOP_SECRET_KEY", "only for tests")
ALLOWED_HOSTS = ["*"]
USE_TZ = True
ROOT_URLCONF = "shop.urls"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
EMAIL_BACKEND = "django.core.mail.backends.console.EmailBackend"

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": os.environ.get("SHOP_DATABASE", "shop"),
        "USER": os.environ.get("SHOP_USER", "shop"),
        "PASSWORD": os.environ.get("SHOP_PASSWORD", ""),
        "HOST": os.environ.get("SHOP_HOST", ""),
        "PORT": os.environ.get("SHOP_PORT", ""),
    }
}

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.admin",
    # pgqueue: `migrate` installs it, tasks join transactions, the admin shows tasks and jobs.
    "pgqueue.django",
    "shop",
]
if django.VERSION < (6, 0):
    INSTALLED_APPS.append("django_tasks")

# pgqueue: Django's own tasks are kept and run by it.
TASKS = {"default": {"BACKEND": "pgqueue.django.PgQueueBackend", "QUEUES": ["default", "invoices"]}}

MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
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
]
