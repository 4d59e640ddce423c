"""A worker under a service manager: what it sends to NOTIFY_SOCKET, received by a real socket."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.eventually import eventually
from tests.harness.jobs import launch
from tests.integration.test_worker_health import STUCK

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

WATCHDOG_MICROSECONDS = "400000"


class Manager:
    """The socket of a service manager."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(place))
        self.lines: list[str] = []

    def receive(self, seconds: float) -> list[str]:
        """Return the lines that come until none has come for so long."""
        before = len(self.lines)
        self._socket.settimeout(seconds)
        with contextlib.suppress(TimeoutError):
            while True:
                self.lines += self._socket.recv(4096).decode().splitlines()
        return self.lines[before:]

    def wait_for(self, line: str) -> None:
        """Wait until a line comes."""

        def has_come() -> bool:
            self._socket.settimeout(1)
            with contextlib.suppress(TimeoutError):
                self.lines += self._socket.recv(4096).decode().splitlines()
            return line in self.lines

        eventually(has_come, 60, what=f"{line} in {self.lines}")

    def forget(self) -> None:
        """Forget what has come."""
        self.lines.clear()

    def close(self) -> None:
        self._socket.close()

    @property
    def environment(self) -> dict[str, str]:
        return {"NOTIFY_SOCKET": str(self.place), "WATCHDOG_USEC": WATCHDOG_MICROSECONDS}


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    made = Manager(tmp_path / "notify")
    yield made
    made.close()


def test_a_worker_says_when_it_is_registered_that_it_lives_and_that_it_stops(db, alice, start_worker, manager) -> None:
    worker = start_worker(db, environment=manager.environment)

    manager.wait_for("READY=1")
    assert worker.is_registered()
    manager.wait_for("WATCHDOG=1")
    job = launch(alice, "select pg_sleep(3)")
    job.wait_until("running")
    manager.forget()
    worker.terminate()

    manager.wait_for("STOPPING=1")
    manager.forget()
    # A worker that finishes its jobs lives, however long they take.
    manager.wait_for("WATCHDOG=1")
    assert job.end()["state"] == "succeeded"
    assert "READY=1" not in manager.lines


def test_a_worker_whose_event_loop_is_stuck_gives_no_sign_of_life(db, start_worker, manager, tmp_path) -> None:
    module = STUCK.replace("BLOCK_AFTER", "3").replace("BLOCK_FOR", "12")
    module += "\nimport pgqueue.local.service_watch\n\npgqueue.local.service_watch.STUCK_SECONDS = 2.0\n"
    (tmp_path / "shop.py").write_text(module)
    start_worker(
        db,
        arguments=["--concurrency=1", "-A", "shop"],
        environment={"PYTHONPATH": f"{tmp_path}{os.pathsep}{Path.cwd()}", **manager.environment},
        preloaded=False,
    )

    manager.wait_for("WATCHDOG=1")
    # Signs come every 200 ms; the loop stands for 12 s, of which it counts as stuck for 10 s.
    manager.receive(5)
    manager.forget()

    # It moves again.
    manager.wait_for("WATCHDOG=1")


def test_a_worker_that_waits_for_its_database_lives_and_is_not_ready(db, start_worker, manager) -> None:
    host = {"PGQUEUE_DSN": "host=127.0.0.1 port=1 dbname=none user=none connect_timeout=1"}
    start_worker(db, environment={**host, **manager.environment}, wait=False)

    manager.wait_for("WATCHDOG=1")
    manager.lines.remove("WATCHDOG=1")
    manager.wait_for("WATCHDOG=1")
    assert "READY=1" not in manager.lines
