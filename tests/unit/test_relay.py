"""The relay without a database: routes, URLs, messages, and a lane whose target refuses, returns, blocks and breaks."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner
from kombu import Connection

from pgqueue.broker.job_consumer import ClaimedMessage
from pgqueue.broker.relay.cargo import Cargo, Jobs, Tasks
from pgqueue.broker.relay.held_queues import HeldQueues
from pgqueue.broker.relay.kombu_target import KombuTarget
from pgqueue.broker.relay.lane import Lane
from pgqueue.broker.relay.opening import require_transport
from pgqueue.broker.relay.outgoing import DUPLICATE_HEADER, Outgoing, Unsendable, to_outgoing
from pgqueue.broker.relay.routes import Route, assign
from pgqueue.broker.relay.target import Address, Answer, TargetLost, Verdict
from pgqueue.broker.relay.url import TargetUrls, check_url, describe, has_password, locate, scrub
from pgqueue.cli.commands import run
from pgqueue.cli.relay import relay
from pgqueue.errors import InvalidArgument, PgQueueError


def claimed(number: int = 1, queue: str = "mail", earlier: int = 0, **changes: Any) -> ClaimedMessage:
    document = {
        "body": "[[1], {}, {}]",
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": {"id": f"task-{number}", "task": "shop.mail", **changes.pop("headers", {})},
        "properties": {
            "correlation_id": f"task-{number}",
            "priority": 3,
            "delivery_info": {},
            **changes.pop("properties", {}),
        },
        **changes,
    }
    return ClaimedMessage("task", number, 7, queue, earlier, json.dumps(document))


# Messages


def test_a_message_goes_out_as_it_was_published() -> None:
    message = to_outgoing(claimed(headers={"eta": None, "published_eta": "2030-01-01T00:00:00+00:00"}))

    assert message.body == b"[[1], {}, {}]"
    assert message.headers == {"id": "task-1", "task": "shop.mail", "eta": "2030-01-01T00:00:00+00:00"}
    assert message.properties == {"correlation_id": "task-1", "message_id": "task-1.1", "delivery_mode": 2}
    assert message.priority == 3


def test_a_binary_body_is_decoded() -> None:
    assert to_outgoing(claimed(body="AAH/", properties={"body_encoding": "base64"})).body == b"\x00\x01\xff"


def test_a_message_that_was_delivered_before_is_flagged() -> None:
    assert to_outgoing(claimed(earlier=1)).headers[DUPLICATE_HEADER] is True
    assert DUPLICATE_HEADER not in to_outgoing(claimed(headers={DUPLICATE_HEADER: True})).headers


def test_the_end_of_a_task_is_for_workers_of_pgqueue_only() -> None:
    with pytest.raises(Unsendable, match="only a worker of pgqueue"):
        to_outgoing(claimed(headers={"pgqueue_end": {"state": "REVOKED"}}))


def test_properties_have_the_types_of_amqp() -> None:
    properties = to_outgoing(
        claimed(properties={"expiration": 5000, "timestamp": "now", "message_id": "mine"})
    ).properties

    assert properties["expiration"] == "5000"
    assert properties["message_id"] == "mine"
    assert "timestamp" not in properties


# Routes


def test_a_name_goes_before_a_pattern_and_the_longer_pattern_before_the_shorter() -> None:
    routes = [Route("*", "a"), Route("report.*", "b"), Route("report.eu", "c", "x", "key"), Route("mail", "d")]

    found = assign(routes, ["report.eu", "report.us", "other"])

    assert {queue: route.target for queue, route in found.items()} == {
        "report.eu": "c", "report.us": "b", "other": "a", "mail": "d",
    }  # fmt: skip
    assert found["report.eu"].address("report.eu") == Address("x", "key")
    assert found["report.us"].address("report.us") == Address("", "report.us")


@pytest.mark.parametrize(
    "queue", ["celeryev.1", "w1@host.celery.pidbox", "mail.dead", "0b0e8a0c-1111-2222-3333-444455556666"]
)
def test_a_pattern_leaves_out_what_is_no_work(queue: str) -> None:
    assert assign([Route("*", "a")], [queue]) == {}
    assert list(assign([Route(queue, "a")], [])) == [queue]


# URLs


def test_no_password_is_shown() -> None:
    url = "amqp://app:s%40cret@rabbit1:5672/v?ssl=1;amqp://app:other@rabbit2:5672/v"

    assert "cret" not in describe(url)
    assert "other" not in describe(url)
    assert "rabbit1" in describe(url)
    assert "rabbit2" in describe(url)
    assert has_password(url)
    assert not has_password("amqp://rabbit1:5672//")
    assert scrub("login failed for app:s@cret, s%40cret and other", url) == "login failed for app:**, ** and **"


def test_others_see_where_a_target_is_and_no_login() -> None:
    assert (
        locate("amqp://app:s%40cret@rabbit1:5672/v?ssl=1;amqp://app@rabbit2/v")
        == "amqp://rabbit1:5672/v;amqp://rabbit2/v"
    )
    assert locate("sqs://AKIA:se/cret@") == "sqs://"
    assert "cret" not in locate("amqp://app:s?cret@rabbit1/v")
    assert locate("filesystem://") == "filesystem://"


def test_the_urls_of_targets_come_from_a_file_before_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGQUEUE_RELAY_RABBIT_URL", "amqp://environment")
    monkeypatch.setenv("PGQUEUE_RELAY_REDIS_2_URL", "redis://environment")
    monkeypatch.setenv("PGQUEUE_RELAY_TO", "amqp://of-no-name")
    file = tmp_path / "targets"
    file.write_text("# comment\n\nrabbit = amqp://app:a=b@file\n")

    urls = TargetUrls(str(file))

    assert urls.names == ["rabbit", "redis_2"]
    assert [urls.find(name) for name in ("rabbit", "redis_2", "other")] == [
        "amqp://app:a=b@file",
        "redis://environment",
        None,
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rabbit amqp://app:secret@x", "line 1 of .* has no ="),
        ("\nRabbit = amqp://app:secret@x", "line 2 of .* does not begin with the name"),
        ("a = amqp://x\na = amqp://app:secret@x", "line 2 of .* repeats the target a"),
        ("a = rabbit1:5672", "line 1 of .* is no URL"),
        (None, "--targets: cannot read .*: No such file"),
    ],
)
def test_a_file_of_targets_that_cannot_be_meant_is_refused_with_its_line(
    tmp_path: Path, text: str | None, message: str
) -> None:
    file = tmp_path / "targets"
    if text is not None:
        file.write_text(text)

    with pytest.raises(InvalidArgument, match=message) as refused:
        TargetUrls(str(file))

    assert "secret" not in str(refused.value)
    assert refused.value.hint


def test_a_broker_whose_package_is_missing_is_refused_with_what_to_install() -> None:
    with pytest.raises(PgQueueError, match="--to: kombu cannot load its transport for consul") as refused:
        require_transport("consul://host", "--to")
    assert refused.value.hint == "Run: pip install 'kombu[consul]'"
    require_transport("amqp://host", "--to")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "there is nowhere to send"),
        (["--to-file", "x"], "--to-file is for the queues of --queue"),
        (["--exchange", "x"], "--exchange is for the queues of --queue"),
        (["--queue", "a", "--targets", "x"], "--targets is for the routes in the database"),
        (["--queue", "a", "--to", "amqp://x", "--to-file", "x"], "--to and --to-file do not go together"),
        (["--queue", "a", "--from", "amqp://x", "--exchange", "x"], "--from and --exchange do not go together"),
        (["--queue", "a", "--from", "amqp://x", "--targets", "x"], "--from and --targets do not go together"),
        (["--queue", "a", "--to", "amqp://x", "--into", "b"], "--into goes with --from"),
        (["--queue", "a", "--to", "redis://x", "--exchange", "x"], "--exchange is for RabbitMQ"),
        (["--from", "amqp://x"], "--from takes one --queue"),
        (
            ["--queue", "a", "--from", "amqp://x", "--dsn", "host=a", "--dsn", "host=b"],
            "--from does not go with several",
        ),
        (["--queue", "a", "--from", "amqp://x", "--jobs"], "--from and --jobs do not go together"),
        (["--queue", "a"], "say where to"),
    ],
)
def test_options_that_do_not_go_together_are_refused(arguments: list[str], message: str) -> None:
    answer = CliRunner().invoke(relay, arguments)

    assert answer.exit_code == 2
    assert message in " ".join(answer.output.split())


@pytest.mark.parametrize("url", ["rabbit1:5672", "pgqueue://localhost/x", "postgresql://u:secret@localhost/x"])
def test_what_is_no_other_broker_is_refused_without_being_repeated(url: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        check_url(url, "--to")
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("option", ["--to", "--from"])
@pytest.mark.parametrize(
    "url", ["amqp://u:sec?ret@h/v", "redis://:sec/ret@h:6379/0", "amqp://u:sec[ret@h/v", "amqp://h:99999//"]
)
def test_a_url_that_is_not_encoded_is_refused_in_one_line_without_its_password(
    option: str, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if url.startswith("redis"):
        pytest.importorskip("redis")

    assert run(["relay", "--queue", "a", option, url, "--dsn", "host=127.0.0.1 port=1"]) == 1

    shown = capsys.readouterr().err
    assert f"{option} is no URL that kombu can read" in shown
    assert "sec" not in shown
    assert "sec" not in describe(url) + locate(url)


# The lane


class FakeTarget:
    """Answers as it is told."""

    name = location = "fake"

    def __init__(self) -> None:
        self.is_blocked = False
        self.sent: list[Outgoing] = []
        self.answers: list[Answer] = []
        self.breaks_at: dict[str, TargetLost] = {}
        self.connections = 0
        self._loss: TargetLost | None = None
        self._number = 0

    def connect(self) -> None:
        self.connections += 1
        self.answers.clear()

    def fileno(self) -> None:
        return None

    def send(self, message: Outgoing, address: Address) -> int:
        self._number += 1
        self.sent.append(message)
        self._loss = self._loss or self.breaks_at.get(message.message_id)
        return self._number

    def confirm_all(self) -> None:
        self.answers = [Answer(number, Verdict.CONFIRMED) for number in range(self._number + 1)]

    def answer_last(self, verdict: Verdict) -> None:
        self.answers = [Answer(self._number, verdict)]

    def collect(self) -> list[Answer]:
        loss, self._loss = self._loss, None
        if loss is not None:
            raise loss
        answers, self.answers = self.answers, []
        return answers

    def close(self) -> None:
        self.answers.clear()


class Settled:
    def __init__(self) -> None:
        self.acked: list[str] = []
        self.rejected: list[tuple[str, str]] = []
        self.released: list[tuple[str, bool]] = []

    def ack(self, delivery_tag: str) -> None:
        self.acked.append(delivery_tag)

    def reject(self, delivery_tag: str, reason: str) -> None:
        self.rejected.append((delivery_tag, reason))

    def release(self, delivery_tags: list[str], *, undelivered: bool) -> None:
        self.released += [(tag, undelivered) for tag in delivery_tags]


class Bench:
    def __init__(self, cargo: Cargo | None = None) -> None:
        self.target = FakeTarget()
        self.settled = Settled()
        self.lane = Lane(self.target, cargo or Tasks(), self.settled, 10, lambda: None)
        self.lane.follow({"mail": Route("mail", "t"), "news": Route("news", "t")}, 0)
        self.now = 0.0
        self.lane.step(0)

    def take(self, *messages: ClaimedMessage) -> None:
        self.lane.take(messages)
        self.step()

    def step(self, seconds: float = 0.01) -> None:
        self.now += seconds
        self.lane.step(self.now)


def test_a_message_is_acked_when_its_confirm_is_there_and_not_before() -> None:
    bench = Bench()

    bench.take(claimed(1), claimed(2))
    assert [m.message_id for m in bench.target.sent] == ["task-1.1", "task-2.2"]
    assert bench.settled.acked == []

    bench.target.confirm_all()
    bench.step()
    assert bench.settled.acked == ["1:7", "2:7"]
    assert bench.lane.is_idle


def test_a_slow_target_is_heard_and_the_rest_has_its_turn_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    clock = iter(range(100))
    # Each look at the clock takes a tenth of a second.
    monkeypatch.setattr("pgqueue.broker.relay.lane.time.monotonic", lambda: next(clock) / 10)

    bench.take(*(claimed(n) for n in range(1, 6)))
    sent = len(bench.target.sent)
    assert 0 < sent < 5
    assert bench.lane.due_at(bench.now) <= bench.now
    bench.target.confirm_all()
    bench.step()

    assert len(bench.settled.acked) == sent
    assert len(bench.target.sent) > sent


def test_what_had_no_answer_is_sent_first_after_a_loss_and_flagged() -> None:
    bench = Bench()
    bench.target.breaks_at["task-2.2"] = TargetLost("reset by peer")

    bench.take(claimed(1), claimed(2))
    assert not bench.lane.is_connected
    assert bench.lane.room(10) == 0
    bench.target.breaks_at.clear()
    bench.lane.take([claimed(3)])
    bench.step(1)

    again = bench.target.sent[2:]
    assert [(m.message_id, m.is_flagged) for m in again] == [
        ("task-1.1", True),
        ("task-2.2", True),
        ("task-3.3", False),
    ]
    assert bench.settled.released == []


def test_a_message_for_which_the_broker_closes_the_channel_is_a_dead_letter_and_the_others_arrive() -> None:
    bench = Bench()
    bench.target.breaks_at["task-2.2"] = TargetLost("message size 200 is larger than 100", 406)

    bench.take(claimed(1), claimed(2), claimed(3))
    for _ in range(6):
        bench.target.confirm_all()
        bench.step(1)

    assert [tag for tag, _ in bench.settled.rejected] == ["2:7"]
    assert "larger than 100" in bench.settled.rejected[0][1]
    assert bench.settled.acked == ["1:7", "3:7"]
    assert bench.lane.room(10) == 10


def test_each_hold_takes_twice_as_long_until_a_message_was_taken() -> None:
    held, seconds = HeldQueues(), []
    for _ in range(6):
        at = held.end_at(0.0) if seconds else 0.0
        seconds.append(held.hold("mail", at))
        assert held.hold("mail", at) is None, "it is held already"

    assert seconds == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0]
    assert held.is_held("mail", 60.9)
    assert not held.is_held("news", 60.9)
    held.note_taken("mail", 60.9)  # of an answer that comes late
    assert held.is_held("mail", 60.9)
    assert held.has_ended(61.0)
    held.note_taken("mail", 61.0)
    assert held.hold("mail", 62.0) == 1.0
    held.keep(["news"])
    assert held.end_at(0.0) == math.inf


def test_a_missing_exchange_holds_its_queue_and_no_other() -> None:
    bench = Bench()
    bench.target.breaks_at["task-1.1"] = TargetLost("no exchange 'x'", 404)

    bench.take(claimed(1), claimed(2, "news"))
    for _ in range(4):
        bench.target.confirm_all()
        bench.step(0.1)

    assert bench.settled.rejected == []
    assert bench.settled.acked == ["2:7"]
    assert bench.settled.released == [("1:7", False)]
    assert bench.lane.queues == {"news"}


@pytest.mark.parametrize(
    ("verdict", "earlier", "counts_as_undelivered"),
    [
        # Nothing has it: the next delivery is as the first.
        (Verdict.RETURNED, 0, True),
        # A part of its queues may have it: the next one is flagged.
        (Verdict.REFUSED, 0, False),
        # It stays flagged, and does not come nearer to the dead letters.
        (Verdict.REFUSED, 1, True),
    ],
)
def test_a_message_that_is_not_taken_goes_back_and_its_queue_waits(
    verdict: Verdict, earlier: int, counts_as_undelivered: bool
) -> None:
    bench = Bench()

    bench.take(claimed(1, earlier=earlier))
    bench.target.answer_last(verdict)
    bench.step()

    assert bench.settled.released == [("1:7", counts_as_undelivered)]
    assert bench.lane.queues == {"news"}
    assert bench.lane.due_at(bench.now) > bench.now
    bench.step(1.1)
    assert bench.lane.queues == {"mail", "news"}


def test_a_blocked_target_gets_nothing_and_nothing_is_claimed_for_it() -> None:
    bench = Bench()
    bench.target.is_blocked = True

    bench.take(claimed(1))
    assert bench.target.sent == []
    assert bench.lane.room(10) == 0

    bench.target.is_blocked = False
    bench.step()
    assert len(bench.target.sent) == 1


def test_what_cannot_be_read_is_a_dead_letter_and_stops_nobody() -> None:
    bench = Bench()

    bench.take(ClaimedMessage("task", 1, 7, "mail", 0, '{"properties": 3}'), claimed(2))

    assert [tag for tag, _ in bench.settled.rejected] == ["1:7"]
    assert len(bench.target.sent) == 1


def test_at_the_end_what_was_not_sent_goes_back_as_it_was_and_the_rest_flagged() -> None:
    bench = Bench()
    bench.take(claimed(1))
    bench.target.is_blocked = True
    bench.take(claimed(2))

    bench.lane.give_back_all()

    assert sorted(bench.settled.released) == [("1:7", False), ("2:7", True)]


# SQL jobs


class Kept:
    """Knows which claims of the relay are valid."""

    def __init__(self) -> None:
        self.priorities = {"1:7": 5, "2:7": 0}

    def find_kept(self, delivery_tags: Sequence[str]) -> dict[str, int]:
        return {tag: self.priorities[tag] for tag in delivery_tags if tag in self.priorities}


def a_job(number: int) -> ClaimedMessage:
    return ClaimedMessage("job", number, 7, "mail", 0, "16401", "batch")


def test_a_wake_up_has_the_token_of_the_claim_and_nothing_of_the_sql() -> None:
    bench = Bench(Jobs(Kept()))

    bench.take(a_job(1), a_job(3))  # The third was canceled since it was claimed.

    [sent] = bench.target.sent
    assert json.loads(sent.body)[0] == [1, 7]
    assert (sent.headers["task"], sent.headers["id"], sent.message_id) == ("pgqueue.run_job", "job-1", "job-1.7")
    assert sent.priority == 5
    assert not sent.is_flagged
    assert bench.lane.qos.tags == ["1:7"]


def test_a_job_takes_its_place_until_a_worker_has_it_and_its_wake_up_is_repeated() -> None:
    kept = Kept()
    bench = Bench(Jobs(kept, repeat_seconds=60))
    bench.take(a_job(1), a_job(2))
    bench.target.confirm_all()
    bench.step()

    assert bench.settled.acked == []
    assert len(bench.lane.qos.tags) == 2
    assert bench.lane.due_at(bench.now) < bench.now + 1

    del kept.priorities["1:7"]
    bench.step(1)
    assert bench.lane.qos.tags == ["2:7"]

    bench.step(60)
    again = bench.target.sent[2:]
    assert [(m.message_id, m.is_flagged) for m in again] == [("job-2.7", True)]
    assert bench.settled.acked == []


def test_a_wake_up_that_a_broker_refuses_for_good_costs_no_job() -> None:
    bench = Bench(Jobs(Kept()))
    bench.target.breaks_at["job-1.7"] = TargetLost("precondition failed", 406)

    bench.take(a_job(1))

    assert bench.settled.rejected == []
    assert bench.settled.released == [("1:7", True)]
    assert bench.lane.queues == {"news"}


def test_a_broker_that_kombu_does_not_know_is_refused_at_the_door() -> None:
    with pytest.raises(InvalidArgument, match="kombu does not know: foo"):
        check_url("foo://host", "--to")
    for known in ("redis://host/0", "sentinel://a;sentinel://b", "sqla+postgresql://host/db", "SQS://"):
        assert check_url(known, "--to") == known


# Other brokers of kombu


def outgoing(body: bytes = b"[]") -> Outgoing:
    return Outgoing("1:7", "mail", body, "application/json", "utf-8", {}, {"message_id": "m"}, 3, False, 10)


def test_a_message_that_is_too_large_for_sqs_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(Unsendable, match="sqs takes 1048576"):
        KombuTarget("sqs://key:secret@").send(outgoing(b"x" * 600_000), Address("", "mail"))


class RefusingChannel:
    def __init__(self, failure: Exception) -> None:
        self._failure = failure

    def prepare_message(self, body: bytes, **_options: Any) -> dict[str, Any]:
        return {"body": body}

    def basic_publish(self, *_arguments: Any, **_options: Any) -> None:
        raise self._failure


def test_a_message_that_is_too_large_for_a_queue_of_sqs_does_not_hold_it() -> None:
    target = KombuTarget("sqs://key:secret@")
    target._connection = SimpleNamespace(connection_errors=(OSError,))
    refused = "One or more parameters are invalid. Reason: Message must be shorter than 262144 bytes."
    target._channel = RefusingChannel(Exception(f"(InvalidParameterValue) when calling SendMessage: {refused}"))

    with pytest.raises(Unsendable, match="shorter than 262144 bytes"):
        target.send(outgoing(b"x" * 200_000), Address("", "mail"))

    target._channel = RefusingChannel(Exception("(AccessDenied) when calling SendMessage: no"))
    number = target.send(outgoing(), Address("", "mail"))
    assert [(each.number, each.verdict) for each in target.collect()] == [(number, Verdict.REFUSED)]


def test_a_refusal_of_sqs_holds_the_queue_and_an_endpoint_that_is_away_is_a_loss() -> None:
    exceptions = pytest.importorskip("botocore.exceptions", reason="no boto3: pip install 'kombu[sqs]'")
    pytest.importorskip("pycurl", reason="no pycurl: pip install 'kombu[sqs]'")
    target = KombuTarget("sqs://key:secret@")
    target._connection = Connection("sqs://key:secret@")
    denied = {"Error": {"Code": "AccessDenied", "Message": "key secret may not send"}}

    target._channel = RefusingChannel(exceptions.ClientError(denied, "SendMessage"))
    number = target.send(outgoing(), Address("", "mail"))
    [answer] = target.collect()
    assert (answer.number, answer.verdict) == (number, Verdict.REFUSED)
    assert "AccessDenied" in answer.detail
    assert "secret" not in answer.detail

    target._channel = RefusingChannel(exceptions.EndpointConnectionError(endpoint_url="https://sqs"))
    with pytest.raises(TargetLost, match="https://sqs"):
        target.send(outgoing(), Address("", "mail"))
