"""`pgqueue worker --http`: its probes and metrics, asked of real workers."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.error import URLError

import psutil
import pytest

from tests.harness.eventually import eventually
from tests.harness.ports import free_port
from tests.harness.scrape import Scrape, fetch, probe

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

#: An application whose worker counts as stuck after 2 s, and whose event loop can be stopped by a task.
STUCK = """
import threading, time

from celery import Celery, bootsteps

import pgqueue.worker.health
from pgqueue.worker import health

health.STUCK_SECONDS = 2.0
app = Celery()

@app.steps["consumer"].add
class Blocks(bootsteps.StartStopStep):
    requires = ("celery.worker.consumer.tasks:Tasks",)

    def start(self, consumer):
        if not consumer.restart_count > 1:
            consumer.hub.call_later(BLOCK_AFTER, time.sleep, BLOCK_FOR)

@app.task
def nap(seconds):
    time.sleep(seconds)
"""


@pytest.fixture
def start(db, start_worker, tmp_path):
    """Start a worker with probes; return it and its port."""

    def start_with_probes(*arguments: str, on=None, module: str = "", wait: bool = True, **options):
        port = free_port()
        more = []
        if module:
            (tmp_path / "shop.py").write_text(module)
            more = ["-A", "shop"]
            options = {
                **options,
                "environment": {"PYTHONPATH": f"{tmp_path}{os.pathsep}{Path.cwd()}"},
                "preloaded": False,
            }
        worker = start_worker(
            on or db,
            arguments=["--concurrency=1", f"--http=127.0.0.1:{port}", *more, *arguments],
            wait=wait,
            **options,
        )
        return worker, port

    return start_with_probes


@pytest.mark.parametrize("pool", ["prefork", "threads", "solo"])
def test_a_worker_is_healthy_and_ready_and_closes_its_port_at_a_sigterm(db, start, alice, pool):
    worker, port = start("--pool", pool)

    assert probe(port, "/healthz") == (200, "the event loop moves")
    eventually(lambda: probe(port, "/readyz") == (200, "registered"))
    alice.execute("select pgqueue.enqueue('select ' || n) from generate_series(1, 5) n")
    eventually(lambda: Scrape.of(port)["pgqueue_worker_processed_total"] == 5)
    told = Scrape.of(port)
    assert told["pgqueue_worker_executors"] == 1
    assert told["pgqueue_worker_registered"] == told["pgqueue_worker_healthy"] == 1
    assert told["process_resident_memory_bytes"] > 1_000_000

    worker.terminate()
    assert worker.wait() == 0
    with pytest.raises(URLError):
        fetch(port, "/healthz")


def test_it_listens_where_it_was_told_and_nowhere_else(start):
    worker, port = start()

    listening = {c.laddr[:2] for c in psutil.Process(worker.pid).net_connections() if c.status == psutil.CONN_LISTEN}

    assert listening == {("127.0.0.1", port)}


def test_processes_of_the_pool_do_not_keep_the_port(start):
    worker, port = start("--concurrency=2")
    children = psutil.Process(worker.pid).children(recursive=True)
    assert children

    for child in children:
        with contextlib.suppress(psutil.AccessDenied):
            assert [c for c in child.net_connections() if c.status == psutil.CONN_LISTEN] == []
    worker.kill()

    # The children may live for a moment longer.
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", port))
        other.listen()


def test_an_idle_worker_stays_healthy_with_a_small_threshold(db, start, alice):
    db.execute(f"alter database {db.name} set pgqueue.naptime = '1 hour'")
    module = STUCK.replace("health.STUCK_SECONDS = 2.0", "health.STUCK_SECONDS = 7.0")
    _worker, port = start(module=module.replace("BLOCK_AFTER", "3600").replace("BLOCK_FOR", "0"))

    worst = 0.0
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        assert probe(port, "/healthz")[0] == 200
        worst = max(worst, Scrape.of(port)["pgqueue_worker_event_loop_overdue_seconds"])
        time.sleep(0.2)

    assert worst < 7


def test_an_event_loop_that_is_blocked_makes_the_worker_unhealthy_until_it_moves(start):
    module = STUCK.replace("BLOCK_AFTER", "4").replace("BLOCK_FOR", "12")
    _worker, port = start(module=module)
    assert probe(port, "/healthz")[0] == 200

    said = eventually(lambda: (found := probe(port, "/healthz"))[0] == 503 and found, what="it is found stuck")
    assert "the event loop has not moved for" in said[1]
    assert Scrape.of(port)["pgqueue_worker_healthy"] == 0

    eventually(lambda: probe(port, "/healthz")[0] == 200, what="it moves again")


def test_a_long_task_of_a_solo_pool_is_no_blocked_event_loop(db, start, alice):
    module = STUCK.replace("BLOCK_AFTER", "3600").replace("BLOCK_FOR", "0")
    _worker, port = start("--pool=solo", module=module)
    alice.execute("select pgqueue.send_task('shop.nap', args => '[5]')")
    eventually(lambda: Scrape.of(port)["pgqueue_worker_tasks_active"] == 1)

    while Scrape.of(port)["pgqueue_worker_tasks_active"]:
        assert probe(port, "/healthz")[0] == 200
        time.sleep(0.1)


def test_without_its_database_a_worker_is_healthy_and_not_ready(own_server_db, start):
    module = STUCK.replace("BLOCK_AFTER", "3600").replace("BLOCK_FOR", "0")
    _worker, port = start(on=own_server_db, module=module)
    eventually(lambda: probe(port, "/readyz")[0] == 200)

    own_server_db.server.embedded.stop()
    eventually(lambda: probe(port, "/readyz")[0] == 503)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        # Celery sleeps between its attempts to connect, for longer than the threshold of this test.
        assert probe(port, "/healthz")[0] == 200
        assert probe(port, "/readyz")[0] == 503
        time.sleep(0.2)
    assert Scrape.of(port)["pgqueue_worker_registered"] == 0

    own_server_db.server.embedded.start()
    eventually(lambda: probe(port, "/readyz")[0] == 200, what="it is ready again")
    assert probe(port, "/healthz")[0] == 200


def test_a_worker_that_the_database_has_given_up_is_not_ready(db, start):
    worker, port = start()
    eventually(lambda: probe(port, "/readyz")[0] == 200)

    db.execute("update pgqueue.worker set lost_at = now() where name = %s", [worker.name])
    assert probe(port, "/readyz") == (503, "the database has given this worker up")

    # It registers again at its next heartbeat.
    eventually(lambda: probe(port, "/readyz")[0] == 200)


def test_a_schema_of_another_version_is_not_right(db, start):
    _worker, port = start()
    eventually(lambda: probe(port, "/readyz")[0] == 200)

    newest = "update pgqueue.function_file set applied_by = '99.0' where name = (select min(name) from pgqueue.function_file)"
    db.execute(newest)

    status, reason = probe(port, "/readyz")
    assert status == 503
    assert "99" in reason or "newer" in reason


def test_probes_ask_only_one_connection_and_healthz_none(db, start):
    worker, port = start()
    own = "select count(*) from pg_stat_activity where application_name = 'pgqueue health' and datname = current_database()"
    for _ in range(20):
        assert probe(port, "/healthz")[0] == 200
    Scrape.of(port)
    assert db.fetch_value(own) == 0

    with ThreadPoolExecutor(16) as threads:
        found = list(threads.map(lambda _: probe(port, "/readyz")[0], range(48)))

    assert found == [200] * 48
    assert db.fetch_value(own) == 1
    worker.terminate()
    assert worker.wait() == 0


def test_a_client_that_says_nothing_keeps_no_probe_waiting(start):
    _worker, port = start()
    with contextlib.ExitStack() as silent:
        for _ in range(10):
            silent.enter_context(socket.create_connection(("127.0.0.1", port)))

        began = time.monotonic()
        assert probe(port, "/healthz")[0] == 200

    assert time.monotonic() - began < 2


def test_during_a_warm_shutdown_it_is_alive_and_not_ready(db, start, alice):
    worker, port = start()
    alice.execute("select pgqueue.enqueue('select pg_sleep(6)')")
    eventually(lambda: Scrape.of(port)["pgqueue_worker_executors_busy"] == 1)

    worker.terminate()

    eventually(lambda: probe(port, "/readyz") == (503, "the worker stops"))
    assert probe(port, "/healthz")[0] == 200
    assert worker.wait() == 0


def test_a_port_in_use_is_told_at_the_start(db, start):
    worker, port = start()
    other, _ = start(f"--http=127.0.0.1:{port}", wait=False)

    assert other.wait() == 1
    assert f"pgqueue: error: cannot listen on 127.0.0.1:{port}: address already in use" in other.read_log()
    assert worker.exit_code is None


@pytest.mark.parametrize("address", ["8080", "localhost:http", ":8080", "1.2.3.4:99999"])
def test_an_address_that_is_none_is_refused(start, address):
    worker, _ = start(f"--http={address}", wait=False)

    assert worker.wait() == 2
    assert f'"{address}" is not HOST:PORT' in worker.read_log()


def test_a_worker_that_detaches_serves_no_probes(start):
    worker, _ = start("--detach", wait=False)

    assert worker.wait() == 2
    assert "--http does not go with --detach" in worker.read_log()
