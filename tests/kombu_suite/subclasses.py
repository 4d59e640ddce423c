"""kombu's own integration tests as tests of `pgqueue://`. `run` puts this file beside kombu's `common.py`, as a test module.

Outside of that folder it cannot be imported.
"""

from __future__ import annotations

import os

import kombu
import pytest

import pgqueue.broker  # noqa: F401 - kombu.Connection alone does not load kombu's plugins

from .common import (  # type: ignore[import-not-found]
    BaseEventLoop,
    BaseExchangeTypes,
    BaseFailover,
    BaseMessage,
    BasePriority,
    BaseTimeToLive,
    BasicFunctionality,
)

URL = os.environ["KOMBU_SUITE_URL"]
# Nobody listens there.
DEAD_PORT = 1
DEAD_URL = f"pgqueue://postgres@127.0.0.1:{DEAD_PORT}/postgres"


@pytest.fixture
def connection() -> kombu.Connection:
    return kombu.Connection(URL)


@pytest.fixture
def invalid_connection() -> kombu.Connection:
    return kombu.Connection(DEAD_URL)


@pytest.fixture
def failover_connection() -> kombu.Connection:
    # kombu leaves our URLs whole and so knows no port of the first one; a test wants to see that it changes.
    return kombu.Connection(f"{DEAD_URL};{URL}", port=DEAD_PORT)


class TestBasicFunctionality(BasicFunctionality): ...


class TestExchangeTypes(BaseExchangeTypes): ...


class TestTimeToLive(BaseTimeToLive): ...


class TestPriority(BasePriority): ...


class TestMessage(BaseMessage): ...


class TestEventLoop(BaseEventLoop): ...


class TestFailover(BaseFailover): ...
