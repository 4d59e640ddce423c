"""One embedded server for all tests, with Django's test database on it. No test waits for a worker."""

import os

import pytest

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")


@pytest.fixture(scope="session", autouse=True)
def _database(pgqueue_django):
    return pgqueue_django
