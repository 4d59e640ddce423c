"""Telling monitors of jobs: what becomes of the thread that does."""

from typing import Any

from kombu.exceptions import OperationalError

from pgqueue.db.database import Database
from pgqueue.worker.monitoring.event_publisher import Announcer, Told
from tests.harness import eventually


def test_a_server_that_is_away_when_monitors_are_first_told_is_tried_again() -> None:
    tried: list[None] = []

    def fail_to_connect() -> Any:
        tried.append(None)
        raise OperationalError("as kombu says it when it has tried often enough")

    announcer = Announcer(Database("dbname=nowhere"), fail_to_connect, lambda: True)
    announcer.start()
    try:
        announcer.tell([Told(1)])
        eventually(lambda: len(tried) == 1)
        announcer.tell([Told(2)])
        eventually(lambda: len(tried) == 2)
    finally:
        announcer.stop()
        announcer.join(20)
