"""The result backend: in this process alone, and with real workers (prefork) that store what this process waits for."""

from __future__ import annotations

import contextlib
import json
import os
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from functools import partial
from typing import Any

import psycopg
import pytest
from celery import Celery, chain, chord, group
from celery.exceptions import ChordError, TaskRevokedError, TimeoutError
from celery.result import AsyncResult, GroupResult

from pgqueue.errors import InvalidArgument
from pgqueue.results import PgQueueBackend
from tests.harness import Database, Worker, eventually
from tests.harness.applications import applications
from tests.harness.result_app import make_app

Background = Callable[..., "Future[Any]"]


@pytest.fixture
def make(db: Database) -> Iterator[Callable[..., Celery]]:
    """Make applications on the test's database; their sessions end with the test."""
    with applications(partial(make_app, db.dsn)) as make:
        yield make


@pytest.fixture
def app(make: Callable[..., Celery]) -> Celery:
    return make()


@pytest.fixture
def working_app(app: Celery, db: Database, start_worker: Callable[..., Worker]) -> Celery:
    """The application with a worker of two processes."""
    start_worker(db, command="celery", app="tests.harness.result_app", arguments=["--concurrency=2", "--pool=prefork"])
    return app


@contextlib.contextmanager
def notifications(db: Database) -> Iterator[list[psycopg.Notify]]:
    """Collect what the sessions that wait for results now are notified of, until the block ends."""
    heard: list[psycopg.Notify] = []
    session = db.connect()
    for (pid,) in db.execute(
        "select pid from pg_stat_activity where datname = current_database() and application_name = 'pgqueue results'"
    ):
        session.execute(psycopg.sql.SQL("listen {}").format(psycopg.sql.Identifier(f"pgqueue.r.{pid}")))
    yield heard
    heard.extend(session.notifies(timeout=0.1))


def store(app: Celery, task_id: str, state: str = "SUCCESS", result: Any = None) -> None:
    app.backend.store_result(task_id, result, state)


# States, in this process alone


def test_a_task_of_which_nothing_is_known_is_pending(app: Celery) -> None:
    assert AsyncResult("unknown", app=app).state == "PENDING"
    assert not app.backend.task_result_exists("unknown")


@pytest.mark.parametrize("late", ["STARTED", "RETRY", "FAILURE", "REVOKED", "SUCCESS", "PROGRESS"])
def test_a_success_stays(app: Celery, late: str) -> None:
    store(app, "t", "SUCCESS", 42)

    store(app, "t", late, ValueError("late") if late in ("RETRY", "FAILURE", "REVOKED") else "late")

    assert (AsyncResult("t", app=app).state, AsyncResult("t", app=app).result) == ("SUCCESS", 42)


@pytest.mark.parametrize("late", ["STARTED", "RETRY", "PROGRESS"])
def test_an_end_is_not_overwritten_by_what_was_on_the_way(app: Celery, late: str) -> None:
    store(app, "t", "FAILURE", ValueError("no"))

    store(app, "t", late, {})

    assert AsyncResult("t", app=app).state == "FAILURE"


def test_a_failure_is_followed_by_a_success_and_states_on_the_way_by_later_ones(app: Celery) -> None:
    states = []
    for state in ("STARTED", "PROGRESS", "FAILURE", "REVOKED", "SUCCESS"):
        store(app, "t", state, {"exc_type": "ValueError", "exc_message": "no"})
        states.append(AsyncResult("t", app=app).state)

    assert states == ["STARTED", "PROGRESS", "FAILURE", "REVOKED", "SUCCESS"]


def test_forgetting_makes_a_task_unknown(app: Celery, db: Database) -> None:
    store(app, "t", "STARTED")
    store(app, "t", "SUCCESS", 1)

    AsyncResult("t", app=app).forget()

    assert AsyncResult("t", app=app).state == "PENDING"
    assert db.fetch_value("select count(*) from pgqueue.task_result") == 0


@pytest.mark.parametrize("serializer", ["json", "pickle", "msgpack", "yaml"])
@pytest.mark.parametrize("compression", [None, "gzip"])
def test_results_come_back_as_they_were_whatever_writes_them(
    make: Callable[..., Celery], serializer: str, compression: str | None
) -> None:
    app = make(result_serializer=serializer, result_compression=compression, accept_content=[serializer])
    value = {"text": "ä\x00ö" if serializer != "yaml" else "äö", "numbers": [1, 2.5, None, True], "nested": {"a": []}}

    store(app, "good", "SUCCESS", value)
    store(app, "bad", "FAILURE", KeyError("lost"))

    assert AsyncResult("good", app=app).get(timeout=20) == value
    with pytest.raises(KeyError, match="lost"):
        AsyncResult("bad", app=app).get(timeout=20)


def test_groups_are_saved_restored_and_deleted(app: Celery) -> None:
    saved = GroupResult("g", [AsyncResult("a", app=app), AsyncResult("b", app=app)], app=app)
    saved.save()

    restored = GroupResult.restore("g", app=app)
    saved.delete()

    assert [result.id for result in restored.results] == ["a", "b"]
    assert GroupResult.restore("g", app=app) is None


def test_the_backend_is_pickled_by_its_url(app: Celery) -> None:
    function, (cls, args, kwargs) = app.backend.__reduce__()

    assert (cls, kwargs["url"], kwargs["expires"]) == (PgQueueBackend, app.backend.url, 86400.0)
    assert callable(function)
    assert args == ()


def test_results_expire_and_their_days_are_dropped(make: Callable[..., Celery], db: Database) -> None:
    app = make(result_expires=0.2, result_failure_expires=3600)
    store(app, "t", "SUCCESS", 1)
    store(app, "f", "FAILURE", ValueError())
    assert app.backend.task_result_exists("t")

    eventually(lambda: not app.backend.task_result_exists("t"))
    assert app.backend.task_result_exists("f")

    db.execute("select pgqueue._drop_partitions(interval '-2 days')")
    assert not app.backend.task_result_exists("f")
    db.execute("select pgqueue._make_partitions()")
    store(app, "again", "SUCCESS", 1)
    assert app.backend.task_result_exists("again")


def test_upkeep_deletes_what_has_expired_of_groups_and_chords_and_of_sessions_that_are_gone(
    make: Callable[..., Celery], db: Database
) -> None:
    app = make(result_expires=0.01)
    app.backend.save_group("g", GroupResult("g", [], app=app))
    app.backend.set_chord_size("c", 2)
    db.execute("insert into pgqueue.result_waiter (task_id, pid) values ('t', 1)")

    def is_clean() -> bool:
        db.execute("select pgqueue._expire_task_results()")
        tables = ("task_group", "chord", "result_waiter")
        return not any(db.fetch_value(f"select count(*) from pgqueue.{table}") for table in tables)

    eventually(is_clean)


# From SQL


def test_sql_reads_a_result_as_jsonb(app: Celery, db: Database) -> None:
    store(app, "t", "SUCCESS", {"answer": 42})
    store(app, "f", "FAILURE", ValueError("no"))

    good = db.fetch_value("select pgqueue.task_result('t')")
    bad = db.fetch_value("select pgqueue.task_result('f')")

    assert (good["state"], good["result"], good["task_id"], good["traceback"]) == ("SUCCESS", {"answer": 42}, "t", None)
    assert good["date_done"]
    assert (bad["state"], bad["result"]["exc_type"], bad["result"]["exc_message"]) == ("FAILURE", "ValueError", ["no"])
    assert db.fetch_value("select pgqueue.task_result('unknown')") is None


@pytest.mark.parametrize(
    "conf",
    [{"result_serializer": "pickle"}, {"result_serializer": "yaml"}, {"result_compression": "gzip"}],
    ids=["pickle", "yaml", "compressed"],
)
def test_sql_sees_the_state_of_what_it_cannot_read(
    make: Callable[..., Celery], db: Database, conf: dict[str, str]
) -> None:
    store(make(**conf), "t", "SUCCESS", 42)

    result = db.fetch_value("select pgqueue.task_result('t')")

    assert (result["state"], result["result"]) == ("SUCCESS", None)
    assert result["date_done"]


def test_a_result_that_jsonb_cannot_hold_is_a_result_without_a_value(app: Celery, db: Database) -> None:
    for task_id, value in (("nul", "\0"), ("nan", float("nan")), ("surrogate", "\ud800")):
        store(app, task_id, "SUCCESS", value)
        assert db.fetch_value("select pgqueue.task_result(%s) ->> 'state'", [task_id]) == "SUCCESS"


def test_a_user_reads_and_stores_by_id_and_reaches_no_table(db: Database) -> None:
    alice = db.create_role("alice")
    app = make_app(db.dsn_for(alice))
    store(app, "t", "SUCCESS", 1)

    session = db.connect(alice)
    row = session.execute("select pgqueue.task_result('t') ->> 'state'").fetchone()
    app.backend.database.close()

    assert row == ("SUCCESS",)
    for table in ("task_result", "task_group", "chord", "chord_part", "result_waiter"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            session.execute(psycopg.sql.SQL("select * from pgqueue.{}").format(psycopg.sql.Identifier(table)))


# Waiting, in this process alone


@pytest.mark.parametrize("payload", [b"no json", b"[]", b"{}"])
def test_a_result_that_cannot_be_read_is_an_error_for_those_who_wait_for_it_only(
    app: Celery, db: Database, in_background: Background, payload: bytes
) -> None:
    strange, other = AsyncResult("a", app=app), AsyncResult("b", app=app)
    app.backend.add_pending_result(strange)
    waiting = in_background(other.get, timeout=20)
    eventually(lambda: db.fetch_value("select count(*) = 2 from pgqueue.result_waiter"))
    with app.backend.database.transaction():
        app.backend.database.fetch(
            "store_task_result",
            task_id="a",
            state="SUCCESS",
            content_type="application/json",
            payload=payload,
            lifetime_seconds=None,
        )
        store(app, "b", "SUCCESS", 2)

    assert waiting.result() == 2
    with pytest.raises(Exception, match=r".") as raised:
        strange.get(timeout=20)
    assert not isinstance(raised.value, TimeoutError)


def test_a_wait_ends_within_moments_of_the_result(app: Celery, in_background: Background) -> None:
    waiting = in_background(AsyncResult("t", app=app).get, timeout=30)
    eventually(lambda: app.backend.result_consumer._listener.has_told({"t"}))
    began = time.monotonic()

    store(app, "t", "SUCCESS", 42)

    assert waiting.result(20) == 42
    # The look that stands behind the notification comes every ten seconds.
    assert time.monotonic() - began < 8


def test_nobody_is_notified_when_nobody_waits(app: Celery, db: Database) -> None:
    with pytest.raises(TimeoutError):
        AsyncResult("t", app=app).get(timeout=0.1)

    with notifications(db) as heard:
        store(app, "t")
        store(app, "other")

    assert heard == []


def test_who_waits_for_many_results_is_not_notified_of_each(
    app: Celery, db: Database, in_background: Background
) -> None:
    results = [AsyncResult(f"t{n}", app=app) for n in range(200)]
    waiting = in_background(GroupResult("g", results, app=app).join_native, timeout=20)
    eventually(lambda: app.backend.result_consumer._listener.has_told({"t199"}))

    with notifications(db) as heard:
        # One transaction, so that they come at once.
        with app.backend.database.transaction():
            for n in range(200):
                store(app, f"t{n}", "SUCCESS", n)
        assert waiting.result(10) == list(range(200))

    assert len(heard) == 1


def test_a_wait_has_a_timeout_and_can_be_repeated(app: Celery) -> None:
    result = AsyncResult("t", app=app)
    for _ in range(2):
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            result.get(timeout=0.2)
        assert 0.2 <= time.monotonic() - began < 10

    store(app, "t", "SUCCESS", 1)

    assert result.get(timeout=20) == 1


def test_threads_wait_side_by_side_over_one_session(app: Celery, db: Database, in_background: Background) -> None:
    waiting = [in_background(AsyncResult(f"t{n}", app=app).get, timeout=60) for n in range(5)]
    both = in_background(AsyncResult("t0", app=app).get, timeout=60)
    eventually(lambda: app.backend.result_consumer._listener.has_told({f"t{n}" for n in range(5)}))

    for n in range(5):
        store(app, f"t{n}", "SUCCESS", n)

    assert [future.result(5) for future in waiting] == list(range(5))
    assert both.result(5) == 0
    assert (
        db.fetch_value(
            "select count(*) from pg_stat_activity where datname = current_database() and application_name = 'pgqueue results'"
        )
        == 1
    )


def test_applications_that_wait_in_turn_share_one_session(make: Callable[..., Celery], db: Database) -> None:
    for number in range(5):
        app = make()
        store(app, f"t{number}", "SUCCESS", number)
        assert AsyncResult(f"t{number}", app=app).get(timeout=20) == number
        with pytest.raises(TimeoutError):
            AsyncResult("never", app=app).get(timeout=0.1)

    assert (
        db.fetch_value(
            "select count(*) from pg_stat_activity where datname = current_database() and application_name = 'pgqueue results'"
        )
        == 1
    )
    assert db.execute("select task_id from pgqueue.result_waiter") == []


def test_a_result_reaches_those_who_waited_when_their_session_was_cut(
    app: Celery, db: Database, in_background: Background
) -> None:
    waiting = in_background(AsyncResult("t", app=app).get, timeout=20)
    eventually(lambda: app.backend.result_consumer._listener.has_told({"t"}))

    db.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and application_name = 'pgqueue results'"
    )
    store(app, "t", "SUCCESS", 42)

    assert waiting.result(5) == 42


def test_a_forked_child_waits_over_a_session_of_its_own(app: Celery, db: Database) -> None:
    with pytest.raises(TimeoutError):
        AsyncResult("t", app=app).get(timeout=0.1)
    pid = os.fork()
    if pid == 0:
        try:
            answer = AsyncResult("child", app=app).get(timeout=30)
            os._exit(0 if answer == "for the child" else 1)
        finally:
            os._exit(2)

    eventually(lambda: db.fetch_value("select count(*) from pgqueue.result_waiter where task_id = 'child'"))
    store(app, "child", "SUCCESS", "for the child")
    store(app, "t", "SUCCESS", "for the parent")

    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert AsyncResult("t", app=app).get(timeout=20) == "for the parent"


def test_a_result_that_is_no_longer_wanted_is_not_waited_for(app: Celery, db: Database) -> None:
    result = AsyncResult("t", app=app)
    with pytest.raises(TimeoutError):
        result.get(timeout=0.1)

    del result
    # Whoever caught the timeout may hold the frame, and so the result, for a while.
    app.backend.result_consumer.cancel_for("t")
    store(app, "other")
    AsyncResult("other", app=app).get(timeout=20)

    assert db.execute("select task_id from pgqueue.result_waiter") == []


def test_results_survive_sessions_that_are_cut_while_idle(app: Celery, db: Database) -> None:
    store(app, "t", "SUCCESS", 1)
    db.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity where datname = %s and pid <> pg_backend_pid()",
        [db.name],
    )

    store(app, "t2", "SUCCESS", 2)

    assert AsyncResult("t2", app=app).get(timeout=20) == 2


# Chords, in this process alone


def return_part(app: Celery, place: int, *, state: str = "SUCCESS", result: Any = 1, task_id: str = "") -> None:
    from celery.app.task import Context

    body = app.tasks["total"].s().set(task_id="body", queue="callbacks")
    request = Context({"id": task_id or f"part{place}", "group": "g", "group_index": place, "chord": body})
    app.backend.on_chord_part_return(request, state, result)


def callbacks(db: Database) -> list[Any]:
    rows = db.execute("select payload from pgqueue.message where queue = 'callbacks' order by id")
    return [json.loads(payload["body"])[0][0] for (payload,) in rows]


def test_a_callback_is_sent_once_with_the_parts_in_the_order_of_the_header(app: Celery, db: Database) -> None:
    app.backend.set_chord_size("g", 3)
    for place in (2, 0, 0, 1, 1):
        return_part(app, place, result=place * 10)

    assert callbacks(db) == [[0, 10, 20]]
    # The errback hears of it a moment before the chord is closed.
    eventually(lambda: db.fetch_value("select count(*) from pgqueue.chord_part") == 0)


def test_parts_may_return_before_the_size_of_the_chord_is_known(app: Celery, db: Database) -> None:
    return_part(app, 0)
    app.backend.set_chord_size("g", 2)
    return_part(app, 1)

    assert callbacks(db) == [[1, 1]]


def test_parts_that_return_at_the_same_time_send_one_callback(
    app: Celery, db: Database, in_background: Background
) -> None:
    app.backend.set_chord_size("g", 8)

    for future in [in_background(return_part, app, place, result=place) for place in range(8)]:
        future.result(20)

    assert callbacks(db) == [list(range(8))]


def test_the_callback_and_the_decision_are_one_transaction(app: Celery, db: Database) -> None:
    app.backend.set_chord_size("g", 1)
    db.execute(
        """create function public.refuse() returns trigger language plpgsql as $$ begin raise exception 'no'; end $$;
           create constraint trigger refuse after update on pgqueue.chord initially deferred
             for each row when (new.dispatched_at is not null) execute function public.refuse()"""
    )

    with pytest.raises(psycopg.errors.RaiseException):
        return_part(app, 0)
    assert callbacks(db) == []
    db.execute("drop trigger refuse on pgqueue.chord")
    return_part(app, 0)

    assert callbacks(db) == [[1]]


@pytest.mark.parametrize("moment", ["insert on pgqueue.message", "update on pgqueue.chord"])
def test_a_session_that_is_cut_while_the_callback_is_sent_sends_it_once(app: Celery, db: Database, moment: str) -> None:
    app.backend.set_chord_size("g", 2)
    return_part(app, 0)
    db.execute(
        f"""create sequence public.cuts;
            create function public.cut() returns trigger language plpgsql as $$
            begin
              if nextval('public.cuts') = 1 then
                perform pg_terminate_backend(pg_backend_pid());
              end if;
              return new;
            end $$;
            create trigger cut before {moment} for each row execute function public.cut()"""
    )

    return_part(app, 1)

    assert callbacks(db) == [[1, 1]]


def test_a_part_that_failed_fails_the_chord_once(app: Celery, db: Database) -> None:
    app.backend.set_chord_size("g", 2)
    return_part(app, 0, state="FAILURE", result=ValueError("no"))
    assert AsyncResult("body", app=app).state == "PENDING"
    return_part(app, 1)
    return_part(app, 1)

    with pytest.raises(ChordError, match=r"part0 raised ValueError\('no'"):
        AsyncResult("body", app=app).get(timeout=20)
    assert callbacks(db) == []


def test_a_chord_that_is_called_again_runs_again(app: Celery, db: Database) -> None:
    for _ in range(2):
        app.backend.set_chord_size("g", 1)
        return_part(app, 0)

    assert callbacks(db) == [[1], [1]]


# With a worker


@pytest.mark.slow
def test_tasks_and_canvas_have_results(working_app: Celery, db: Database, in_background: Background) -> None:
    """One worker for many statements: starting it is what takes time."""
    app = working_app
    add, fail, nap = (app.tasks[name] for name in ("add", "fail", "nap"))

    # Success, failure, retry, ignored.
    assert add.delay(40, 2).get(timeout=30) == 42
    failed = fail.delay()
    with pytest.raises(ValueError, match="as planned"):
        failed.get(timeout=30)
    assert "as planned" in failed.traceback
    assert app.tasks["fail_then_succeed"].delay().get(timeout=30) == 1
    ignored = app.tasks["ignore"].delay()
    assert ignored.get(timeout=20) is None
    assert not app.backend.task_result_exists(ignored.id)

    # A state on the way is told.
    told: list[Any] = []
    assert app.tasks["report_then_return"].delay().get(timeout=30, on_message=told.append) == "done"
    assert [meta["status"] for meta in told][-2:] == ["PROGRESS", "SUCCESS"]

    # A wait that is too short, and then long enough.
    slow = nap.delay(0.5, "late")
    with pytest.raises(TimeoutError):
        slow.get(timeout=0.1)
    assert slow.get(timeout=30) == "late"

    # Several threads.
    futures = [in_background(lambda n=n: add.delay(n, n).get(timeout=20)) for n in range(8)]
    assert [future.result(30) for future in futures] == [2 * n for n in range(8)]

    # A group, and a chain.
    assert group(add.s(n, n) for n in range(20))().get(timeout=20) == [2 * n for n in range(20)]
    assert chain(add.s(1, 1), add.s(2), add.s(3))().get(timeout=30) == 7

    # A task that waits for another, in a process that was forked.
    assert app.tasks["spawn_then_wait"].delay().get(timeout=30) == 42

    # Revoked before it begins.
    revoked = add.apply_async((1, 1), countdown=0.5)
    revoked.revoke()
    with pytest.raises(TaskRevokedError):
        revoked.get(timeout=30)

    # Sent and read from SQL.
    db.execute("select pgqueue.enroll('postgres')")
    task_id = db.fetch_value("select pgqueue.send_task('add', '[1, 2]')")
    assert AsyncResult(task_id, app=app).get(timeout=30) == 3
    assert db.fetch_value("select pgqueue.task_result(%s) -> 'result'", [task_id]) == 3

    # Nothing is left of the waits.
    assert db.execute("select task_id from pgqueue.result_waiter") == []


@pytest.mark.slow
def test_chords_run_their_callback(working_app: Celery, db: Database) -> None:
    app = working_app
    add, fail, total = (app.tasks[name] for name in ("add", "fail", "total"))

    assert chord(add.s(n, n) for n in range(50))(total.s()).get(timeout=30) == 2 * sum(range(50))
    # Groups in the header keep their structure.
    nested = chord([group(add.s(1, 1), add.s(2, 2)), add.s(3, 3)])(total.s())
    assert nested.get(timeout=30) == 12
    # A chord in a chord, and a chain into a chord.
    inner = chord([add.s(1, 1), add.s(2, 2)], total.s())
    assert chord([inner, add.s(3, 3)])(total.s()).get(timeout=30) == 12
    assert chain(add.s(1, 1), group(add.s(1), add.s(2)), total.s())().get(timeout=30) == 7
    # A chain in the header, and a group as the callback.
    assert chord([chain(add.s(1, 1), add.s(2)), add.s(1, 1)])(total.s()).get(timeout=30) == 6
    assert chord([add.s(1, 1), add.s(2, 2)], group(total.s(), total.s()))().get(timeout=30) == [6, 6]

    # A part that fails: the body has the error, and its errback hears of it.
    body = total.s()
    body.link_error(app.tasks["note_error"].s().set(task_id="errback"))
    failed = chord([add.s(1, 1), fail.s()])(body)
    with pytest.raises(ChordError, match="as planned"):
        AsyncResult(failed.id, app=app).get(timeout=30)  # without its parents, whose own errors would come first
    assert AsyncResult("errback", app=app).get(timeout=30) == f"heard of {failed.id}"

    # The errback hears of it a moment before the chord is closed.
    eventually(lambda: db.fetch_value("select count(*) from pgqueue.chord_part") == 0)


@pytest.mark.slow
def test_pgqueue_worker_keeps_results_of_tasks_and_none_of_jobs(
    db: Database, start_worker: Callable[..., Worker]
) -> None:
    from pgqueue.tasks import make_app as make_pgqueue_app

    db.execute("select pgqueue.enroll('postgres')")
    start_worker(db, arguments=["--concurrency=1", "--executors=1"])
    app = make_pgqueue_app(db.dsn)

    result = app.send_task("celery.accumulate", (1, 2))
    handle = db.fetch_value("select pgqueue.launch('select 1')::text")
    assert db.fetch_value("select pgqueue.wait(%s::text::pgqueue.handle, '20 s')", [handle])
    failing = db.fetch_value("select pgqueue.launch('select 1/0')::text")
    assert db.fetch_value("select pgqueue.wait(%s::text::pgqueue.handle, '20 s')", [failing])

    assert result.get(timeout=30) == [1, 2]
    assert db.execute("select distinct task_id from pgqueue.task_result") == [(result.id,)]
    app.pool.force_close_all()
    app.backend.result_consumer.stop()
    app.backend.database.close()


def test_a_result_is_found_by_a_uuid(app: Celery) -> None:
    an_id = uuid.uuid4()
    app.backend.store_result(str(an_id), 3, "SUCCESS")

    assert app.AsyncResult(an_id).state == "SUCCESS"
    assert app.AsyncResult(an_id).get(timeout=10) == 3
    assert dict(app.backend.get_many([an_id], timeout=10))[an_id]["result"] == 3
    assert not app.backend._pending_results.concrete


@pytest.mark.parametrize("bad", ["a\0b", "\ud800"])
def test_an_id_that_no_task_can_have_fails_only_who_asks_for_it(app: Celery, bad: str) -> None:
    with pytest.raises(InvalidArgument):
        app.AsyncResult(bad).get(timeout=1)
    with pytest.raises(InvalidArgument):
        app.AsyncResult(bad).state  # noqa: B018 - it asks

    app.backend.store_result("good", 4, "SUCCESS")
    assert app.AsyncResult("good").get(timeout=10) == 4


def test_an_extended_result_knows_the_limit_key_with_which_the_task_is_sent_again(
    app: Celery, db: Database, start_worker: Callable[..., Worker]
) -> None:
    start_worker(
        db,
        command="celery",
        app="tests.harness.result_app",
        arguments=["--concurrency=1", "--pool=prefork"],
        environment={"RESULT_EXTENDED": "1"},
    )
    failed = app.tasks["fail"].apply_async(headers={"limit_key": "tenant 7"})
    with pytest.raises(ValueError, match="as planned"):
        failed.get(timeout=60)

    db.execute("select pgqueue.enroll('postgres')")
    sent = db.fetch_value("select pgqueue.retry_task(%s)", [failed.id])
    with pytest.raises(ValueError, match="as planned"):
        AsyncResult(sent, app=app).get(timeout=60)

    keys = "select array_agg(convert_from(payload, 'UTF8')::jsonb ->> 'limit_key') from pgqueue.task_result"
    assert db.fetch_value(keys) == ["tenant 7", "tenant 7"]
