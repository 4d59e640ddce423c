"""The parts of the pages in Flower that need no server: filters, numbers, plots, errors."""

from datetime import datetime, timedelta, timezone

import psycopg
import pytest

from pgqueue.errors import InvalidArgument, PgQueueError, ServerError, from_driver
from pgqueue.flower_ui.pages.job_filters import JobFilters, parse_moment, read_number
from pgqueue.flower_ui.pages.plot import Minutes, read_minutes
from pgqueue.flower_ui.pages.reading import say, status_of
from pgqueue.flower_ui.pages.values import show_length, show_moment


def filters(**given):
    return JobFilters.read(given.get)


def test_filters_are_read_without_those_that_are_empty():
    assert filters(state="failed", queue=" ", label="a%") == {"state": "failed", "label": "a%"}
    assert filters(label="a b&c").link(before=7) == "label=a+b%26c&before=7"


@pytest.mark.parametrize(
    "given", [{"state": "lost"}, {"sqlstate": "22P"}, {"since": "soon"}, {"error": "x" * 1001}, {"queue": "a\0b"}]
)
def test_a_filter_that_cannot_be_right_is_refused(given):
    with pytest.raises(InvalidArgument) as refused:
        filters(**given)
    assert status_of(refused.value) == 400
    assert refused.value.hint


@pytest.mark.parametrize(
    ("act", "given", "said"),
    [
        ("retry", {}, "state failed"),
        ("retry", {"state": "queued"}, "state failed"),
        ("cancel", {"state": "failed"}, "waiting or queued or running"),
        ("retry", {"state": "failed", "role": "alice"}, "by role"),
        ("discard", {"state": "failed", "statement": "x"}, "by statement"),
    ],
)
def test_all_that_match_are_never_more_than_the_list_shows(act, given, said):
    assert said in (filters(**given).why_not_all(act) or "")
    with pytest.raises(InvalidArgument):
        filters(**given).to_order(act)


def test_filters_choose_for_all_that_match():
    order = filters(state="failed", error="closed", since="2026-11-30T18:00").to_order("retry")

    assert order["since"] == datetime(2026, 11, 30, 18, tzinfo=timezone.utc)
    assert order == {
        "state": "failed", "queue": None, "label": None, "sqlstate": None, "error": "closed", "since": order["since"], "until": None, "id": None,
    }  # fmt: skip


def test_a_moment_is_an_instant_or_how_long_ago():
    assert parse_moment("since", None) is None
    assert parse_moment("since", "2026-11-30T18:00+02:00") == datetime(2026, 11, 30, 16, tzinfo=timezone.utc)
    ago = datetime.now(timezone.utc) - parse_moment("since", "30m")
    assert timedelta(minutes=29) < ago < timedelta(minutes=31)
    with pytest.raises(InvalidArgument):
        parse_moment("since", "999999d")


def test_numbers_are_read_within_their_bounds():
    assert read_number({"limit": "7"}, "limit", 1, 9) == 7
    assert read_number({}, "limit", 1, 9) is None
    for wrong in ("0", "10", "-1", "x", "٣", "9" * 30):
        with pytest.raises(InvalidArgument):
            read_number({"limit": wrong}, "limit", 1, 9)


def test_a_plot_has_a_bar_for_each_minute_with_jobs_and_says_itself_in_words():
    minutes = read_minutes(
        [
            {"queue": "q", "minutes_ago": 0, "succeeded": 60, "failed": 0, "is_estimate": False},
            {"queue": "q", "minutes_ago": 59, "succeeded": 0, "failed": 1, "is_estimate": False},
        ]
    )["q"]

    assert list(minutes.bars()) == [("pgq-bad", 0, 35.0, 1.0), ("pgq-good", 177, 0.0, 36.0)]
    assert minutes.summary() == "61 jobs ended in the last hour, 1 of them failed; at most 60 in a minute"
    assert Minutes.from_json(minutes.to_json()).total == 61


def test_errors_have_a_status_and_a_sentence():
    lost = from_driver(psycopg.OperationalError("no route"))
    assert status_of(lost) == 503
    stopped = ServerError("canceling statement due to statement timeout", sqlstate="57014")
    assert (status_of(stopped), say(stopped)["sqlstate"]) == (504, "57014")
    assert status_of(ServerError("x", sqlstate="XX000")) == 500
    assert status_of(PgQueueError("not installed")) == 503


def test_values_are_shown_in_units():
    assert [show_length(each) for each in (None, 0.0421, 5.25, 61, 3700, 90000)] == [
        "-", "42 ms", "5.2 s", "1 min 1 s", "1 h 1 min", "1 d 1 h",
    ]  # fmt: skip
    assert show_moment("2026-11-30T01:02:03.5+02:00") == "2026-11-29 23:02:03"
