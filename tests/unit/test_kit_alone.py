"""The plugin of pytest costs nothing where it is not used, and pgqueue needs neither pytest nor Django."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

HEAVY = "('pgqueue', 'kombu', 'celery', 'psycopg', 'django', 'click')"


def loaded_by(code: str, heavy: str) -> str:
    # kombu itself imports a part of django.utils where Django is installed.
    listed = (
        f"[m for m in sys.modules if m.split('.')[0] in {heavy} and not m.startswith('django.utils') and m != 'django']"
    )
    asked = f"{code}; import sys; print({listed})"
    return subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True).stdout.strip()


def test_the_plugin_loads_nothing_of_pgqueue():
    assert loaded_by("import pytest_pgqueue", HEAVY) == "[]"


def test_pgqueue_loads_neither_pytest_nor_django():
    assert loaded_by("import pgqueue, pgqueue.broker, pgqueue.tasks", "('pytest', 'django')") == "[]"


def test_the_kit_loads_neither_pytest_nor_django():
    assert loaded_by("import pgqueue.testing", "('pytest', 'django')") == "[]"


def test_the_django_app_loads_no_django_until_it_is_used():
    assert loaded_by("import pgqueue.django", "('pytest', 'django')") == "[]"
