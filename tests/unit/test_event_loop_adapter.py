from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Iterator

import pytest
from kombu.asynchronous.hub import Hub

from pgqueue.broker.consuming.event_loop import EventLoopAdapter


class Played:
    """A transport that has `batches` to deliver and wants to be asked again at `come_back_at`."""

    def __init__(self) -> None:
        self.waker, self.end = socket.socketpair()
        self.waker.setblocking(False)
        self.batches: list[int] = []
        self.come_back_at = time.monotonic() + 60
        self.looks: list[float] = []
        self.delivered = 0
        self.kind = "task"
        self._backlog = 0

    def poll(self) -> float:
        self.looks.append(time.monotonic())
        with contextlib.suppress(BlockingIOError):
            self.waker.recv(100)
        self._backlog = self.batches.pop(0) if self.batches else 0
        return self.come_back_at

    def deliver_next(self) -> Played | None:
        if not self._backlog:
            return None
        self._backlog -= 1
        self.delivered += 1
        return self

    def interrupt(self) -> None:
        self.end.send(b"\0")


@pytest.fixture
def hub() -> Iterator[Hub]:
    made = Hub()
    yield made
    made.close()


@pytest.fixture
def played(hub: Hub) -> Iterator[tuple[Played, EventLoopAdapter]]:
    transport = Played()
    event_loop = EventLoopAdapter(transport, hub, [transport.waker.fileno()])
    yield transport, event_loop
    event_loop.close()
    transport.waker.close()
    transport.end.close()


def test_a_round_delivers_all_that_a_look_found(hub: Hub, played: tuple[Played, EventLoopAdapter]) -> None:
    transport, _ = played
    transport.batches = [3, 2]

    hub.run_once()

    assert transport.delivered == 5


def test_the_hub_gets_a_turn_after_some_full_batches(hub: Hub, played: tuple[Played, EventLoopAdapter]) -> None:
    transport, _ = played
    transport.batches = [1] * 10

    hub.run_once()
    assert transport.delivered == 4

    hub.run_once()
    assert transport.delivered == 8


def test_the_next_round_follows_at_once_when_something_was_delivered(
    hub: Hub, played: tuple[Played, EventLoopAdapter]
) -> None:
    transport, _ = played
    transport.batches = [1]

    hub.run_once()
    hub.run_once()

    assert transport.looks[-1] - transport.looks[0] < 10


@pytest.mark.slow
def test_no_round_follows_jobs_which_do_not_wait_for_the_pool(
    hub: Hub, played: tuple[Played, EventLoopAdapter]
) -> None:
    transport, _ = played
    hub.run_once()
    transport.kind, transport.batches = "job", [3]
    hub.run_once()

    assert transport.delivered == 3
    with pytest.raises(BlockingIOError):
        transport.waker.recv(1)


def test_the_hub_comes_back_when_the_transport_wants_it_to(hub: Hub, played: tuple[Played, EventLoopAdapter]) -> None:
    transport, _ = played
    hub.run_once()
    wanted = transport.come_back_at = time.monotonic() + 0.1

    transport.interrupt()
    while not transport.looks or transport.looks[-1] < wanted:
        hub.run_once()

    assert wanted <= transport.looks[-1] < wanted + 10


@pytest.mark.slow
def test_there_is_one_timer_however_often_the_wish_changes(hub: Hub, played: tuple[Played, EventLoopAdapter]) -> None:
    transport, _ = played

    for seconds in (50, 40, 30, 20, 45):
        transport.come_back_at = time.monotonic() + seconds
        transport.interrupt()
        hub.run_once()

    assert len([entry for entry in hub.timer.queue if not entry.entry.canceled]) == 1


def test_closing_leaves_nothing_on_the_hub(hub: Hub, played: tuple[Played, EventLoopAdapter]) -> None:
    transport, event_loop = played
    hub.run_once()

    event_loop.close()

    assert not hub.on_tick
    assert transport.waker.fileno() not in hub.readers
    assert not [entry for entry in hub.timer.queue if not entry.entry.canceled]


def test_a_descriptor_that_was_closed_and_is_anothers_by_now_is_left_alone(
    hub: Hub, played: tuple[Played, EventLoopAdapter]
) -> None:
    _, event_loop = played
    ours, _end = socket.socketpair()
    event_loop.watch(ours.fileno(), lambda: None)
    number = ours.detach()
    theirs, their_end = socket.socketpair()
    os.dup2(theirs.fileno(), number)  # what closing ours and opening theirs does, if the number comes again
    heard: list[int] = []
    hub.add_reader(number, heard.append, number)

    event_loop.close()
    their_end.send(b"!")
    hub.run_once()

    assert heard == [number]
    hub.remove_reader(number)
    os.close(number)
    for end in (_end, theirs, their_end):
        end.close()
