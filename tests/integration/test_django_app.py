"""The Django app in a real project, the shop of examples/: its commands, its transactions, its backend, its admin."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.harness import Database, eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SHOP = Path(__file__).parents[2] / "examples" / "django_shop"
MAKE_ORDER = """
from shop.models import Product
from shop.orders import place_order
Product.objects.get_or_create(sku="tea", defaults={"price": "4.50", "stock": 10})
"""


class Project:
    """The shop on a test's database."""

    def __init__(self, db: Database, place: Path, user: str = "postgres") -> None:
        info = dict(part.split("=", 1) for part in db.dsn.split() if "=" in part)
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("PGQUEUE_")},
            "SHOP_DATABASE": db.name, "SHOP_USER": user, "SHOP_HOST": info["host"], "SHOP_PORT": info.get("port", ""),
            "DJANGO_SETTINGS_MODULE": "shop.settings", "PYTHONPATH": str(SHOP.parents[1]),
        }  # fmt: skip
        self._db, self._place = db, place

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run manage.py."""
        return subprocess.run(
            [sys.executable, "manage.py", *arguments], env={**self.environment, **environment}, cwd=SHOP,
            capture_output=True, text=True, timeout=200, check=False,
        )  # fmt: skip

    def call(self, *arguments: str, **environment: str) -> str:
        """Run manage.py, which must succeed; return what it printed."""
        done = self.run(*arguments, **environment)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()

    def shell(self, code: str, **environment: str) -> str:
        """Run Python in the project; return the last line that it printed."""
        return self.call("shell", "-v", "0", "-c", code, **environment).splitlines()[-1:][0]

    def start_worker(self, *options: str) -> Path:
        """Start `manage.py pgqueue_worker`; return its log."""
        log = self._place / "worker.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "manage.py", "pgqueue_worker", "--pool=solo", "--executors=1", *options], env=self.environment,
                cwd=SHOP, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            )  # fmt: skip
        self._db.at_close(lambda: (process.kill(), process.wait()))
        return log


@pytest.fixture
def empty_project(empty_db: Database, tmp_path: Path) -> Project:
    return Project(empty_db, tmp_path)


@pytest.fixture
def project(db: Database, tmp_path: Path) -> Project:
    made = Project(db, tmp_path)
    made.call("migrate", "-v", "0")
    return made


def test_migrate_installs_and_is_harmless_to_repeat(empty_project, empty_db):
    first = empty_project.call("migrate")
    again = empty_project.call("migrate")

    assert "Installed or upgraded the schema pgqueue" in first
    assert "pgqueue (version" not in again
    assert empty_db.fetch_value("select count(*) from pgqueue.role_key") == 1
    assert empty_project.call("makemigrations", "--check", "--dry-run") == "No changes detected"
    assert "no issues" in empty_project.call("check")


def test_migrate_upgrades(project, db):
    db.execute("update pgqueue.function_file set hash = 'of an older release' where name = 'jobs'")

    assert "Installed or upgraded the schema pgqueue" in project.call("migrate")
    assert db.fetch_value("select hash from pgqueue.function_file where name = 'jobs'") != "of an older release"


def test_migrate_says_which_rights_are_missing(empty_db, tmp_path):
    empty_db.create_role("poor", enrolled=False)
    empty_db.execute("grant create on schema public to poor")

    refused = Project(empty_db, tmp_path, "poor").run("migrate")

    assert refused.returncode == 1
    assert "pgqueue cannot be installed in the database default" in refused.stderr
    assert "grant create on database" in refused.stderr.lower() or "createrole" in refused.stderr.lower()
    assert empty_db.fetch_value("select to_regnamespace('pgqueue') is null")
    assert "Traceback" not in refused.stderr


def test_an_order_and_what_follows_it_are_one_commit(project, db):
    code = f"""{MAKE_ORDER}
from django.db import transaction
from pgqueue.testing import all_enqueued
with transaction.atomic():
    place_order("tea", 1, "a@example.com")
    inside = len(all_enqueued())
    transaction.set_rollback(True)
print(inside)
"""
    assert project.shell(code) == "4"
    assert db.fetch_value("select count(*) from pgqueue.message") == 0

    project.shell(MAKE_ORDER + "print(place_order('tea', 1, 'a@example.com').pk)")
    assert db.fetch_value("select count(*) from pgqueue.message") == 4


def test_without_transactional_a_rollback_takes_nothing_back(project, db):
    code = f"""
from django.conf import settings
settings.PGQUEUE = {{"transactional": False}}
{MAKE_ORDER}
from django.db import transaction
from shop.tasks import send_confirmation
with transaction.atomic():
    send_confirmation.delay(1)
    transaction.set_rollback(True)
print("done")
"""
    assert project.shell(code) == "done"
    assert db.fetch_value("select count(*) from pgqueue.message where kind = 'task'") == 1


def test_the_worker_runs_tasks_of_both_kinds_and_jobs(project, db):
    log = project.start_worker("--queues=celery,default,invoices,reports")
    project.shell(MAKE_ORDER + "print(place_order('tea', 2, 'a@example.com').pk)")

    def is_done() -> Any:
        return db.execute(
            "select o.confirmed_at is not null, o.invoice, s.quantity, t.status from shop_order o "
            "join shop_sales s on s.product_id = o.product_id cross join pgqueue_task t "
            "where o.confirmed_at is not null and t.finished_at is not null"
        )

    found = eventually(is_done, timeout=120, what="the order is worked on")
    assert found == [(True, "2 x tea: 9.00", 2, "SUCCESSFUL")], log.read_text()
    assert "Traceback" not in log.read_text()
    code = """
from pgqueue.django.models import TaskRecord
from shop.tasks import write_invoice
result = write_invoice.get_result(TaskRecord.objects.get().pk)
print(result.return_value, result.attempts, result.is_finished)
"""
    assert project.shell(code) == "2 x tea: 9.00 1 True"


def test_the_admin_shows_and_retries(project, db):
    db.execute("select pgqueue.enroll('postgres')")
    code = (
        MAKE_ORDER
        + """
from django.contrib.auth.models import User
from django.test import Client
from pgqueue.django import client
from pgqueue.django.models import Job, TaskRecord
from pgqueue.testing import all_enqueued, drain
from shop.orders import cancel_order
cancel_order(place_order("tea", 1, "a@example.com"))
client().enqueue("select 1 / 0", label="broken")
drain()
admin = Client(headers={"host": "localhost"})
admin.force_login(User.objects.create_superuser("admin"))
pages = [admin.get(f"/admin/pgqueue/{name}/").status_code for name in ("taskrecord", "job")]
pages += [admin.get(f"/admin/pgqueue/{name}/{key}/change/").status_code for name, key in (
    ("taskrecord", TaskRecord.objects.get().pk), ("job", Job.objects.get(label="broken").pk))]
for name, keys in (("taskrecord", [TaskRecord.objects.get().pk]), ("job", [job.pk for job in Job.objects.filter(state="failed")])):
    pages.append(admin.post(f"/admin/pgqueue/{name}/", {"action": "retry", "_selected_action": keys}).status_code)
queued = sorted(each.label or each.name for each in all_enqueued() if each.state == "ready")
drain()
print(pages, queued, TaskRecord.objects.get().status, len(TaskRecord.objects.get().errors), Job.objects.filter(state="failed").count())
"""
    )
    expected = "[200, 200, 200, 200, 302, 302] ['broken', 'pgqueue.django.run_task'] FAILED 2 2"
    assert project.shell(code) == expected


def test_a_wrong_setting_is_an_error(project):
    code = """
from django.conf import settings
from django.core.management import call_command
settings.PGQUEUE = {"transactionl": True}
try:
    call_command("check")
except Exception as refusal:
    print(str(refusal).replace("\\n", " "))
"""
    assert "PGQUEUE has no transactionl: it knows database, transactional" in project.shell(code)
