"""Which errors Celery and kombu take for a lost connection, so that they connect again and no worker ends."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest
from amqp.exceptions import RecoverableConnectionError
from celery import Celery
from kombu import Connection
from kombu.exceptions import OperationalError

import pgqueue.broker.transport
from pgqueue import errors
from pgqueue.db.result_error import result_error

LOST = [
    psycopg.OperationalError("connection refused"),
    psycopg.errors.ConnectionTimeout("connection timeout expired"),
    psycopg.InterfaceError("the connection is closed"),
    psycopg.errors.AdminShutdown("57P01"),
    psycopg.errors.CrashShutdown("57P02"),
    psycopg.errors.CannotConnectNow("57P03"),
    psycopg.errors.DatabaseDropped("57P04"),
    psycopg.errors.IdleSessionTimeout("57P05"),
    psycopg.errors.TooManyConnections("53300"),
    psycopg.errors.ConnectionFailure("08006"),
    psycopg.errors.ProtocolViolation("08P01"),
    psycopg.errors.ReadOnlySqlTransaction("25006"),
    RecoverableConnectionError("channel disconnected"),
    errors.WorkerUnknown("the server gave it up"),
]
#: kombu tries to connect for as long, in seconds, when it is asked for the default channel.
QUICKLY = {"interval_start": 0.01, "interval_step": 0, "interval_max": 0.01, "connect_retries_timeout": 0.02}
URL = "pgqueue://nobody@127.0.0.1:1/nothing"


def name(failure: Exception) -> str:
    return type(failure).__name__


@pytest.fixture
def refuse(monkeypatch: pytest.MonkeyPatch) -> Callable[[Exception], None]:
    """Let each attempt to connect fail so."""

    def refuse(failure: Exception) -> None:
        def fail(_database: object) -> None:
            raise failure

        monkeypatch.setattr(pgqueue.broker.transport, "require_usable_schema", fail)

    return refuse


@pytest.mark.parametrize("failure", LOST, ids=name)
def test_kombu_tries_again(failure: Exception, refuse: Callable[[Exception], None]) -> None:
    refuse(failure)
    attempts: list[Exception] = []

    with pytest.raises(OperationalError), Connection(URL) as connection:
        connection.ensure_connection(
            lambda error, _interval: attempts.append(error), max_retries=2, interval_start=0, interval_step=0
        )

    assert attempts == [failure, failure]


@pytest.mark.parametrize("failure", LOST, ids=name)
def test_when_kombu_has_given_up_a_worker_connects_again(
    failure: Exception, refuse: Callable[[Exception], None]
) -> None:
    refuse(failure)
    recovers_from = Celery(broker=URL, set_as_current=False).connection_for_read().connection_errors

    with pytest.raises(recovers_from), Connection(URL, transport_options=QUICKLY) as connection:
        _ = connection.default_channel


def test_kombu_does_not_try_again_what_it_has_given_up(refuse: Callable[[Exception], None]) -> None:
    given_up = OperationalError("the session of this worker is lost")
    refuse(given_up)
    attempts: list[Exception] = []

    with pytest.raises(OperationalError) as raised, Connection(URL) as connection:
        connection.ensure_connection(lambda error, _interval: attempts.append(error), max_retries=2)

    assert raised.value is given_up
    assert not attempts


def test_a_result_that_libpq_has_made_itself_is_a_lost_connection() -> None:
    """It makes one without a SQLSTATE when the server goes away while it waits for an answer, to a PREPARE say."""
    away = psycopg.pq.PGconn.connect_start(b"host=/nonexistent")
    result = away.make_empty_result(psycopg.pq.ExecStatus.FATAL_ERROR)

    assert isinstance(result_error(result, "utf-8"), psycopg.OperationalError)
    assert not isinstance(psycopg.errors.error_from_result(result), psycopg.OperationalError)
