"""The log of a worker as JSON: every line is an object, and says of which job or task it is."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pgqueue.worker.json_log import FIELDS, JsonFormatter
from tests.harness import Database, eventually
from tests.harness.worker import Worker

pytestmark = pytest.mark.timeout(120)

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TASKS = """
import logging
from celery import Celery, shared_task
app = Celery("shop")

@app.task(name="shop.speak")
def speak(word):
    logging.getLogger("shop").warning("said %s", word)
    print(f"printed {word}")
    raise ValueError(word)
"""


def test_a_record_is_one_object_with_its_exception_and_its_job() -> None:
    try:
        raise ValueError("two\nlines")
    except ValueError:
        record = logging.LogRecord("shop", logging.ERROR, "shop.py", 1, "bad %s", ("\n\u2028é",), sys.exc_info())
    setattr(record, FIELDS, {"job": 7, "queue": "mail"})

    text = JsonFormatter().format(record)

    line = json.loads(text)
    assert len(text.splitlines()) == 1
    assert (line["level"], line["message"], line["logger"]) == ("ERROR", "bad \n\u2028é", "shop")
    assert (line["job"], line["queue"]) == (7, "mail")
    assert line["time"].endswith("+00:00")
    assert line["exception"].startswith("Traceback")
    assert line["exception"].endswith("ValueError: two\nlines")


@pytest.mark.slow
def test_each_line_of_a_worker_is_json_and_names_its_job(
    db: Database, tmp_path: Path, start_worker: Callable[..., Worker]
) -> None:
    (tmp_path / "shop.py").write_text(TASKS)
    db.create_role("alice")
    alice = db.connect("alice")
    worker = start_worker(
        db,
        arguments=["-A", "shop", "--concurrency=1", "--log-format=json", "--loglevel=DEBUG"],
        environment={"PYTHONPATH": str(tmp_path)},
        preloaded=False,
    )
    options = f"max_attempts => 1, label => 'night', traceparent => '{TRACE}'"
    for way_in in ("launch", "submit"):
        alice.execute(f"select pgqueue.{way_in}('select 1/0', {options})")
    alice.execute("select pgqueue.submit('select pg_sleep(0.8)', label => 'long')")
    alice.execute(
        "select pgqueue.send_task('shop.speak', '[\"x\"]', headers => %s)", [json.dumps({"traceparent": TRACE})]
    )

    def lines() -> list[dict[str, object]]:
        return [json.loads(line) for line in worker.read_log().splitlines()]

    def find(part: str) -> list[dict[str, object]]:
        return [line for line in lines() if part in str(line["message"])]

    eventually(lambda: len(find("division by zero")) >= 2 and find("(long) succeeded") and find("ValueError"), 60)
    worker.terminate()
    assert worker.wait() == 0
    assert {"time", "level", "message", "logger"} <= set.intersection(*(set(line) for line in lines()))
    trace_id = TRACE[3:35]
    for line in find("division by zero"):
        assert (line["queue"], line["role"], line["attempt"], line["label"]) == ("default", "alice", 1, "night")
        assert line["trace_id"] == trace_id
        assert isinstance(line["job"], int)
    (long,) = find("(long) succeeded")
    assert (long["queue"], long["role"], long["attempt"]) == ("default", "alice", 1)
    for part in ("said x", "printed x"):
        (line,) = find(part)
        assert (line["task"], line["queue"], line["attempt"], line["trace_id"]) == ("shop.speak", "celery", 1, trace_id)
        assert line["task_id"]
    (raised,) = [line for line in lines() if "exception" in line]
    assert "ValueError: x" in str(raised["exception"])


def test_an_unknown_format_is_refused_at_once() -> None:
    for command in ("worker", "exporter", "up"):
        ended = subprocess.run(
            [sys.executable, "-m", "pgqueue", command, "--log-format=xml"], capture_output=True, text=True, check=False
        )

        assert ended.returncode == 2
        assert "'xml' is not one of 'text', 'json'" in ended.stderr
