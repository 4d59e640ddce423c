"""What the result backend does without a server."""

import threading

from celery import Celery

from pgqueue.db.database import Database
from pgqueue.results import PgQueueBackend
from pgqueue.results.listener import ResultListener


def make_backend(url: str = "pgqueue://alice:secret@db.example/shop?sslmode=require") -> PgQueueBackend:
    return Celery(backend=url, set_as_current=False).backend


def test_the_scheme_makes_the_backend() -> None:
    assert isinstance(make_backend(), PgQueueBackend)


def test_the_url_is_shown_without_its_password() -> None:
    assert make_backend().as_uri() == "pgqueue://alice@db.example/shop?sslmode=require"
    assert make_backend().as_uri(include_password=True) == "pgqueue://alice:secret@db.example/shop?sslmode=require"


def test_threads_share_one_backend() -> None:
    app = Celery(backend="pgqueue://db.example/shop", set_as_current=False)
    seen = []

    thread = threading.Thread(target=lambda: seen.append(app.backend))
    thread.start()
    thread.join()

    assert seen == [app.backend]


def test_broker_and_backend_share_the_sessions_of_one_database_however_it_is_spelled() -> None:
    assert Database.for_dsn("dbname=shop host=db.example password=p") is Database.for_dsn(
        "pgqueue://:p@db.example/shop"
    )


def test_giving_up_a_result_never_waits_for_the_thread_that_listens() -> None:
    consumer = make_backend().result_consumer
    consumer.consume_from("t")
    gave_up = threading.Event()

    def give_up() -> None:
        consumer.cancel_for("t")
        gave_up.set()

    with consumer._turns:
        threading.Thread(target=give_up).start()
        assert gave_up.wait(5)


def test_a_wake_ends_a_sleep_also_one_that_has_not_begun() -> None:
    watch = ResultListener("")
    watch._is_asleep = True

    watch.wake()

    assert not watch.sleep(10)
    assert watch.sleep(0.01)
