"""Flower in a real browser: what it shows of SQL jobs, and its buttons."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Dialog, Page, expect

import pgqueue
from pgqueue.client.values import JobState
from pgqueue.local.child_process import ChildProcess
from pgqueue.local.readiness import fetch_page, find_free_port, flower_answers
from tests.harness import Database, Worker, eventually
from tests.harness.browser import save_screenshot
from tests.harness.servers import Servers

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@dataclass(frozen=True)
class Site:
    """A worker and a Flower on a database."""

    url: str
    db: Database
    client: pgqueue.Client
    worker: Worker
    flower: ChildProcess


@pytest.fixture(scope="module")
def site(request: pytest.FixtureRequest, servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    place = tmp_path_factory.mktemp("flower")
    port = find_free_port("127.0.0.1")
    with contextlib.ExitStack() as cleanup:
        db = cleanup.enter_context(contextlib.closing(Database(servers.get(request.config.getoption("--pg-bin")))))
        db.execute("select pgqueue.enroll('postgres')")
        flower = ChildProcess("flower", ["flower", f"--port={port}"], {"PGQUEUE_DSN": db.dsn}, place / "flower.log")
        cleanup.callback(flower.stop, patience=10)
        flower.start()
        worker = Worker(db, place / "worker.log", arguments=("--concurrency=1", "--executors=2"))
        cleanup.enter_context(worker).wait_online()
        client = cleanup.enter_context(pgqueue.connect(db.dsn))
        eventually(lambda: flower_answers(f"http://127.0.0.1:{port}"), what="Flower's page")
        yield Site(f"http://127.0.0.1:{port}", db, client, worker, flower)


def read_task(site: Site, job: pgqueue.Job) -> dict[str, object]:
    """What Flower knows of a job, {} when it has not heard of it."""
    tasks = json.loads(fetch_page(f"{site.url}/api/tasks"))
    found: dict[str, object] = tasks.get(f"job-{job.id}", {})
    return found


def wait_for_task(site: Site, job: pgqueue.Job, state: str) -> dict[str, object]:
    """Wait until Flower shows a job in a state."""
    eventually(lambda: read_task(site, job).get("state") == state, what=f"Flower showing {job} as {state}")
    return read_task(site, job)


def launch_sleeper(site: Site) -> pgqueue.Job:
    """Launch a job that would run for ten minutes, and wait until it runs."""
    job = site.client.launch("select pg_sleep(600)")
    eventually(lambda: job.status().state is JobState.RUNNING, what="the job running")
    wait_for_task(site, job, "STARTED")
    return job


def test_the_workers_page_shows_the_worker_online(site: Site, page: Page) -> None:
    page.goto(f"{site.url}/workers")

    row = page.locator("tr", has_text=site.worker.name)
    expect(row).to_contain_text(re.compile("online", re.IGNORECASE), timeout=20_000)
    save_screenshot(page, "flower-workers")


def test_the_tasks_page_lists_each_sql_job_with_its_statement_state_result_and_runtime(site: Site, page: Page) -> None:
    done = site.client.launch("select region, sum(total) from (values ('north', 5)) s (region, total) group by region")
    failed = site.client.launch("insert into no_such_table values (1)", label="a doomed insert")
    running = launch_sleeper(site)
    wait_for_task(site, done, "SUCCESS")
    wait_for_task(site, failed, "FAILURE")

    page.goto(f"{site.url}/tasks")

    row = page.locator("tr", has_text="group by region")
    expect(row).to_contain_text("SUCCESS")
    expect(row.locator("td").nth(3)).to_have_text("SELECT 1")
    expect(row.locator("td").nth(5)).to_have_text(re.compile(r"\d+\.\d+ ms"))
    row = page.locator("tr", has_text="a doomed insert")
    expect(row).to_contain_text("FAILURE")
    expect(row).to_contain_text("no_such_table")
    expect(page.locator("tr", has_text="pg_sleep(600)").first).to_contain_text("STARTED")
    save_screenshot(page, "flower-tasks")
    running.cancel()


def test_a_tasks_page_shows_the_statement_and_the_whole_error(site: Site, page: Page) -> None:
    job = site.client.launch("select 1 / (n - 3) from generate_series(1, 5) n")
    wait_for_task(site, job, "FAILURE")

    page.goto(f"{site.url}/task/job-{job.id}")

    expect(page.locator("body")).to_contain_text("select 1 / (n - 3)")
    expect(page.locator("body")).to_contain_text("division by zero")
    expect(page.locator("body")).to_contain_text("22012")
    save_screenshot(page, "flower-task")


def test_the_terminate_button_cancels_exactly_that_job(site: Site, page: Page) -> None:
    doomed, spared = launch_sleeper(site), launch_sleeper(site)

    page.goto(f"{site.url}/task/job-{doomed.id}")
    page.once("dialog", lambda dialog: dialog.accept())
    page.locator("#task-terminate").click()

    assert doomed.wait(10)
    assert doomed.status().state is JobState.CANCELED
    wait_for_task(site, doomed, "REVOKED")
    assert spared.status().state is JobState.RUNNING
    save_screenshot(page, "flower-terminated")
    spared.cancel()


def test_the_terminate_button_asks_first_and_does_nothing_when_that_is_declined(site: Site, page: Page) -> None:
    spared = launch_sleeper(site)
    asked: list[str] = []

    def decline(dialog: Dialog) -> None:
        asked.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", decline)
    page.goto(f"{site.url}/task/job-{spared.id}")
    page.locator("#task-terminate").click()

    assert [message.partition("?")[0] for message in asked] == ["Stop this while it runs"]
    assert not spared.wait(2)
    spared.cancel()


def test_shutting_a_worker_down_asks_first_and_does_nothing_when_that_is_declined(site: Site, page: Page) -> None:
    asked: list[str] = []

    def decline(dialog: Dialog) -> None:
        asked.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", decline)
    page.goto(f"{site.url}/worker/{site.worker.name}")
    page.locator("#worker-group").click()
    page.locator("#worker-shutdown").click()

    assert [message.partition("?")[0] for message in asked] == ["Shut this worker down"]
    job = site.client.launch("select 'it is still there'")
    assert job.wait(20)
    assert "Warm shutdown" not in site.worker.read_log()


def test_a_row_of_the_tasks_page_leads_to_its_job(site: Site, page: Page) -> None:
    job = site.client.launch("select 1 / 0 as linked")
    wait_for_task(site, job, "FAILURE")

    page.goto(f"{site.url}/tasks")
    page.get_by_role("link", name=f"job-{job.id}", exact=False).first.click()

    expect(page).to_have_url(f"{site.url}/task/job-{job.id}")
    expect(page.locator("body")).to_contain_text("division by zero")


def test_a_program_can_terminate_a_job_over_the_api(site: Site) -> None:
    doomed, spared = launch_sleeper(site), launch_sleeper(site)

    fetch_page(f"{site.url}/api/task/revoke/job-{doomed.id}", data=b"terminate=true")

    assert doomed.wait(10)
    assert doomed.status().state is JobState.CANCELED
    assert spared.status().state is JobState.RUNNING
    spared.cancel()


def test_a_job_that_waits_is_revoked_before_it_runs(site: Site) -> None:
    job = site.client.launch("select 'must not run'", delay=3)

    fetch_page(f"{site.url}/api/task/revoke/job-{job.id}", data=b"terminate=false")

    assert job.wait(20)
    assert job.status().state is JobState.CANCELED


@pytest.mark.parametrize(
    ("width", "shown"),
    [
        (1400, ("UUID", "State", "Name", "Result or error", "args", "Runtime", "Worker", "Received")),
        (1000, ("UUID", "State", "Name", "Result or error", "args", "Runtime", "Worker")),
        (390, ("UUID", "State", "Name", "Result or error")),
    ],
)
def test_the_tasks_page_has_room_for_what_matters_on_every_screen(
    site: Site, page: Page, width: int, shown: tuple[str, ...]
) -> None:
    job = site.client.launch(f"insert into no_such_table_with_a_long_name select {width}", label="a label " * 8)
    wait_for_task(site, job, "FAILURE")
    page.set_viewport_size({"width": width, "height": 800})

    page.goto(f"{site.url}/tasks")

    cells = page.locator("#tasks-table tbody tr", has_text=f"job-{job.id}").first.locator("td:visible")
    expect(cells).to_have_count(len(shown))
    # The last may lose the fractions of a second.
    boxes = [cell.bounding_box() for cell in cells.all()]
    right = [box["x"] + min(box["width"], 150) for box in boxes if box]
    assert len(right) == len(shown)
    assert max(right) <= width, right
    headers = page.locator(".dataTables_scrollHead th:visible")
    assert [text.lower() for text in headers.all_inner_texts()] == [text.lower() for text in shown]
    expect(cells.nth(0)).to_have_text(re.compile(rf"^job-{job.id}"))
    expect(cells.nth(3)).to_contain_text("UndefinedTable")
    save_screenshot(page, f"flower-tasks-{width}")


def test_the_broker_page_shows_what_waits_in_each_queue_since_when_and_why(site: Site, page: Page) -> None:
    jobs = site.client.enqueue_many(["select 1"] * 3, delay=600)
    unserved = site.client.enqueue("select 1", queue="unserved")
    site.db.execute("select pgqueue.pause('held up')")
    held = site.client.enqueue("select 1", queue="held up")

    page.goto(f"{site.url}/broker")

    assert page.locator("#queue-table th").all_inner_texts() == [
        name.upper() for name in ("Queue", "Ready", "Oldest", "Delayed", "Unacked", "Consumers", "State")
    ]
    cells = page.locator("tr#default td")
    expect(cells.nth(0)).to_have_text("default")
    assert int(cells.nth(3).inner_text()) >= 3
    expect(cells.nth(6)).to_have_text("open")
    cells = page.locator("tr#unserved td")
    expect(cells.nth(1)).to_have_text("1")
    expect(cells.nth(2)).to_have_text(re.compile(r"\d m?s"))
    expect(cells.nth(6)).to_have_text("no worker")
    expect(page.locator("tr", has_text="held up").locator("td").nth(6)).to_have_text("paused")
    save_screenshot(page, "flower-broker")
    page.set_viewport_size({"width": 390, "height": 800})
    expect(page.locator("tr#unserved td:visible")).to_have_count(5)
    box = page.locator("tr#unserved td").nth(6).bounding_box()
    assert box is not None
    assert box["x"] + box["width"] <= 390
    save_screenshot(page, "flower-broker-390")
    lengths = {
        queue["name"]: queue for queue in json.loads(fetch_page(f"{site.url}/api/queues/length"))["active_queues"]
    }
    assert lengths["default"]["messages_delayed"] >= 3
    assert (lengths["held up"]["paused"], lengths["unserved"]["consumers"]) == (True, 0)
    site.db.execute("select pgqueue.resume('held up')")
    for job in [*jobs, unserved, held]:
        job.cancel()


def test_flower_offers_no_call_of_the_task_by_which_celery_knows_jobs(site: Site) -> None:
    workers = json.loads(fetch_page(f"{site.url}/api/workers?refresh=1"))

    assert "pgqueue.job" not in str([worker.get("registered") for worker in workers.values()])
    for call in ("apply", "async-apply", "send-task"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            fetch_page(f"{site.url}/api/task/{call}/pgqueue.job", data=b"{}")
        said = refused.value.read().decode()
        refused.value.close()
        assert (refused.value.code, said.partition(".")[0]) == (400, "the task pgqueue"), call
        assert "pgqueue.launch" in said, call


def test_no_event_is_lost_while_flower_is_busy_for_longer_than_celery_keeps_them(site: Site) -> None:
    pid = site.flower.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        job = site.client.launch("select 'while nobody looked'")
        assert job.wait(20)
        # Celery's monitors lose what waits for five seconds.
        waiting = (
            "select count(*) from pgqueue.message where queue ~ '^celeryev' and launched_at < now() - interval '7 s'"
        )
        eventually(lambda: site.db.fetch_value(waiting) > 0, 30, what="events that wait")
    finally:
        os.kill(pid, signal.SIGCONT)

    wait_for_task(site, job, "SUCCESS")


def test_what_a_killed_worker_ran_does_not_stay_started_nor_its_worker_active(
    site: Site, page: Page, tmp_path: Path
) -> None:
    def active() -> dict[str, int]:
        rows = json.loads(fetch_page(f"{site.url}/workers?json=1"))["data"]
        return {row["hostname"]: row["active"] for row in rows}

    doomed = Worker(
        site.db,
        tmp_path / "worker.log",
        name="doomed",
        arguments=("--queues=doomed", "--concurrency=1", "--executors=3"),
    )
    doomed.wait_online()
    back, canceled = (site.client.launch("select pg_sleep(600)", queue="doomed") for _ in range(2))
    for job in (back, canceled):
        wait_for_task(site, job, "STARTED")
    eventually(lambda: active().get(doomed.name) == 2, 30, what="Flower counting its jobs")

    doomed.end()

    assert "is gone" in str(wait_for_task(site, back, "RETRY")["exception"])
    canceled.cancel()
    wait_for_task(site, canceled, "REVOKED")
    eventually(lambda: active()[doomed.name] == 0, 30, what="Flower counting none of its jobs")
    page.goto(f"{site.url}/tasks?state=RETRY")
    row = page.locator("#tasks-table tbody tr", has_text=f"job-{back.id}")
    expect(row.locator("td").nth(3)).to_contain_text(doomed.name.partition("@")[0])
    save_screenshot(page, "flower-lost-worker")
    back.cancel()


def test_another_web_site_cannot_use_the_api(site: Site) -> None:
    job = launch_sleeper(site)
    request = urllib.request.Request(
        f"{site.url}/api/task/revoke/job-{job.id}",
        data=b"terminate=true",
        headers={"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"},
    )

    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request)

    refused.value.close()
    assert refused.value.code == 403
    assert job.status().state is JobState.RUNNING
    job.cancel()


@pytest.mark.parametrize("path", ["workers", "metrics", "api/workers", "static/css/flower.css", "healthcheck"])
def test_a_foreign_name_that_leads_to_this_machine_is_answered_nothing(site: Site, path: str) -> None:
    request = urllib.request.Request(f"{site.url}/{path}", headers={"Host": "evil.example:5555"})

    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request)

    body = refused.value.read().decode()
    refused.value.close()
    assert refused.value.code == 403
    assert site.worker.name not in body


def executors_of(site: Site, worker: Worker) -> int:
    """How many executors a worker has, as the database lists it."""
    return int(site.db.fetch_value("select executors from pgqueue.workers where worker = %s", [worker.name]))


def test_the_pool_buttons_scale_the_executors_and_stop_no_job(site: Site, page: Page) -> None:
    first = executors_of(site, site.worker)
    jobs = [launch_sleeper(site) for _ in range(first)]
    waits = site.client.launch("select 'waits for an executor'")
    page.goto(f"{site.url}/worker/{site.worker.name}")

    page.locator("#pool-size").fill("2")
    page.locator("#worker-pool-grow").click()

    eventually(lambda: executors_of(site, site.worker) == first + 2, what="two executors more")
    assert waits.wait(20)
    expect(page.locator(".toast")).to_contain_text("Growing")
    fetch_page(f"{site.url}/api/workers?refresh=1")
    page.reload()
    row = page.locator("#tab-pool tr", has_text="Executors")
    expect(row).to_contain_text(str(first + 2))
    save_screenshot(page, "flower-executors")

    page.locator("#pool-size").fill(str(first + 1))
    page.locator("#worker-pool-shrink").click()

    eventually(lambda: executors_of(site, site.worker) == 1, what="one executor left")
    assert {job.status().state for job in jobs} == {JobState.RUNNING}
    for job in jobs:
        job.cancel()
        assert job.wait(20)
    page.locator("#pool-size").fill(str(first - 1))
    page.locator("#worker-pool-grow").click()
    eventually(lambda: executors_of(site, site.worker) == first, what="as many executors as before")


def test_the_autoscale_button_sets_the_bounds_of_the_executors(site: Site, page: Page, tmp_path: Path) -> None:
    elastic = Worker(site.db, tmp_path / "worker.log", name="elastic", arguments=("--autoscale=3,1",))
    with elastic.wait_online():
        eventually(lambda: elastic.name in json.loads(fetch_page(f"{site.url}/api/workers?refresh=1")), 60)
        page.goto(f"{site.url}/worker/{elastic.name}")
        assert executors_of(site, elastic) == 1

        page.locator("#min-autoscale").fill("2")
        page.locator("#max-autoscale").fill("5")
        page.locator("#worker-pool-autoscale").click()

        eventually(lambda: executors_of(site, elastic) == 2, what="the least number of executors")
        save_screenshot(page, "flower-autoscale")


def test_flower_counts_each_of_thousands_of_jobs_and_lists_some(site: Site, page: Page) -> None:
    def counted() -> dict[str, int]:
        rows = json.loads(fetch_page(f"{site.url}/workers?json=1"))["data"]
        row = next(row for row in rows if row["hostname"] == site.worker.name)
        return {kind: row.get(f"task-{kind}", 0) for kind in ("received", "started", "succeeded")}

    def metric() -> float:
        lines = re.findall(
            r'^flower_events_total{.*type="task-succeeded".*} (.*)$', fetch_page(f"{site.url}/metrics"), re.M
        )
        return sum(map(float, lines))

    before, metric_before = counted(), metric()
    site.db.execute("select pgqueue.pause('default')")
    site.db.execute("select count(*) from pgqueue.enqueue_many(array_fill('select 1 /* many */'::text, array[5000]))")
    site.db.execute("select pgqueue.resume('default')")

    eventually(lambda: counted() == {kind: count + 5000 for kind, count in before.items()}, 60)
    assert metric() - metric_before == 5000
    tasks = json.loads(fetch_page(f"{site.url}/api/tasks?limit=20000"))
    listed = [task for task in tasks.values() if task["args"] == "select 1 /* many */"]
    assert 50 <= len(listed) < 5000
    assert {task["state"] for task in listed} == {"SUCCESS"}
    page.goto(f"{site.url}/workers")
    row = page.locator("tr", has_text=site.worker.name)
    expect(row).to_contain_text(f"{counted()['succeeded']:,}")
