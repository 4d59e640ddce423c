"""What is inside a message takes a worker neither its memory nor its room."""

from __future__ import annotations

import json
import uuid
import zlib
from base64 import b64encode
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from celery.backends.base import COMPRESSED_PAYLOAD_MAGIC

from pgqueue.decompression import DecompressedTooLarge
from pgqueue.results.backend import PgQueueBackend
from tests.harness import eventually
from tests.harness.celery_app import TRACES, make_app
from tests.harness.people import fetch_value

MEGABYTE = 1024 * 1024
FAR = "2099-01-01T00:00:00"


def publish(session: Any, payload: dict[str, Any], queue: str = "celery") -> None:
    session.execute(
        "insert into pgqueue.outbox (kind, queue, payload) values ('task', %s, %s)", [queue, json.dumps(payload)]
    )


def to_payload(body: object, headers: dict[str, Any], **properties: Any) -> dict[str, Any]:
    return {
        "body": body,
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": headers,
        "properties": {"delivery_mode": 2, "priority": 0, "delivery_info": {}, **properties},
    }


def second_protocol(label: str, **headers: Any) -> dict[str, Any]:
    body = json.dumps([[label], {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}])
    return to_payload(body, {"task": "leave_trace", "id": str(uuid.uuid4()), **headers})


def first_protocol(label: str, **fields: Any) -> dict[str, Any]:
    return to_payload(
        json.dumps({"task": "leave_trace", "id": str(uuid.uuid4()), "args": [label], "kwargs": {}, **fields}), {}
    )


def both_protocols(label: str, **fields: Any) -> dict[str, Any]:
    message = first_protocol(label, **fields)
    return {**message, "headers": {"task": "leave_trace", "id": str(uuid.uuid4())}}


def highest_memory(pid: int) -> int:
    [line] = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


def labels(db: Any) -> list[str]:
    return [label for (label,) in db.execute("select label from trace order by at")]


@pytest.fixture
def start_celery(db, start_worker):
    db.execute(f"{TRACES}; grant all on trace to public")

    def start(*arguments):
        return start_worker(
            db, command="celery", app="tests.harness.celery_app", role="wrk", arguments=["-l", "info", *arguments]
        )

    db.create_role("wrk", enrolled=False)
    db.execute("grant pgqueue_worker to wrk")
    return start


@pytest.mark.slow
def test_a_body_that_decompresses_to_gigabytes_is_refused_and_costs_the_worker_nothing(db, bob, owner, start_celery):
    bob.execute("select pgqueue._declare_queue('celery', true, false, false, '{\"x-dead-letter-exchange\": \"\"}')")
    worker = start_celery("--concurrency=1")
    before = highest_memory(worker.pid)
    # After a full flush the next block refers to nothing before it, so it can be repeated instead of compressed again.
    bomb = zlib.compressobj(9)
    first, again = (bomb.compress(b" " * MEGABYTE) + bomb.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    body = first + 2047 * again
    assert len(body) < 3 * MEGABYTE

    headers = {"task": "leave_trace", "id": str(uuid.uuid4()), "compression": "application/x-gzip"}
    for _ in range(3):
        publish(bob, to_payload(b64encode(body).decode(), headers, body_encoding="base64"))
    publish(bob, second_protocol("after"))
    eventually(lambda: labels(db) == ["after"], 60, what="the worker lives on")

    assert highest_memory(worker.pid) < before + 300 * MEGABYTE
    assert worker.read_log().count("it is larger than 67108864 bytes when it is decompressed") == 3
    assert fetch_value(owner, "select count(*) from pgqueue.message where queue = 'celery'") == 0
    assert worker.read_log().count("Connection to broker lost") == 0


@pytest.mark.slow
@pytest.mark.parametrize("protocol", [second_protocol, first_protocol])
def test_a_task_with_the_id_of_a_job_does_not_run(db, alice, bob, start_celery, protocol):
    job_id = fetch_value(alice, "select (h).id from pgqueue.submit('select 1', delay => '1 h') h")
    worker = start_celery("--concurrency=1")
    forged = protocol("forged", **({"id": f"job-{job_id}"} if protocol is first_protocol else {}))
    if protocol is second_protocol:
        forged["headers"]["id"] = f"job-{job_id}"

    publish(bob, forged)
    publish(bob, second_protocol("after"))

    eventually(lambda: labels(db) == ["after"], 60, what="the next task runs")
    assert "it has the id of an SQL job" in worker.read_log()


def test_a_stored_result_that_decompresses_to_gigabytes_is_refused(db):
    app = make_app(db.dsn)
    app.conf.result_backend_transport_options = {"max_decompressed_size": MEGABYTE}
    backend = PgQueueBackend(app, url=db.dsn)
    meta = b'{"status": "SUCCESS", "result": "' + b"x" * 20 * MEGABYTE + b'"}'
    payload = COMPRESSED_PAYLOAD_MAGIC + b"application/x-gzip\0" + zlib.compress(meta)
    backend.fetch(
        *("store_task_result",),
        task_id="1",
        state="SUCCESS",
        content_type="json",
        payload=payload,
        lifetime_seconds=None,
    )

    with pytest.raises(DecompressedTooLarge):
        app.AsyncResult("1", backend=backend).get(timeout=5)
    backend.database.close()


@pytest.mark.slow
@pytest.mark.parametrize("protocol", [second_protocol, first_protocol, both_protocols])
@pytest.mark.parametrize("offset", ["+00:00", ""])
def test_an_eta_inside_a_message_makes_no_worker_hold_more_than_its_prefetch_count(
    db, bob, owner, start_celery, protocol, offset
):
    worker = start_celery("--concurrency=2", "--prefetch-multiplier=1")
    for n in range(300):
        publish(bob, protocol(f"far {n}", eta=FAR + offset))
    soon = (datetime.now(timezone.utc) + timedelta(seconds=2)).replace(tzinfo=None).isoformat() + offset
    publish(bob, protocol("soon", eta=soon))
    publish(bob, protocol("past", eta="2020-01-01T00:00:00" + offset))
    publish(bob, protocol("nonsense", eta="tomorrow"))
    publish(bob, protocol("now"))

    states = "select state::text, count(*) from pgqueue.message where queue = 'celery' group by 1"
    most = 0

    def all_but_far_have_run() -> bool:
        nonlocal most
        most = max(most, dict(owner.execute(states).fetchall()).get("claimed", 0))
        return sorted(labels(db)) == ["now", "past", "soon"]

    eventually(all_but_far_have_run, 60, what="those that are due run")
    eventually(lambda: owner.execute(states).fetchall() == [("delayed", 300)], what="the others wait in the queue")
    # Two run and two more are read ahead, maybe.
    assert most <= 20
    assert fetch_value(owner, "select max(deliveries) from pgqueue.message") == 0
    assert worker.exit_code is None
