import pytest
from sqlalchemy import create_engine

from pgqueue.caller_transaction import driver_connection


def test_what_is_no_connection_is_refused_by_name() -> None:
    with pytest.raises(TypeError, match=r"not builtins\.str"):
        driver_connection("postgresql://localhost")  # type: ignore[arg-type]


def test_another_driver_than_psycopg_3_is_refused_by_name() -> None:
    engine = create_engine("sqlite://")
    with engine.connect() as connection, pytest.raises(TypeError, match=r"driver pysqlite.*postgresql\+psycopg"):
        driver_connection(connection)
    engine.dispose()
