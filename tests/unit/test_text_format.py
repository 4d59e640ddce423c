from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from pgqueue.db.text_format import to_instant, to_interval


@pytest.mark.parametrize("value", [5, 5.0, timedelta(seconds=5)])
def test_a_duration_is_seconds_or_a_timedelta(value: Any) -> None:
    assert to_interval(value, "delay") == timedelta(seconds=5)


@pytest.mark.parametrize("value", ["5", True, datetime.now(timezone.utc)])
def test_what_is_no_duration_is_refused_by_the_name_of_the_option(value: Any) -> None:
    with pytest.raises(TypeError, match="delay must be a timedelta or a number of seconds"):
        to_interval(value, "delay")


def test_an_instant_needs_a_time_zone() -> None:
    with pytest.raises(ValueError, match="eta must have a time zone"):
        to_instant(datetime(2030, 1, 1), "eta")  # noqa: DTZ001


def test_what_is_no_instant_is_refused_by_the_name_of_the_option() -> None:
    with pytest.raises(TypeError, match="expires must be a datetime, not str"):
        to_instant("tomorrow", "expires")  # type: ignore[arg-type]
