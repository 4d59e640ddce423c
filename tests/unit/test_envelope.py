import json
import math
import uuid
from datetime import datetime, timezone
from typing import Any

import pytest

from pgqueue.broker.envelope import from_row, to_row
from pgqueue.errors import InvalidArgument


def message(body: object = "[]", headers: dict[str, Any] | None = None, **properties: Any) -> dict[str, Any]:
    return {
        "body": body,
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": headers or {},
        "properties": {"delivery_info": {}, "priority": 0, **properties},
    }


def test_a_text_stays_readable() -> None:
    stored = json.loads(to_row(message('{"a": "ü"}'), "", "q").message)

    assert stored["body"] == '{"a": "ü"}'
    assert stored["properties"]["body_encoding"] is None


def test_bytes_that_are_text_stay_readable() -> None:
    stored = json.loads(to_row(message(b"plain"), "", "q").message)

    assert (stored["body"], stored["properties"]["body_encoding"]) == ("plain", None)


@pytest.mark.parametrize("body", [b"\x80\x02}", "nul \0 inside", b"nul \0 inside"])
def test_what_json_in_postgresql_cannot_hold_is_base64(body: object) -> None:
    stored = json.loads(to_row(message(body), "", "q").message)

    assert stored["properties"]["body_encoding"] == "base64"
    assert "\0" not in stored["body"]


def test_the_route_is_kept_for_the_worker() -> None:
    stored = json.loads(to_row(message(), "events", "task.sent").message)

    assert stored["properties"]["delivery_info"] == {"exchange": "events", "routing_key": "task.sent"}


def test_an_eta_becomes_the_due_time_and_the_worker_sees_none() -> None:
    row = to_row(message(headers={"eta": "2030-01-02T03:04:05+02:00"}), "", "q")

    assert row.eta == datetime(2030, 1, 2, 1, 4, 5, tzinfo=timezone.utc)
    headers = json.loads(row.message)["headers"]
    assert headers == {"eta": None, "published_eta": "2030-01-02T03:04:05+02:00"}


def test_an_eta_in_utc_may_be_written_with_a_z() -> None:
    assert to_row(message(headers={"eta": "2030-01-02T03:04:05Z"}), "", "q").eta == datetime(
        2030, 1, 2, 3, 4, 5, tzinfo=timezone.utc
    )


@pytest.mark.parametrize("eta", ["2030-01-02T03:04:05", "soon", None, 5])
def test_an_eta_that_only_the_worker_understands_stays_with_it(eta: object) -> None:
    row = to_row(message(headers={"eta": eta}), "", "q")

    assert row.eta is None
    assert json.loads(row.message)["headers"] == {"eta": eta}


def test_publishing_leaves_the_callers_message_alone() -> None:
    published = message("x", headers={"eta": "2030-01-02T03:04:05Z"})
    before = json.dumps(published)

    to_row(published, "e", "k")

    assert json.dumps(published) == before


def test_expiration_is_milliseconds() -> None:
    assert to_row(message(expiration="1500"), "", "q").ttl_seconds == 1.5
    assert to_row(message(), "", "q").ttl_seconds is None


def test_delivery_mode_1_is_transient() -> None:
    assert to_row(message(delivery_mode=1), "", "q").is_transient
    assert not to_row(message(delivery_mode=2), "", "q").is_transient


def test_a_claimed_message_has_its_tag_and_whether_it_was_delivered_before() -> None:
    claimed = from_row(to_row(message(), "e", "k").message, "7:-3", 2)

    assert claimed["properties"]["delivery_tag"] == "7:-3"
    assert claimed["properties"]["delivery_info"] == {"exchange": "e", "routing_key": "k", "redelivered": True}
    assert claimed["headers"]["x-delivery-count"] == 2


def test_what_is_handed_out_for_the_first_time_has_no_count_and_nor_has_what_is_published_again() -> None:
    again = from_row(to_row(message(), "e", "k").message, "7:-3", 1)

    claimed = from_row(to_row(again, "e", "k").message, "8:-3", 0)

    assert not claimed["properties"]["delivery_info"]["redelivered"]
    assert "x-delivery-count" not in claimed["headers"]


def test_ids_that_are_uuids_become_text() -> None:
    an_id = uuid.uuid4()

    stored = to_row(
        message(headers={"id": an_id, "root_id": an_id, "task": "t"}, correlation_id=an_id), "", "q"
    ).message

    assert from_row(stored, "1:2", 0)["headers"]["id"] == str(an_id)
    assert json.loads(stored)["headers"]["root_id"] == json.loads(stored)["properties"]["correlation_id"] == str(an_id)


@pytest.mark.parametrize("headers", [{"id": 17}, {"id": None}, {"task": ["t"]}, {"x": math.nan}, {"x": [math.inf]}])
def test_what_every_consumer_refuses_is_refused_when_it_is_published(headers: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument) as refused:
        to_row(message(headers=headers), "", "q")

    assert refused.value.hint
