"""Telling monitors of jobs: what becomes of the thread that does."""

from typing import Any

from kombu.exceptions import OperationalError

from pgqueue.db.database import Database
from pgqueue.worker.monitoring.event_publisher import EventPublisher, JobEvent
from tests.harness import eventually


def test_a_server_that_is_away_when_monitors_are_first_told_is_tried_again() -> None:
    tried: list[None] = []

    def fail_to_connect() -> Any:
        tried.append(None)
        raise OperationalError("as kombu says it when it has tried often enough")

    event_publisher = EventPublisher(Database("dbname=nowhere"), fail_to_connect, lambda: True)
    event_publisher.start()
    try:
        event_publisher.publish([JobEvent(1)])
        eventually(lambda: len(tried) == 1)
        event_publisher.publish([JobEvent(2)])
        eventually(lambda: len(tried) == 2)
    finally:
        event_publisher.stop()
        event_publisher.join(20)
