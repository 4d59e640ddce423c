"""`pgqueue exporter`: what it tells, what it does not tell, and a server that goes away and comes back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.error import URLError

import pytest

from pgqueue.worker.metrics import exporter as exporter_module
from pgqueue.worker.metrics.exporter import Exporter
from pgqueue.worker.metrics.http_server import Address
from tests.harness.claimant import Claimant
from tests.harness.eventually import eventually
from tests.harness.ports import free_port
from tests.harness.scrape import Scrape, exporter_arguments, fetch

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


def scraper(db) -> str:
    """Make the role of an exporter, as the documentation says; return how it logs in."""
    db.create_role("scraper", enrolled=False)
    db.server.admin.execute("grant pgqueue_monitor, pg_monitor to scraper")
    return db.dsn_for("scraper")


@pytest.fixture
def start_exporter() -> Iterator[Callable[..., tuple[subprocess.Popen[str], int]]]:
    """Run the command until it answers; it ends with the test."""
    started = []

    def start(dsn: str, *more: str) -> tuple[subprocess.Popen[str], int]:
        port = free_port()
        process = subprocess.Popen(
            [sys.executable, *exporter_arguments(dsn, port, *more)], stderr=subprocess.PIPE, text=True
        )
        started.append(process)
        eventually(lambda: answers(process, port), what="the exporter answers")
        return process, port

    yield start
    for process in started:
        process.kill()
        process.communicate()


def answers(process: subprocess.Popen[str], port: int) -> bool:
    assert process.poll() is None, process.communicate()
    try:
        return fetch(port, "/healthz")[0] == 200
    except OSError:
        return False


def test_it_tells_what_the_database_knows_and_ends_at_a_sigterm(db, alice, worker, start_exporter):
    for statement in ("select 1", "select 2", "select 1 / 0"):
        alice.execute("select pgqueue.enqueue(%s)", [statement])
    worker.run_all()
    worker.tick()
    worker.set_queues("default", "celery@w1.celery.pidbox")
    alice.execute("select pgqueue.enqueue('select 1')")
    alice.execute("select pgqueue.enqueue('select 1', delay => '1 hour')")
    alice.execute("select pgqueue.send_task('shop.place', queue => 'mail.dead') from generate_series(1, 3)")
    process, port = start_exporter(scraper(db))

    told = Scrape.of(port)

    assert told["pgqueue_up"] == 1
    assert told.value("pgqueue_messages", queue="default", kind="job", state="ready") == 1
    assert told.value("pgqueue_messages", queue="default", kind="job", state="delayed") == 1
    assert told.value("pgqueue_messages", queue="default", kind="task", state="ready") == 0
    assert told.value("pgqueue_messages_estimated", queue="default") == 0
    assert told.value("pgqueue_jobs_ended_total", queue="default", state="succeeded") == 2
    assert told.value("pgqueue_jobs_ended_total", queue="default", state="failed") == 1
    # A queue of which no job has ended has its zeros.
    assert told.value("pgqueue_jobs_ended_total", queue="mail.dead", state="failed") == 0
    assert told.value("pgqueue_job_run_seconds_count", queue="default") == 3
    assert told.value("pgqueue_job_wait_seconds_bucket", queue="default", le="+Inf") == 3
    assert told.value("pgqueue_job_wait_seconds_bucket", queue="default", le="3600") == 3
    assert told.value("pgqueue_dead_letters", queue="mail.dead") == 3
    assert told.value("pgqueue_workers", status="online") == 1
    assert told.value("pgqueue_queue_consumers", queue="default") == 1
    assert 0 < told.value("pgqueue_oldest_ready_age_seconds", queue="default", kind="job") < 60
    assert told.label_values("queue") == {"default", "mail.dead"}
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0


def test_a_drained_queue_is_zero_and_not_gone(db, alice, worker, start_exporter):
    alice.execute("select pgqueue.enqueue('select 1', queue => 'mail')")
    _process, port = start_exporter(scraper(db))
    assert Scrape.of(port).value("pgqueue_messages", queue="mail", kind="job", state="ready") == 1

    worker.run_all("mail")

    eventually(lambda: Scrape.of(port).value("pgqueue_messages", queue="mail", kind="job", state="ready") == 0)
    assert Scrape.of(port).value("pgqueue_oldest_ready_age_seconds", queue="mail", kind="job") == 0


def test_a_killed_worker_is_lost_and_consumes_nothing(db, alice, start_exporter):
    last = Claimant(db, "last")
    last.set_queues("default")
    last.kill(noticed=False)
    alice.execute("select pgqueue.enqueue('select 1')")
    _process, port = start_exporter(scraper(db))

    told = Scrape.of(port)

    assert told.value("pgqueue_workers", status="lost") == 1
    assert told.value("pgqueue_queue_consumers", queue="default") == 0


def test_no_label_has_a_users_text_but_names_of_queues(db, alice, worker):
    secret = "hunter2"
    alice.execute("select pgqueue.enqueue(%s, label => %s)", [f"select '{secret}'", secret])
    alice.execute(
        "select pgqueue.send_task(%s, args => to_jsonb(array[%s]), queue => 'default')", [f"task.{secret}", secret]
    )
    alice.execute("select pgqueue.schedule(%s, '1 hour', 'select 1', label => %s)", [secret, secret])
    worker.run_next()
    worker.tick()

    text = Exporter(db.dsn).metrics().body.decode()

    assert secret not in text
    assert "alice" not in text
    told = Scrape(text)
    assert {label for name in told.names for label in told.labels(name)} == {
        *("queue", "kind", "state", "le", "status", "version"),
    }


def test_queues_beyond_the_bound_are_one_label_and_their_numbers_are_added_up(db, alice):
    for n in range(12):
        alice.execute("select pgqueue.enqueue('select 1', queue => %s)", [f"tenant {n}"])
    exporter = Exporter(db.dsn, most_queues=5)

    told = Scrape(exporter.metrics().body.decode())

    assert len(told.label_values("queue")) == 6
    assert told.value("pgqueue_messages", queue="(other)", kind="job", state="ready") == 7
    assert told["pgqueue_queues_left_out"] == 7


def test_a_name_with_any_character_is_a_label(db, alice):
    name = 'a"b\\c\nd, é {x="y"}'
    alice.execute("select pgqueue.enqueue('select 1', queue => %s)", [name])

    assert name in Scrape(Exporter(db.dsn).metrics().body.decode()).label_values("queue")


def test_scrapes_at_the_same_time_get_whole_answers_and_cost_one(db, start_exporter):
    dsn = scraper(db)
    _process, port = start_exporter(dsn)

    with ThreadPoolExecutor(16) as threads:
        scrapes = list(threads.map(lambda _: Scrape.of(port), range(64)))

    assert all(told["pgqueue_up"] == 1 for told in scrapes)
    connections = "select count(*) from pg_stat_activity where application_name = 'pgqueue exporter' and datname = current_database()"
    assert db.fetch_value(connections) == 1


def test_a_server_that_goes_away_and_comes_back(own_server_db, start_exporter):
    db = own_server_db
    _process, port = start_exporter(scraper(db))
    assert Scrape.of(port)["pgqueue_up"] == 1

    db.server.embedded.stop()
    eventually(lambda: Scrape.of(port)["pgqueue_up"] == 0, what="the exporter says that the server is away")
    # What it cannot know, it does not tell.
    assert "pgqueue_messages" not in Scrape.of(port).names
    assert fetch(port, "/healthz")[0] == 200

    db.server.embedded.start()
    eventually(lambda: Scrape.of(port)["pgqueue_up"] == 1, what="the exporter reads the server again")


def test_it_starts_before_the_server(own_server_db, start_exporter):
    dsn = scraper(own_server_db)
    own_server_db.server.embedded.stop()
    _process, port = start_exporter(dsn)
    assert Scrape.of(port)["pgqueue_up"] == 0

    own_server_db.server.embedded.start()

    eventually(lambda: Scrape.of(port)["pgqueue_up"] == 1)


def test_a_slow_number_of_messages_leaves_the_others(db, monkeypatch):
    monkeypatch.setattr(exporter_module, "_STATEMENT_SECONDS", 0.05)
    exporter = Exporter(db.dsn)
    with db.connect(autocommit=False) as holder:
        holder.execute("lock table pgqueue.message in access exclusive mode")
        told = Scrape(exporter.metrics().body.decode())

    assert told["pgqueue_up"] == 0
    assert "pgqueue_messages" not in told.names
    assert "pgqueue_jobs_ended" in {family.name for family in told.families}
    time.sleep(1.1)  # so long an answer is given again
    assert Scrape(exporter.metrics().body.decode())["pgqueue_up"] == 1


def refusal(*arguments: str) -> tuple[int, str]:
    ended = subprocess.run(
        [sys.executable, "-m", "pgqueue", "exporter", *arguments],
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return ended.returncode, ended.stderr


@pytest.mark.parametrize("address", ["9187", "localhost", "localhost:0", "localhost:70000", "http://localhost:9187"])
def test_an_address_that_is_none_is_refused(address):
    code, said = refusal(f"--listen={address}", "--dsn=host=127.0.0.1 port=1")

    assert code == 2
    assert f'"{address}" is not HOST:PORT: expected for example 127.0.0.1:9187' in said


def test_a_port_in_use_is_told_at_the_start(db, start_exporter):
    _process, port = start_exporter(scraper(db))

    code, said = refusal(f"--listen=127.0.0.1:{port}", f"--dsn={db.dsn}")

    assert code == 1
    assert f"cannot listen on 127.0.0.1:{port}: address already in use\nhint: Give an address" in said


def test_a_role_without_rights_is_told_what_it_needs(db):
    db.create_role("walter", enrolled=False)

    code, said = refusal("--listen=127.0.0.1:1", f"--dsn={db.dsn_for('walter')}")

    assert code == 1
    assert "hint: Let an administrator run: grant pgqueue_monitor, pg_monitor to walter" in said


def test_a_database_without_pgqueue_is_told_at_the_start(empty_db):
    code, said = refusal("--listen=127.0.0.1:1", f"--dsn={empty_db.dsn}")

    assert code == 1
    assert said.startswith("pgqueue: error: pgqueue is not installed in this database\n")


def test_a_role_that_does_not_see_the_snapshots_of_others_is_warned(db):
    db.create_role("walter", enrolled=False)
    db.execute("grant pgqueue_monitor to walter")

    assert "grant pg_monitor" in (Exporter(db.dsn_for("walter")).check() or "")


def test_an_unknown_path_is_not_found_and_nothing_can_be_posted(db):
    port = free_port()
    server = Exporter(db.dsn).serve(Address("127.0.0.1", port))
    try:
        assert fetch(port, "/")[0] == 404
        assert fetch(port, "/metrics", method="HEAD") == (200, "")
        assert fetch(port, "/metrics", method="POST")[0] == 501
    finally:
        server.close()
    with pytest.raises(URLError):
        fetch(port, "/metrics")
