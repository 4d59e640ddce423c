"""`pgqueue relay` to a real Redis. Skipped where Debian's redis-server or the Python package redis is not installed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.brokers import RedisServer
from pgqueue.broker.relay.kombu_target import KombuTarget
from pgqueue.broker.relay.outgoing import Outgoing
from pgqueue.broker.relay.target import Address, Answer, TargetLost, Verdict

redis = pytest.importorskip("redis")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("redis-server") is None, reason="no Redis: apt-get install redis-server"),
]
MAIL = Address("", "mail")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path / "redis") as running:
        yield running


@pytest.fixture
def target(server: RedisServer) -> Iterator[KombuTarget]:
    made = KombuTarget(server.url)
    made.connect()
    yield made
    made.close()


def message(number: int, size: int = 2, priority: int = 9) -> Outgoing:
    body = b"x" * size
    return Outgoing(f"{number}:1", "mail", body, "text/plain", "utf-8", {"id": f"t{number}"}, {}, priority, False, 20)


def ids(server: RedisServer, key: str = "mail") -> list[str]:
    """The ids in a list, in the order in which workers take them."""
    found = redis.Redis(port=server.port).lrange(key, 0, -1)
    return [json.loads(text)["headers"]["id"] for text in reversed(found)]


def test_messages_share_a_round_trip_and_keep_their_order(server: RedisServer, target: KombuTarget) -> None:
    numbers = [target.send(message(n), MAIL) for n in range(250)]

    assert ids(server) == [f"t{n}" for n in range(200)]
    assert target.collect() == [Answer(number, Verdict.CONFIRMED) for number in numbers]
    assert ids(server) == [f"t{n}" for n in range(250)]


def test_a_server_that_is_full_refuses_what_may_be_there_in_part_and_takes_the_rest_later(
    server: RedisServer, target: KombuTarget
) -> None:
    client = redis.Redis(port=server.port)
    client.config_set("maxmemory", "1mb")

    numbers = [target.send(message(n, 50_000), MAIL) for n in range(3)]
    answers = target.collect()

    assert [(answer.number, answer.verdict) for answer in answers] == [(n, Verdict.REFUSED) for n in numbers]
    assert "maxmemory" in answers[0].detail
    client.config_set("maxmemory", "0")
    number = target.send(message(7), MAIL)
    assert target.collect() == [Answer(number, Verdict.CONFIRMED)]
    assert ids(server)[-1] == "t7"


def test_what_a_server_that_is_gone_had_no_answer_for_is_lost(server: RedisServer, target: KombuTarget) -> None:
    target.send(message(1), MAIL)
    server.kill()

    with pytest.raises(TargetLost):
        target.collect()
    server.start()
    target.connect()
    number = target.send(message(2), MAIL)
    assert target.collect() == [Answer(number, Verdict.CONFIRMED)]
    assert ids(server) == ["t2"]
