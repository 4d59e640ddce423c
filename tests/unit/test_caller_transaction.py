import contextvars
from unittest.mock import sentinel

import pytest
from sqlalchemy import create_engine

from pgqueue.db.caller_transaction import current, driver_connection, entered


def test_what_is_no_connection_is_refused_by_name() -> None:
    with pytest.raises(TypeError, match=r"not builtins\.str"):
        driver_connection("postgresql://localhost")  # type: ignore[arg-type]


@pytest.mark.slow
def test_another_driver_than_psycopg_3_is_refused_by_name() -> None:
    engine = create_engine("sqlite://")
    with engine.connect() as connection, pytest.raises(TypeError, match=r"driver pysqlite.*postgresql\+psycopg"):
        driver_connection(connection)
    engine.dispose()


def test_what_was_begun_inside_a_block_is_outside_of_it_after_its_end() -> None:
    with entered(sentinel.outer):
        with entered(sentinel.inner):
            # What an asyncio task, or asyncio.to_thread, takes along.
            begun_inside = contextvars.copy_context()
            assert begun_inside.run(current) is sentinel.inner
        assert begun_inside.run(current) is sentinel.outer
        assert current() is sentinel.outer

    assert begun_inside.run(current) is None
    assert current() is None


def test_a_block_that_is_left_in_another_context_says_so() -> None:
    block = entered(sentinel.given)
    # As a framework does that runs both ends of a dependency in a pool of threads.
    began_in = contextvars.copy_context()
    began_in.run(block.__enter__)
    assert current() is None

    with pytest.raises(RuntimeError, match="left in another thread or asyncio task"):
        contextvars.copy_context().run(block.__exit__, None, None, None)
    assert began_in.run(current) is None
