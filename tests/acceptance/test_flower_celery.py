"""Flower in a real browser beside a plain Celery project that has moved to pgqueue by its URLs."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from playwright.sync_api import Page, expect

from pgqueue.broker.worker_session import WorkerSession
from pgqueue.local.child_process import ChildProcess
from pgqueue.local.readiness import fetch_page, find_free_port, flower_answers
from tests.harness import Database, Worker, eventually
from tests.harness.browser import save_screenshot
from tests.harness.celery_app import TRACES, make_app
from tests.harness.servers import Servers

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@dataclass(frozen=True)
class Site:
    """A Celery worker, its project, and a Flower on their database."""

    url: str
    db: Database
    app: Celery
    worker: Worker

    def task(self, task_id: str) -> dict[str, Any]:
        """What Flower knows of a task, {} when it has not heard of it."""
        tasks = json.loads(fetch_page(f"{self.url}/api/tasks"))
        found: dict[str, Any] = tasks.get(task_id, {})
        return found

    def wait_for(self, task_id: str, state: str) -> None:
        """Wait until Flower shows a task in a state."""
        eventually(lambda: self.task(task_id).get("state") == state, what=f"Flower showing {task_id} as {state}")

    def stats(self, worker: Worker) -> dict[str, Any]:
        """What a worker says of itself."""
        return self.app.control.inspect([worker.name], timeout=10, limit=1).stats()[worker.name]

    def wait_for_worker(self, worker: Worker) -> None:
        """Wait until Flower knows a worker."""
        eventually(
            lambda: worker.name in json.loads(fetch_page(f"{self.url}/api/workers?refresh=1")),
            60,
            what=f"Flower knowing {worker.name}",
        )


@pytest.fixture(scope="module")
def site(request: pytest.FixtureRequest, servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    place = tmp_path_factory.mktemp("flower")
    port = find_free_port("127.0.0.1")
    with contextlib.ExitStack() as cleanup:
        db = cleanup.enter_context(contextlib.closing(Database(servers.get(request.config.getoption("--pg-bin")))))
        db.execute("select pgqueue.enroll('postgres')")
        # An administrator's login that is no worker's is enough.
        db.create_role("flower")
        db.execute("grant pgqueue_monitor, pgqueue_admin to flower")
        db.execute(TRACES)
        flower = ChildProcess(
            "flower",
            ["flower", f"--port={port}", "--app=tests.harness.celery_app"],
            {"PGQUEUE_DSN": db.dsn_for("flower")},
            place / "flower.log",
        )
        cleanup.callback(flower.stop, patience=10)
        flower.start()
        worker = Worker(
            db,
            place / "worker.log",
            command="celery",
            app="tests.harness.celery_app",
            arguments=("--concurrency=2", "--task-events"),
        )
        cleanup.enter_context(worker).wait_online()
        app = make_app(db.dsn)
        cleanup.callback(app.connection().transport.database.close)
        cleanup.callback(WorkerSession.close_all)
        cleanup.callback(app.close)
        url = f"http://127.0.0.1:{port}"
        eventually(lambda: flower_answers(url), what="Flower's page")
        made = Site(url, db, app, worker)
        made.wait_for_worker(worker)
        yield made


def test_a_tasks_page_shows_when_it_was_sent_received_and_started(site: Site, page: Page) -> None:
    task_id = site.db.fetch_value("select pgqueue.send_task('leave_trace', '[\"from SQL\"]')")
    site.wait_for(task_id, "SUCCESS")

    page.goto(f"{site.url}/task/{task_id}")

    for row in ("Sent", "Received", "Started", "Succeeded"):
        shown = page.locator(".detail-row", has=page.locator("dt", has_text=row)).locator("dd").first
        expect(shown).to_contain_text("20")  # the date, not a dash
    expect(page.locator("body")).to_contain_text("('from SQL',)")
    save_screenshot(page, "flower-celery-task")


def test_who_sends_tasks_is_no_worker(site: Site) -> None:
    site.app.conf.task_send_sent_event = True
    from_sql = site.db.fetch_value("select pgqueue.send_task('leave_trace', '[\"from SQL\"]')")
    from_python = site.app.send_task("leave_trace", ["from Python"]).id
    site.app.conf.task_send_sent_event = False
    for task_id in (from_sql, from_python):
        site.wait_for(task_id, "SUCCESS")

    clients = {site.task(task_id)["client"] for task_id in (from_sql, from_python)}
    listed = {worker["hostname"] for worker in json.loads(fetch_page(f"{site.url}/workers?json=1&refresh=1"))["data"]}

    assert {client.partition("@")[0] for client in clients} == {"sql", f"gen{os.getpid()}"}
    assert site.worker.name in listed
    assert not clients & listed


def test_the_broker_page_knows_pgqueue_and_counts_its_messages(site: Site, page: Page) -> None:
    for _ in range(3):
        site.app.send_task("leave_trace", ["later"], countdown=3600)
    site.app.send_task("leave_trace", ["never"], queue="forgotten")

    page.goto(f"{site.url}/broker")

    expect(page.locator("tr#forgotten td").nth(1)).to_have_text("1")  # Nobody consumes it, so it grows.

    cells = page.locator("tr#celery td")
    expect(cells.nth(0)).to_have_text("celery")
    assert int(cells.nth(3).inner_text()) >= 3
    expect(page.locator("body")).to_contain_text("pgqueue://")
    save_screenshot(page, "flower-celery-broker")
    site.app.control.purge()
    site.db.execute("delete from pgqueue.message where queue = 'forgotten'")


def test_the_pool_is_grown_and_shrunk(site: Site, page: Page) -> None:
    page.goto(f"{site.url}/worker/{site.worker.name}")

    page.locator("#worker-pool-grow").click()
    eventually(lambda: len(site.stats(site.worker)["pool"]["processes"]) == 3, what="a process more")
    page.locator("#worker-pool-shrink").click()
    eventually(lambda: len(site.stats(site.worker)["pool"]["processes"]) == 2, what="a process less")

    save_screenshot(page, "flower-celery-pool")


def test_the_pool_of_a_worker_that_scales_itself_is_given_other_limits(site: Site, page: Page, tmp_path: Path) -> None:
    elastic = Worker(
        site.db,
        tmp_path / "worker.log",
        name="elastic",
        command="celery",
        app="tests.harness.celery_app",
        arguments=("--autoscale=3,1", "--queues=elastic"),
    )
    with elastic.wait_online():
        site.wait_for_worker(elastic)
        page.goto(f"{site.url}/worker/{elastic.name}")

        page.locator("#min-autoscale").fill("2")
        page.locator("#max-autoscale").fill("5")
        page.locator("#worker-pool-autoscale").click()

        eventually(lambda: {"min": 2, "max": 5}.items() <= site.stats(elastic)["autoscaler"].items())


def test_a_rate_limit_is_set(site: Site, page: Page) -> None:
    page.goto(f"{site.url}/worker/{site.worker.name}")
    page.locator("#worker-tab-limits").click()

    row = page.locator("#limits-table tr", has=page.locator("#task-rate-limit-send_traces"))
    row.locator("input").first.fill("7")
    page.locator("#task-rate-limit-send_traces").click()

    inspect = site.app.control.inspect([site.worker.name], timeout=10, limit=1)
    eventually(lambda: "rate_limit=7" in str(inspect.registered("rate_limit")), what="the limit")
    save_screenshot(page, "flower-celery-limits")


def test_the_terminate_button_ends_exactly_that_task(site: Site, page: Page) -> None:
    doomed, spared = (site.app.send_task("sleep_then_leave_trace", [label, 300]).id for label in ("doomed", "spared"))
    for task_id in (doomed, spared):
        site.wait_for(task_id, "STARTED")

    page.goto(f"{site.url}/task/{doomed}")
    page.once("dialog", lambda dialog: dialog.accept())
    page.locator("#task-terminate").click()

    site.wait_for(doomed, "REVOKED")
    assert site.task(spared)["state"] == "STARTED"
    eventually(lambda: site.db.fetch_value("select count(*) from pgqueue.message where state = 'claimed'") == 1)
    save_screenshot(page, "flower-celery-terminated")
    site.app.control.revoke(spared, terminate=True, signal="SIGKILL")


def test_a_task_that_waits_is_revoked_before_it_runs(site: Site) -> None:
    task_id = site.app.send_task("leave_trace", ["must not run"], countdown=3).id

    fetch_page(f"{site.url}/api/task/revoke/{task_id}", data=b"terminate=false")

    site.wait_for(task_id, "REVOKED")
    assert site.db.fetch_value("select count(*) from trace where label = 'must not run'") == 0
