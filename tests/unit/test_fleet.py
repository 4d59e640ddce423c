"""What a host makes of a wish: arguments of a closed list, refusals, and delays before a restart."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pgqueue.local.fleet.backoff import Backoff
from pgqueue.local.fleet.wish import Launch, Wish
from pgqueue.local.service_notifier import ServiceNotifier

WISH = Wish("reports", 2, ("a", "b c"), 4, 0, 1.0, 1)
LAUNCH = Launch("db1", 6)


def test_a_wish_becomes_options_each_in_one_argument() -> None:
    assert LAUNCH.arguments(WISH, 2) == [
        "worker", "--hostname=reports-2@db1", "--loglevel=INFO", "--executors=4", "--queues=a,b c", "--no-tasks",
        "--pool=solo",
    ]  # fmt: skip


def test_a_fleet_that_names_nothing_takes_from_the_usual_queues_with_an_executor_for_each_processor() -> None:
    wish = dataclasses.replace(WISH, queues=(), executors=None, concurrency=3)

    assert Launch("db1", 6, "shop", ("mail",)).arguments(wish, 1)[3:] == [
        "--executors=6", "--concurrency=3", "--app=shop", "--include=mail",
    ]  # fmt: skip


def test_a_fleet_with_tasks_is_refused_by_a_host_that_knows_none() -> None:
    wish = dataclasses.replace(WISH, concurrency=1)

    assert "start pgqueue fleet with -A" in (LAUNCH.refusal(wish) or "")
    assert Launch("db1", 6, include=("mail",)).refusal(wish) is None
    assert LAUNCH.refusal(WISH) is None


@pytest.mark.parametrize(
    "change",
    [
        {"name": "--app=evil"},
        {"name": "a/b"},
        {"name": "A"},
        {"name": "a\n"},
        {"queues": ("a,b",)},
        {"queues": ("",)},
        {"queues": (" a",)},
        {"queues": ("a\x00",)},
        {"queues": ("x" * 256,)},
        {"processes": -1},
        {"processes": 1001},
        {"executors": 0},
        {"executors": 1001},
        {"concurrency": -1},
        {"restart_after": -1.0},
        {"restart_after": float("inf")},
        {"restart_after": float("nan")},
    ],
)
def test_a_wish_that_no_administrator_could_make_is_no_wish(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"usable|out of range"):
        dataclasses.replace(WISH, **change)  # type: ignore[arg-type]


def test_delays_double_up_to_five_minutes_and_begin_anew_after_a_minute_of_life() -> None:
    backoff = Backoff()

    assert [backoff.next_delay(1.0, 0.1) for _ in range(11)] == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
    assert backoff.next_delay(1.0, 60.0) == 1
    assert backoff.next_delay(1.0, 59.0) == 2


def test_a_delay_of_zero_restarts_at_once_and_then_with_pauses() -> None:
    backoff = Backoff()

    assert [backoff.next_delay(0.0, 0.1) for _ in range(4)] == [0, 1, 2, 4]


def test_a_long_delay_stays_as_it_is() -> None:
    backoff = Backoff()

    assert [backoff.next_delay(3600.0, 0.1) for _ in range(3)] == [3600, 3600, 3600]


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    """Yield the socket of a service manager, and its name in NOTIFY_SOCKET."""
    name = str(tmp_path / "notify") if request.param == "path" else f"@pgqueue-test-{os.getpid()}-{time.monotonic_ns()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        made.bind("\0" + name[1:] if name.startswith("@") else name)
        made.setblocking(False)
        yield made, name


def received(manager: socket.socket) -> list[str]:
    messages = []
    with contextlib.suppress(BlockingIOError):
        while True:
            messages.append(manager.recv(4096).decode())
    return messages


def test_states_go_to_the_service_manager_each_once(manager: tuple[socket.socket, str]) -> None:
    heard, name = manager
    notifier = ServiceNotifier({"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "200000", "WATCHDOG_PID": str(os.getpid())})

    notifier.ready("registered")
    notifier.ready("registered")
    notifier.alive()
    notifier.alive()
    assert received(heard) == ["READY=1\nSTATUS=registered", "WATCHDOG=1"]

    time.sleep(0.11)
    notifier.alive()
    notifier.stopping()
    assert received(heard) == ["WATCHDOG=1", "STOPPING=1"]


def test_the_watchdog_of_another_process_is_not_ours(manager: tuple[socket.socket, str]) -> None:
    heard, name = manager
    notifier = ServiceNotifier({"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "200000", "WATCHDOG_PID": "1"})

    notifier.alive()

    assert notifier.watchdog_seconds is None
    assert received(heard) == []


@pytest.mark.parametrize("environment", [{}, {"NOTIFY_SOCKET": "/nowhere/notify", "WATCHDOG_USEC": "x"}])
def test_without_a_service_manager_nothing_happens(environment: dict[str, str]) -> None:
    notifier = ServiceNotifier(environment)

    notifier.ready()
    notifier.alive()
    notifier.stopping()
