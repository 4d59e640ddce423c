"""What becomes of an error's fields, and how Celery shows them."""

import errno
import os

import psycopg
import pytest

from pgqueue.worker.running.error_fields import (
    ConnectionLost,
    SqlstateError,
    canceled,
    fields_of,
    print_error,
    timed_out,
    to_exception,
)


def test_a_fault_has_the_fields_that_were_given():
    assert fields_of(SqlstateError("22023", "no", hint="Do.")) == {"sqlstate": "22023", "message": "no", "hint": "Do."}


def test_a_lost_connection_without_a_last_word_is_08006():
    lost = ConnectionLost(psycopg.OperationalError("server closed the connection\n\tunexpectedly"))

    assert fields_of(lost) == {"sqlstate": "08006", "message": "server closed the connection unexpectedly"}


def test_only_an_end_that_nobody_has_explained_is_counted_against_the_job():
    unexplained = ConnectionLost(psycopg.OperationalError("server closed the connection"))
    explained = ConnectionLost(
        psycopg.errors.lookup("25P03")("terminating connection due to idle-in-transaction timeout")
    )
    word = {"sqlstate": "57P02", "message": "terminating connection because of crash of another server process"}
    everybodys = ConnectionLost(psycopg.OperationalError("server closed the connection"), word)

    assert unexplained.charge == {**unexplained.fields, "session_lost": "true"}
    assert explained.charge == explained.fields
    assert everybodys.charge == everybodys.fields == word
    assert [lost.is_everybodys for lost in (unexplained, explained, everybodys)] == [False, False, True]


def test_a_connection_that_the_network_lost_is_told_from_one_that_the_server_closed():
    cut = f"consuming input failed: could not receive data from server: {os.strerror(errno.ETIMEDOUT)}"

    assert ConnectionLost(psycopg.OperationalError(cut)).is_cut
    assert not ConnectionLost(psycopg.OperationalError("server closed the connection unexpectedly")).is_cut


def test_a_full_disk_of_the_worker_is_an_io_error():
    assert fields_of(OSError(28, "No space left on device"))["sqlstate"] == "58030"


def test_an_error_of_pgqueue_itself_is_internal():
    assert fields_of(ValueError("oops")) == {"sqlstate": "XX000", "message": "pgqueue worker: ValueError: oops"}


def test_cancel_and_timeout_read_as_postgresql_says_them():
    assert canceled().fields["message"] == "canceling statement due to user request"
    assert timed_out().fields["message"] == "canceling statement due to statement timeout"
    assert canceled().fields["sqlstate"] == timed_out().fields["sqlstate"] == "57014"


def test_an_error_is_printed_as_psql_prints_it():
    fields = {"sqlstate": "23505", "message": "duplicate", "detail": "Key.", "hint": None, "constraint": "t_pkey"}

    assert print_error(fields) == "ERROR:  23505: duplicate\nDETAIL:  Key.\nCONSTRAINT NAME:  t_pkey"


@pytest.mark.parametrize(
    ("sqlstate", "name"), [("23505", "UniqueViolation"), ("57014", "QueryCanceled"), ("XY123", "DatabaseError")]
)
def test_the_exceptions_name_says_what_the_sqlstate_means(sqlstate, name):
    assert type(to_exception({"sqlstate": sqlstate, "message": "m"})).__name__ == name
