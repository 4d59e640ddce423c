"""Orders over HTTP: one commit for the row, the job and the task; progress as server-sent events."""

import json
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import httpx
import psycopg

#: The sessions of the service: its client's, that of the waits, and those of SQLAlchemy's pool. Celery declares queues
#: on one more, in the name of the connection that it was given.
SESSIONS = "select pid from pg_stat_activity where application_name in ('pgqueue client', 'pgqueue waits', 'orders')"


def eventually(condition: Callable[[], Any], seconds: float = 30) -> Any:
    deadline = time.monotonic() + seconds
    while not (answer := condition()):
        assert time.monotonic() < deadline, f"still {answer!r}"
        time.sleep(0.05)
    return answer


def place(service: httpx.Client, items: int) -> dict[str, Any]:
    placed = service.post("/orders", json={"reference": str(uuid.uuid4()), "items": items})
    assert placed.status_code == 201, placed.text
    return placed.json()


def read_events(response: httpx.Response) -> Iterator[dict[str, Any]]:
    for line in response.iter_lines():
        if line.startswith("data:"):
            yield json.loads(line.removeprefix("data:"))


def fetch_value(database: psycopg.Connection, query: str, *params: object) -> Any:
    row = database.execute(query, params).fetchone()
    return row and row[0]


def test_an_order_is_packed_and_its_receipt_sent(service: httpx.Client, database: psycopg.Connection) -> None:
    order = place(service, 3)

    eventually(lambda: fetch_value(database, "select packed from orders where id = %s", order["id"]) == 3)
    eventually(lambda: fetch_value(database, "select receipt_sent_at from orders where id = %s", order["id"]))
    assert fetch_value(database, "select job_id from orders where id = %s", order["id"]) == order["job_id"]


def test_a_commit_that_fails_leaves_no_row_no_job_and_no_task(
    service: httpx.Client, database: psycopg.Connection
) -> None:
    reference = str(uuid.uuid4())
    assert service.post("/orders", json={"reference": reference, "items": 1}).status_code == 201
    eventually(lambda: fetch_value(database, "select receipt_sent_at from orders where reference = %s", reference))
    jobs = fetch_value(database, "select max(id) from pgqueue.jobs where label = 'pack'")

    refused = service.post("/orders", json={"reference": reference, "items": 1})

    assert (refused.status_code, refused.json()["detail"]) == (409, "there is an order with this reference")
    assert fetch_value(database, "select count(*) from orders where reference = %s", reference) == 1
    assert fetch_value(database, "select max(id) from pgqueue.jobs where label = 'pack'") == jobs
    assert fetch_value(database, "select count(*) from pgqueue.tasks where name = 'orders.send_receipt'") == 0


def test_progress_is_streamed_until_the_job_has_ended(service: httpx.Client) -> None:
    order = place(service, 10)

    with service.stream("GET", f"/orders/{order['id']}/progress") as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        events = list(read_events(response))

    percents = [event["percent"] for event in events if event["percent"] is not None]
    assert percents == sorted(percents)
    assert len(set(percents)) >= 3, "it was streamed while the job ran"
    assert events[-1]["state"] == "succeeded"


def test_a_failed_job_ends_the_stream(service: httpx.Client, database: psycopg.Connection) -> None:
    order = place(service, 100)
    database.execute("select pgqueue.cancel(%s)", [order["job_id"]])

    with service.stream("GET", f"/orders/{order['id']}/progress") as response:
        assert list(read_events(response))[-1]["state"] == "canceled"


def test_an_order_that_is_not_there_has_no_progress(service: httpx.Client) -> None:
    assert service.get("/orders/0/progress").status_code == 404


def test_browsers_that_go_away_leave_no_session_and_do_not_stop_the_job(
    serve: Callable[[], AbstractContextManager[httpx.Client]], database: psycopg.Connection
) -> None:
    def find_sessions() -> set[int]:
        return {pid for (pid,) in database.execute(SESSIONS).fetchall()}

    others = find_sessions()
    with serve() as service:
        order = place(service, 60)
        with service.stream("GET", f"/orders/{order['id']}/progress") as response:
            events = read_events(response)
            # After the second one the session of the waits is open, too.
            next(events), next(events)
            of_one_stream = find_sessions()
        for _ in range(20):
            with service.stream("GET", f"/orders/{order['id']}/progress") as response:
                next(read_events(response))
                # The end of the block closes the connection in the middle of the stream.
        eventually(lambda: find_sessions() <= of_one_stream)
        eventually(lambda: database.execute(f"{SESSIONS} and state <> 'idle'").fetchall() == [])
        assert service.get("/orders/0/progress").status_code == 404, "it still answers"
        eventually(lambda: fetch_value(database, "select packed from orders where id = %s", order["id"]) == 60)

    eventually(lambda: find_sessions() <= others)
