"""The pages in Flower that read the database, in a real browser: an operator's evening, and who may see and do what."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from pgqueue.local.child_process import ChildProcess
from pgqueue.local.readiness import fetch_page, find_free_port, flower_answers
from pgqueue.worker.metrics.exporter import Exporter
from tests.harness import Database, Worker, eventually
from tests.harness.browser import save_screenshot
from tests.harness.database import Connection
from tests.harness.promql import alerts, evaluate
from tests.harness.scrape import Scrape
from tests.harness.servers import Servers

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SECRET = "hunter2-in-a-statement"
PARAMETER = "hunter2-in-a-parameter"
MARKUP = "<img src=x onerror='window.hacked = true'><script>window.hacked = true</script>"
PATHS = ("jobs", "queues", "dead-letters", "schedules", "workers")
BREAK = """create or replace function settle(invoice text) returns void language plpgsql as
  $$ begin raise exception 'ledger of invoice % is closed', invoice; end $$"""
FIX = "create or replace function settle(invoice text) returns void language sql as $$ insert into settled values (invoice) $$"
BILLS = """select count(*) from pgqueue.enqueue_many(array['select public.settle($1)'],
             rows => (select array_agg(array[n::text]) from generate_series(1, 500) n), queue => 'billing', label => 'settle')"""


@dataclass(frozen=True)
class Site:
    """A worker, and Flowers on its database: of an administrator, of a monitor, and one that may change nothing."""

    db: Database
    alice: Connection
    worker: Worker
    admin: str
    monitor: str
    read_only: str


@pytest.fixture(scope="module")
def site(request: pytest.FixtureRequest, servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    place = tmp_path_factory.mktemp("pages")
    with contextlib.ExitStack() as cleanup:
        db = cleanup.enter_context(contextlib.closing(Database(servers.get(request.config.getoption("--pg-bin")))))
        alice = db.connect(db.create_role("alice"))
        db.create_role("ops", enrolled=False)
        db.create_role("watch", enrolled=False)
        db.execute("grant pgqueue_worker, pgqueue_admin, alice to ops; grant pgqueue_worker, pgqueue_monitor to watch")
        db.execute(f"create table settled (invoice text); grant insert on settled to alice; {BREAK}")
        urls = {}
        for name, role, options in (
            ("admin", "ops", []),
            ("monitor", "watch", ["--basic-auth=watch:night"]),
            ("read_only", "ops", ["--read_only"]),
        ):
            port = find_free_port("127.0.0.1")
            flower = ChildProcess(
                "flower",
                ["flower", f"--port={port}", *options],
                {"PGQUEUE_DSN": db.dsn_for(role)},
                place / f"{name}.log",
            )
            cleanup.callback(flower.stop, patience=10)
            flower.start()
            urls[name] = f"http://127.0.0.1:{port}"
        worker = Worker(
            db, place / "worker.log", arguments=("--concurrency=1", "--executors=4", "--queues=default,billing")
        )
        cleanup.enter_context(worker).wait_online()
        eventually(
            lambda: flower_answers(urls["admin"]) and flower_answers(urls["read_only"]), 60, what="Flower's page"
        )
        eventually(lambda: ask(f"{urls['monitor']}/workers", password=True)[0] == 200, 60, what="the monitor's Flower")
        yield Site(db, alice, worker, **urls)


def ask(
    url: str, data: dict[str, Any] | None = None, *, password: bool = False, headers: dict[str, str] | None = None
) -> tuple[int, str]:
    """Return the status and the body of an answer, also of a refusal."""
    encoded = None if data is None else urllib.parse.urlencode(data, doseq=True).encode()
    request = urllib.request.Request(url, encoded, headers or {})
    if password:
        request.add_header("Authorization", "Basic " + base64.b64encode(b"watch:night").decode())
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, refused.read().decode()
    except OSError:
        return 0, ""


def submit(site: Site, sql: str, **options: Any) -> int:
    """Submit a job as alice; return its number."""
    named = "".join(f", {name} => %({name})s" for name in options)
    [(id,)] = site.alice.execute(f"select (pgqueue.submit(%(sql)s{named})).id", {"sql": sql, **options}).fetchall()
    return int(id)


def wait_for(site: Site, id: int, state: str) -> None:
    """Wait until a job has a state."""
    sql = "select state::text from pgqueue.jobs where id = %s"
    eventually(lambda: site.db.fetch_value(sql, [id]) == state, 60, what=f"job {id} being {state}")


def scrape(site: Site) -> Scrape:
    """Return what the exporter tells now."""
    return Scrape(Exporter(site.db.dsn).metrics().body.decode())


def billing_fails(scrapes: list[tuple[float, Scrape]], at: float) -> bool:
    """Return whether the alert about jobs that fail fires for the queue of the evening."""
    [rule] = [rule for rule in alerts() if rule["alert"] == "PgqueueJobsFail"]
    return frozenset({("queue", "billing")}) in evaluate(rule["expr"], scrapes, at)


def test_an_evening_of_an_operator(site: Site, page: Page) -> None:
    scrapes = [(0.0, scrape(site))]
    site.alice.execute(BILLS)
    failed = "select count(*) from pgqueue.jobs where state = 'failed' and queue = 'billing'"
    eventually(lambda: site.db.fetch_value(failed) == 500, 90, what="500 failures")
    scrapes.append((60.0, scrape(site)))
    assert billing_fails(scrapes, 60.0), "the alert does not fire"

    # Find them by the text of their error.
    page.goto(f"{site.admin}/workers")
    page.get_by_role("link", name="pgqueue", exact=True).click()
    page.get_by_label("State", exact=True).select_option("failed")
    page.get_by_label("Error has").fill("ledger of invoice")
    page.get_by_role("button", name="Search").click()
    rows = page.locator("#pgq-jobs tbody tr")
    expect(rows).to_have_count(50)
    expect(rows.first).to_contain_text("is closed")
    save_screenshot(page, "pages-jobs")
    page.get_by_role("link", name="Older").click()
    expect(rows).to_have_count(50)

    # Look at one.
    page.go_back()
    rows.first.get_by_role("link").click()
    expect(page.locator("#statement")).to_have_text("select public.settle($1)")
    expect(page.locator("ol li")).to_have_text("500")
    expect(page.locator(".pgq")).to_contain_text("ledger of invoice 500 is closed")
    expect(page.get_by_role("heading", name="Attempts that failed")).to_be_visible()
    save_screenshot(page, "pages-job")
    page.go_back()

    # Fix the function; run all that match again while the queue is paused, to see it full.
    site.db.execute("select pgqueue.pause('billing')")
    site.db.execute(FIX)
    page.get_by_role("button", name="Retry all that match").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Retry 500 jobs?")
    page.get_by_role("button", name="Retry", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("500 jobs retried")
    page.locator(".pgq-bar").get_by_role("link", name="Queues").click()
    row = page.locator("#pgq-queues tr", has_text="billing")
    expect(row.locator("td[data-label=Ready]")).to_have_text("500")
    expect(row).to_contain_text("paused")
    expect(row.get_by_role("img")).to_have_attribute(
        "aria-label", re.compile("500 jobs ended in the last hour, 500 of them failed")
    )
    save_screenshot(page, "pages-queues")
    row.get_by_role("link", name="Drain").click()
    expect(page.get_by_role("status")).to_contain_text("500 left: 500 ready")
    expect(page.locator(".pgq")).to_contain_text("The queue is paused")
    page.go_back()

    # Watch it drain: the page reads itself again.
    row.get_by_role("button", name="Resume").click()
    expect(page.locator(".pgq")).to_contain_text("The queue is open again")
    page.goto(f"{site.admin}/pgqueue/queues/drain?queue=billing")
    expect(page.get_by_role("status")).to_contain_text("The queue is empty", timeout=30_000)
    page.goto(f"{site.admin}/pgqueue/queues")
    expect(row.locator("td[data-label=Ready]")).to_have_text("0")
    expect(row).to_contain_text("1,000 jobs")
    assert json.loads(fetch_page(f"{site.admin}/api/pgqueue/queues/drain?queue=billing&timeout=30")) == {
        "queue": "billing", "empty": True, "left": 0,
    }  # fmt: skip
    assert site.db.fetch_value("select count(distinct invoice) from settled") == 500
    # The alert falls silent when its range of 10 min has no failure: as if the scrapes were made later.
    scrapes += [(300.0, scrape(site)), (840.0, scrape(site))]
    assert billing_fails(scrapes, 300.0), "the failures are in its range"
    assert not billing_fails(scrapes, 840.0), "the alert still fires"
    page.goto(f"{site.admin}/pgqueue/jobs?queue=billing&state=succeeded")
    expect(rows).to_have_count(50)
    rows.first.get_by_role("link").click()
    expect(page.get_by_role("status")).to_contain_text("again")


def test_a_running_job_shows_its_progress_without_a_reload_and_can_be_canceled(site: Site, page: Page) -> None:
    id = submit(
        site,
        "do $$ begin for n in 1..600 loop perform pgqueue.progress(n / 6, 'step ' || n); perform pg_sleep(0.1); end loop; end $$",
    )
    wait_for(site, id, "running")

    page.goto(f"{site.admin}/pgqueue/job/{id}")
    bar = page.locator("progress")
    expect(bar).to_be_visible()
    first = int(bar.get_attribute("value") or 0)
    eventually(lambda: int(bar.get_attribute("value") or 0) > first, 30, what="the bar moving")
    page.goto(f"{site.admin}/pgqueue/workers")
    expect(page.locator("#pgq-workers")).to_contain_text("1 of 4 busy")
    save_screenshot(page, "pages-workers")
    page.get_by_role("link", name=str(id)).click()
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Cancel", exact=True).click()

    expect(page.get_by_role("heading", level=1)).to_have_text("1 job canceled")
    wait_for(site, id, "canceled")


def test_markup_of_users_is_shown_and_not_run(site: Site, page: Page) -> None:
    literal = MARKUP.replace("'", "''")
    id = submit(site, f"do $$ begin raise exception using message = '{literal}'; end $$ -- {MARKUP}", label=MARKUP)
    wait_for(site, id, "failed")

    for path in ("jobs", f"jobs?{urllib.parse.urlencode({'label': MARKUP, 'error': MARKUP})}", f"job/{id}"):
        page.goto(f"{site.admin}/pgqueue/{path}")
        expect(page.locator(".pgq")).to_contain_text("<img src=x onerror=")
        assert page.evaluate("window.hacked") is None, path
        assert page.locator(".pgq img, .pgq script").count() == 0


def test_a_monitor_sees_no_statement_no_parameter_and_no_argument_and_changes_nothing(site: Site) -> None:
    failed = submit(site, f"select '{SECRET}'::int + $1", params=[PARAMETER], label="leaky")
    waiting = submit(site, f"select '{SECRET}' || $1", params=[PARAMETER], delay="1 h")
    site.alice.execute(
        "select pgqueue.schedule('leaky', '0 3 * * *', %s, params => %s)", [f"select '{SECRET}'", [PARAMETER]]
    )
    site.alice.execute(
        "select pgqueue.send_task('app.leaky', args => %s::jsonb, queue => 'leaky.dead')", [json.dumps([PARAMETER])]
    )
    site.db.execute(
        "update pgqueue.message set payload = jsonb_set(payload::jsonb, '{headers,x-death}',"
        """ '[{"queue": "leaky", "reason": "rejected", "count": 1}]')::json where queue = 'leaky.dead'"""
    )
    wait_for(site, failed, "failed")
    paths = [*PATHS, f"job/{failed}", f"job/{waiting}", "queues/drain?queue=leaky&timeout=1"]
    paths += ["dead-letters?queue=leaky.dead", "jobs?state=failed&limit=500"]
    paths += [f"jobs?{urllib.parse.urlencode({name: SECRET})}" for name in ("statement", "error")]

    for path in paths:
        for kind in ("pgqueue", "api/pgqueue"):
            status, body = ask(f"{site.monitor}/{kind}/{path}", password=True)
            assert status == 200, (path, body)
            if "=hunter2" not in path:  # There it is what the reader has typed.
                assert "hunter2" not in body, path
    # The search tells nothing of what it may not read, either.
    for name in ("statement", "error"):
        _, body = ask(f"{site.monitor}/api/pgqueue/jobs?{urllib.parse.urlencode({name: SECRET})}", password=True)
        assert json.loads(body)["jobs"] == []
        _, body = ask(f"{site.admin}/api/pgqueue/jobs?{urllib.parse.urlencode({name: SECRET})}")
        assert failed in [job["id"] for job in json.loads(body)["jobs"]], name
    assert "leaky" in ask(f"{site.monitor}/pgqueue/jobs", password=True)[1]
    assert "app.leaky" in ask(f"{site.monitor}/api/pgqueue/dead-letters?queue=leaky.dead", password=True)[1]

    for path, data in (
        ("jobs/retry", {"id": failed}), ("jobs/cancel", {"id": waiting}), ("jobs/discard", {"all": 1, "state": "failed"}),
    ):  # fmt: skip
        status, body = ask(f"{site.monitor}/api/pgqueue/{path}", data, password=True)
        # A worker's login may change jobs of its own roles: of others it finds none.
        refused = json.loads(body).get("refused")
        assert status == 200, (path, body)
        assert refused or json.loads(body)["discarded"] == 0, (path, body)
    status, body = ask(f"{site.monitor}/api/pgqueue/queues/pause", {"queue": "billing"}, password=True)
    assert (status, json.loads(body)["error"]["sqlstate"]) == (403, "42501")
    assert site.db.fetch_value("select state::text from pgqueue.jobs where id = %s", [waiting]) == "queued"


def test_the_password_of_flower_is_asked_for(site: Site) -> None:
    for path in PATHS:
        assert ask(f"{site.monitor}/pgqueue/{path}")[0] == 401
        assert ask(f"{site.monitor}/api/pgqueue/{path}")[0] == 401
    assert ask(f"{site.monitor}/api/pgqueue/queues/pause", {"queue": "billing"})[0] == 401


def test_a_flower_that_is_read_only_offers_and_takes_no_change(site: Site, page: Page) -> None:
    wait_for(site, submit(site, "select 1 / 0"), "failed")

    page.goto(f"{site.read_only}/pgqueue/jobs?state=failed")
    expect(page.locator("#pgq-jobs tbody tr").first).to_be_visible()
    assert page.get_by_role("button").filter(has_text=re.compile("Retry|Cancel|Discard")).count() == 0
    page.goto(f"{site.read_only}/pgqueue/queues")
    assert page.locator("#pgq-queues button").count() == 0

    for path, data in (
        ("jobs/retry", {"all": 1, "state": "failed"}), ("queues/pause", {"queue": "billing"}), ("schedules/run", {"name": "x", "owner": "y"}),
    ):  # fmt: skip
        status, body = ask(f"{site.read_only}/api/pgqueue/{path}", data)
        assert (status, "read-only" in body) == (403, True), (path, body)
    assert site.db.fetch_value("select count(*) from pgqueue.queues where paused") == 0


def test_another_web_site_can_change_nothing(site: Site, page: Page) -> None:
    foreign = {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}
    form = {"act": "pause", "queue": "billing"}

    assert ask(f"{site.admin}/api/pgqueue/queues/pause", {"queue": "billing"}, headers=foreign)[0] == 403
    assert ask(f"{site.admin}/pgqueue/queues", form, headers=foreign)[0] == 403
    # Without the token of a form not even this site's own pages.
    assert ask(f"{site.admin}/pgqueue/queues", form)[0] == 403
    assert site.db.fetch_value("select count(*) from pgqueue.queues where paused") == 0


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("jobs?state=dancing", 400, "22023"),
        ("jobs?sqlstate=x", 400, "22023"),
        ("jobs?since=yesterday", 400, "is not a time"),
        ("jobs?before=many", 400, "is not a number"),
        ("job/99999999999", 404, "is not known"),
        ("job/99999999999999999999999", 404, "is not known"),
    ],
)
def test_a_wrong_address_is_told_in_a_sentence_with_its_status(site: Site, path: str, status: int, said: str) -> None:
    for kind in ("pgqueue", "api/pgqueue"):
        answered, body = ask(f"{site.admin}/{kind}/{path}")
        assert (answered, said in body) == (status, True), body


def test_a_long_search_is_stopped_and_keeps_no_other_page_waiting(site: Site) -> None:
    with site.db.connect() as locking, locking.transaction():
        locking.execute("lock table pgqueue.history")
        status = ask(f"{site.admin}/healthcheck")[0]
        answered, body = ask(f"{site.admin}/api/pgqueue/jobs?state=succeeded")
    assert status == 200
    assert (answered, json.loads(body)["error"]["sqlstate"]) == (504, "57014")


def test_selected_jobs_are_retried_and_one_that_cannot_be_is_told(site: Site, page: Page) -> None:
    ids = [submit(site, "select 1 / 0", label="select me") for _ in range(2)]
    for id in ids:
        wait_for(site, id, "failed")
    page.goto(f"{site.admin}/pgqueue/jobs?label=select+me&state=failed")
    # With the keyboard.
    page.get_by_label("Select all jobs of this page").focus()
    page.keyboard.press("Space")
    site.db.execute("select pgqueue.retry(row(%s, null)::pgqueue.handle)", [ids[0]])
    page.get_by_role("button", name="Retry selected").focus()
    page.keyboard.press("Enter")

    expect(page.get_by_role("heading", level=1)).to_have_text("1 job retried")
    expect(page.locator(".pgq li")).to_contain_text(f"job {ids[0]} was retried as job")
    expect(page.locator(".pgq li")).to_contain_text("55000")


def test_dead_letters_are_listed_and_sent_back(site: Site, page: Page) -> None:
    letter = {
        "headers": {
            "id": "7e0c0ffe",
            "task": "app.mail",
            "x-death": [{"queue": "mail", "reason": "rejected", "count": 1}],
        },
        "properties": {},
    }
    site.db.execute(
        "insert into pgqueue.message (queue, kind, payload, submitter) values ('mail.dead', 'task', %s, 'alice'::regrole)",
        [json.dumps(letter)],
    )

    page.goto(f"{site.admin}/pgqueue/dead-letters?queue=mail.dead")
    row = page.locator("#pgq-letters tbody tr")
    expect(row).to_contain_text("app.mail")
    expect(row).to_contain_text("rejected")
    save_screenshot(page, "pages-dead-letters")
    page.get_by_role("button", name="Redrive mail.dead").click()
    page.get_by_role("button", name="Redrive", exact=True).click()

    expect(page.get_by_role("status")).to_have_text("1 sent back.")
    assert site.db.fetch_value("select ready from pgqueue.queues where queue = 'mail'") == 1


def test_schedules_are_listed_paused_and_run(site: Site, page: Page) -> None:
    site.alice.execute("select pgqueue.schedule('nightly', '0 3 * * *', 'select 1')")
    page.goto(f"{site.admin}/pgqueue/schedules")
    row = page.locator("#pgq-schedules tbody tr", has_text="nightly")
    expect(row).to_contain_text("0 3 * * *")
    save_screenshot(page, "pages-schedules")

    row.get_by_role("button", name="Run now").click()
    expect(page.get_by_role("status")).to_contain_text("Enqueued as")
    page.get_by_role("link", name="Schedules", exact=True).last.click()
    row.get_by_role("button", name="Pause").click()
    expect(page.get_by_role("status")).to_contain_text("It is paused")
    assert site.db.fetch_value("select enabled from pgqueue.schedules where name = 'nightly'") is False


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_pages_fit_a_phone_in_light_and_in_dark(site: Site, browser: Browser, scheme: str) -> None:
    with browser.new_context(viewport={"width": 375, "height": 760}, color_scheme=scheme) as context:  # type: ignore[arg-type]
        page = context.new_page()
        foreign: list[str] = []
        page.on(
            "request", lambda request: foreign.append(request.url) if not request.url.startswith(site.admin) else None
        )
        failed = submit(site, "select 1 / 0")
        wait_for(site, failed, "failed")
        for path in (*PATHS, f"job/{failed}"):
            answer = page.goto(f"{site.admin}/pgqueue/{path}")
            assert answer is not None
            assert answer.status == 200, path
            assert page.evaluate("document.documentElement.scrollWidth") <= 375, path
            color = page.evaluate("getComputedStyle(document.body).backgroundColor")
            bright = sum(map(int, re.findall(r"\d+", color)[:3])) > 380
            assert bright is (scheme == "light"), color
            save_screenshot(page, f"pages-375-{scheme}-{path.partition('/')[0]}")
        assert foreign == []
