"""Whose places are given away while their jobs wait, and what is run in them first."""

from types import SimpleNamespace

import pytest

from pgqueue.worker.job_waits import Awaited, JobWaits, Waiter, read_wait


def waits(waiter, awaited, role="alice"):
    return Awaited(awaited, Waiter(waiter, 1, role))


def test_what_a_job_waits_for_comes_first_as_long_as_it_waits():
    places = JobWaits(4)
    assert places.begin("one", waits(1, 11)) is True
    assert places.begin("two", waits(2, 12)) is True
    places.end("one")

    assert places.next_wanted() == waits(2, 12)
    assert places.next_wanted() is None
    places.want_again()
    assert places.next_wanted() == waits(2, 12)


def test_a_job_that_says_often_that_it_waits_is_looked_for_once():
    places = JobWaits(4)
    for awaited in range(100):
        places.begin("one", waits(1, awaited))
    places.begin("two", waits(2, 12))

    assert [places.next_wanted(), places.next_wanted(), places.next_wanted()] == [waits(1, 99), waits(2, 12), None]
    assert not places.has_wanted


def test_no_role_has_more_than_half_of_the_places_and_all_together_no_more_than_there_are():
    places = JobWaits(4)
    for number in (1, 2):
        assert places.begin(f"a{number}", waits(number, 10)) is True
    assert places.begin("a3", waits(3, 10)) is False
    assert places.begin("b1", waits(4, 10, "bob")) is True
    assert places.begin("c1", waits(5, 10, "carol")) is True
    assert places.begin("d1", waits(6, 10, "dave")) is False
    # One that waits for another job now is no new one.
    assert places.begin("b1", waits(4, 11, "bob")) is True


def test_half_of_the_places_are_kept_for_what_is_waited_for():
    places = JobWaits(4)
    for number, role in enumerate(("alice", "bob", "carol")):
        assert places.may_begin_others
        places.begin(number, waits(number, 10, role))
    assert not places.may_begin_others


def test_without_places_to_give_away_jobs_keep_theirs():
    assert JobWaits(0).begin("one", waits(1, 11)) is False


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ('{"job": "7", "waits_for": 8}', (7, 8)),
        ('{"job": "7", "waits_for": null}', (7, None)),
        ('{"job": "7"}', None),
        ('{"job": "x", "waits_for": 8}', None),
        ("[" * 100_000, None),
        ("", None),
        ("null", None),
        ('{"job": 1e999, "waits_for": 8}', None),
    ],
)
def test_a_notice_that_tells_of_no_wait_is_none(message, said):
    assert read_wait(SimpleNamespace(sqlstate="PQ007", message_primary=message)) == said
    assert read_wait(SimpleNamespace(sqlstate="PQ001", message_primary=message)) is None
