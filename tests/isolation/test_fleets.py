"""Hosts of one name that report at the same time.

A report inserts or updates the row of its host in one statement, under the row's lock. Two first reports meet in the
unique index, two takeovers in the row: the second waits, then sees the first's commit, and finds the lease taken.
"""

import threading

import psycopg
import pytest

from tests.sql.test_fleets import A, B, host, pass_by, report

__all__ = ["host"]


def _meet(db, first, instance):
    """Let another process report while the first one's report is not committed; return what each is told."""
    second = db.connect(db.worker_role())
    told = []
    thread = threading.Thread(target=lambda: told.extend(report(second, instance=instance)))
    thread.start()
    thread.join(0.5)
    assert thread.is_alive()
    first.execute("commit")
    thread.join(30)
    return told[0][0]


def test_of_two_first_reports_one_gets_the_host(db, host):
    host.execute("begin")
    assert report(host)[0][0] is True

    assert _meet(db, host, B) is False


def test_of_two_that_take_over_a_silent_host_one_gets_it(db, owner, host):
    report(host, instance=A)
    pass_by(owner, 60)
    taking = db.connect(db.worker_role())
    taking.execute("begin")
    assert report(taking, instance=B)[0][0] is True

    assert _meet(db, taking, A) is False


def test_a_host_that_reports_again_while_another_takes_over_keeps_it(db, owner, host):
    report(host, instance=A)
    pass_by(owner, 60)
    host.execute("begin")
    assert report(host, instance=A)[0][0] is True

    assert _meet(db, host, B) is False


@pytest.mark.slow
def test_a_report_waits_for_a_session_that_holds_its_row_for_two_seconds_at_most(db, host):
    report(host)
    holder = db.connect(db.worker_role())
    holder.execute("begin")
    report(holder)

    with pytest.raises(psycopg.errors.LockNotAvailable):
        report(host)
    holder.execute("rollback")

    assert report(host)[0][0] is True
