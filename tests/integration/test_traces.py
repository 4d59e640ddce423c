"""Traces: from a request through a trigger and a task to SQL jobs, in spans and in what messages carry."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from celery import _state
from celery.contrib.testing.worker import start_worker
from opentelemetry import trace
from opentelemetry.instrumentation.celery import CeleryInstrumentor
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import pgqueue
from pgqueue import aio, tracing
from pgqueue.broker import process_identity
from pgqueue.tasks.app import make_app
from tests.harness import Database, eventually
from tests.harness.database import Connection
from tests.harness.executors import Executors
from tests.harness.jobs import launch, submit
from tests.harness.people import fetch_value, refused

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
UNSAMPLED = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
PROCESS = {
    "messaging.system": "pgqueue",
    "messaging.operation.name": "process",
    "messaging.operation.type": "process",
    "messaging.destination.name": "default",
}
BAD = [
    *("", "x", TRACE.upper(), TRACE[:-3], f"ff{TRACE[2:]}"),
    *(
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
    ),
]


class Spans:
    """A provider whose spans are kept in memory."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer = self.provider.get_tracer("test")

    def find(self, name: str, count: int = 1) -> list[ReadableSpan]:
        """Wait for spans of a name that have ended, in the order of their ends."""

        def named() -> list[ReadableSpan]:
            return [span for span in self._exporter.get_finished_spans() if span.name == name]

        eventually(lambda: len(named()) >= count, 30, what=f"{count} spans {name}")
        assert len(named()) == count
        return named()

    def all(self) -> list[ReadableSpan]:
        """Return all that have ended."""
        return list(self._exporter.get_finished_spans())


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Spans:
    """A process that traces."""
    spans = Spans()
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", spans.provider)
    return spans


@pytest.fixture
def workers(spans: Spans, db: Database) -> Iterator[Executors]:
    """Executors of a worker that traces."""
    started = Executors(db)
    try:
        yield started
    finally:
        started.stop()


def id_of(traceparent: str) -> int:
    return int(traceparent.split("-")[2], 16)


def parent_of(span: ReadableSpan) -> int | None:
    return None if span.parent is None else span.parent.span_id


def test_a_request_a_trigger_a_task_and_the_jobs_it_submits_are_one_trace(
    spans: Spans, db: Database, alice: Connection, owner: Connection
) -> None:
    owner.execute(
        "create table public.orders (id int); grant all on public.orders to alice;"
        "create trigger placed after insert on public.orders for each row"
        " execute function pgqueue.enqueue_trigger('task', 'shop.placed', 'id')"
    )
    app = make_app(db.dsn_for(db.worker_role()))

    @app.task(name="shop.placed")
    def placed(order: int) -> None:
        with pgqueue.connect(db.dsn_for("alice")) as client:
            client.launch("select pgqueue.enqueue('select 1', queue => 'default'), $1::int", order)

    CeleryInstrumentor().instrument(tracer_provider=spans.provider)
    root = logging.getLogger()
    # Celery's worker sets them up anew, and other tests read what is logged.
    level, handlers = root.level, root.handlers[:]
    # And it makes its application the current one and the default one.
    current, default = _state._tls.current_app, _state.default_app
    try:
        with start_worker(app, pool="solo", perform_ping_check=False):
            request = spans.tracer.start_as_current_span("request")
            with request, alice.transaction(), pgqueue.in_transaction(alice):
                alice.execute("insert into public.orders values (7)")
            process = spans.find("process default", 2)
    finally:
        CeleryInstrumentor().uninstrument()
        root.setLevel(level)
        root.handlers[:] = handlers
        _state._set_current_app(current)
        _state.set_default_app(default)
        # This process is no worker any more, and the next test may consume with it.
        process_identity._become_nobody()

    (root,), (task,), (sent,) = (spans.find(name) for name in ("request", "run/shop.placed", "send default"))
    assert {span.context.trace_id for span in spans.all()} == {root.context.trace_id}
    launched, enqueued = process
    if parent_of(launched) != sent.context.span_id:
        launched, enqueued = enqueued, launched
    assert [parent_of(span) for span in (root, task, sent, launched, enqueued)] == [
        None,
        *(span.context.span_id for span in (root, task, sent, launched)),
    ]
    assert [span.kind for span in (sent, launched, enqueued)] == [
        trace.SpanKind.PRODUCER,
        *[trace.SpanKind.CONSUMER] * 2,
    ]
    assert sent.attributes == {
        **PROCESS,
        "messaging.operation.name": "send",
        "messaging.operation.type": "send",
        "messaging.message.id": launched.attributes["messaging.message.id"],
    }


@pytest.mark.parametrize("way_in", [launch, submit])
def test_the_span_of_a_job_says_what_it_was_and_how_it_ended(
    way_in: Any, alice: Connection, spans: Spans, workers: Executors
) -> None:
    good = way_in(alice, "select 1", traceparent=TRACE)
    good.end()
    bad = way_in(alice, "select 1 / 0", traceparent=TRACE)
    bad.end()

    done, failed = spans.find("process default", 2)

    for span, job in ((done, good), (failed, bad)):
        assert span.context.trace_id == int(TRACE[3:35], 16)
        assert parent_of(span) == id_of(TRACE)
        expected = {**PROCESS, "messaging.message.id": f"job-{job.id}", "pgqueue.attempt": 1}
        assert {name: span.attributes[name] for name in expected} == expected
        assert span.end_time >= span.start_time
    assert "error.type" not in done.attributes
    assert (failed.attributes["error.type"], failed.status.status_code) == ("22012", trace.StatusCode.ERROR)
    assert "division" not in str(failed.to_json())


@pytest.mark.parametrize("way_in", [launch, submit])
def test_a_retry_is_a_span_of_its_own_linked_to_the_first(
    way_in: Any, alice: Connection, spans: Spans, workers: Executors
) -> None:
    way_in(alice, "select 1 / 0", traceparent=TRACE, max_attempts=3, backoff="1 ms").end()

    first, second, third = spans.find("process default", 3)

    assert {parent_of(span) for span in (first, second, third)} == {id_of(TRACE)}
    assert first.links == ()
    assert [[link.context.span_id for link in span.links] for span in (second, third)] == [[first.context.span_id]] * 2
    assert [span.attributes["pgqueue.attempt"] for span in (first, second, third)] == [1, 2, 3]


@pytest.mark.parametrize("way_in", [launch, submit])
def test_a_job_without_a_recorded_trace_has_no_span(
    way_in: Any, alice: Connection, spans: Spans, workers: Executors
) -> None:
    way_in(alice, "select 1").end()
    way_in(alice, "select 1", traceparent=UNSAMPLED).end()
    way_in(alice, "select 1", traceparent=TRACE).end()
    way_in(alice, "select 1", traceparent=UNSAMPLED).end()

    assert len(spans.find("process default")) == 1


def test_the_next_job_of_a_session_has_not_the_span_of_the_one_before(
    alice: Connection, owner: Connection, spans: Spans, workers: Executors
) -> None:
    owner.execute("create table public.seen (n int, trace text); grant all on public.seen to alice")
    insert = "insert into public.seen values ({}, current_setting('pgqueue.traceparent', true))"
    for n, options in enumerate(({"traceparent": TRACE}, {}, {"traceparent": UNSAMPLED}, {"traceparent": TRACE})):
        submit(alice, insert.format(n), **options).end()

    first, last = spans.find("process default", 2)

    rows = owner.execute("select coalesce(trace, '') from public.seen order by n").fetchall()
    assert [row[0] for row in rows] == [
        tracing.to_traceparent(first.context),
        "",
        UNSAMPLED,
        tracing.to_traceparent(last.context),
    ]


def test_what_a_program_enqueues_carries_the_span_of_its_sending(db: Database, alice: Connection, spans: Spans) -> None:
    with pgqueue.connect(db.dsn_for("alice")) as client:
        with spans.tracer.start_as_current_span("request") as request:
            client.enqueue("select 1")
            client.enqueue("select 2", traceparent=TRACE)
            client.enqueue_many(["select 3", "select 4"])
            client.send_task("shop.t")
            client.send_task("shop.t", headers={"traceparent": TRACE})
        with pytest.raises(pgqueue.PgQueueError):
            client.enqueue("select 1", priority=99)

    one, many, failed = spans.find("send default", 3)
    (task,) = spans.find("send celery")
    assert {parent_of(span) for span in (one, many, task)} == {request.get_span_context().span_id}
    assert many.attributes["messaging.batch.message_count"] == 2
    assert failed.attributes["error.type"] == "22023"
    carried = [
        row[0]
        for row in db.connect().execute(
            "select settings ->> 'pgqueue.traceparent' from pgqueue.message where kind = 'job' order by id"
        )
    ]
    assert carried == [tracing.to_traceparent(one.context), TRACE, *[tracing.to_traceparent(many.context)] * 2]
    headers = db.connect().execute(
        "select payload -> 'headers' ->> 'traceparent', payload -> 'headers' ->> 'id' from pgqueue.message where kind = 'task' order by id"
    )
    (sent, task_id), (given, _) = headers.fetchall()
    assert (sent, given) == (tracing.to_traceparent(task.context), TRACE)
    assert task.attributes["messaging.message.id"] == task_id


def test_the_client_for_asyncio_does_the_same(db: Database, alice: Connection, spans: Spans) -> None:
    async def send() -> None:
        async with aio.connect(db.dsn_for("alice")) as client:
            with spans.tracer.start_as_current_span("request"):
                await asyncio.gather(client.enqueue("select 1"), client.send_task("shop.t"))
                with pytest.raises(pgqueue.PgQueueError):
                    await client.enqueue("select 1", priority=99)

    asyncio.run(send())

    (request,), (sent, failed), (task,) = (
        spans.find(name, count) for name, count in (("request", 1), ("send default", 2), ("send celery", 1))
    )
    assert {parent_of(span) for span in (sent, failed, task)} == {request.context.span_id}
    assert failed.attributes["error.type"] == "22023"
    assert sent.attributes["messaging.message.id"].startswith("job-")


def test_a_celery_task_has_the_current_span_as_a_header(db: Database, spans: Spans) -> None:
    app = make_app(db.dsn)
    with spans.tracer.start_as_current_span("request") as request:
        app.send_task("shop.t")
        app.send_task("shop.t", headers={"traceparent": TRACE})
        with pytest.raises(Exception, match="is not one"):
            app.send_task("shop.t", headers={"traceparent": "x"})
    app.send_task("shop.t")

    rows = db.connect().execute("select payload -> 'headers' ->> 'traceparent' from pgqueue.message order by id")
    assert [row[0] for row in rows] == [tracing.to_traceparent(request.get_span_context()), TRACE, None]


def test_a_program_that_does_not_trace_makes_no_span(db: Database, alice: Connection, executors: Executors) -> None:
    assert tracing.find_tracer() is None
    assert executors.pool.context.tracer is None
    with pgqueue.connect(db.dsn_for("alice")) as client:
        job = client.enqueue("select current_setting('pgqueue.traceparent', true)", keep_result=True)
        assert job.result() in ([(None,)], [("",)])
    launch(alice, "select 1", traceparent=TRACE).end()
    submit(alice, "select 1", traceparent=TRACE).end()


class TestSql:
    """The setting pgqueue.traceparent in the transaction that submits."""

    pytestmark = pytest.mark.every_server

    @pytest.fixture(autouse=True)
    def orders(self, alice: Connection, owner: Connection) -> None:
        owner.execute("create table public.orders (id int); grant all on public.orders to alice")

    def carried(self, owner: Connection) -> list[str | None]:
        rows = owner.execute(
            "select coalesce(settings ->> 'pgqueue.traceparent', payload -> 'headers' ->> 'traceparent') from pgqueue.message order by id"
        )
        return [row[0] for row in rows]

    @pytest.mark.parametrize(
        "call",
        [
            "select pgqueue.launch('select 1')",
            "select pgqueue.submit('select 1', label => 'x')",
            "select pgqueue.enqueue('select 1')",
            "select pgqueue.enqueue('select 1', priority => 3)",
            "select pgqueue.enqueue_many(array['select 1'])",
            "select pgqueue.send_task('shop.t')",
            "select pgqueue.send_task('shop.t', headers => '{\"a\": 1}')",
        ],
    )
    def test_it_is_passed_on_and_only_in_its_transaction(self, call: str, alice: Connection, owner: Connection) -> None:
        alice.execute(call)
        with alice.transaction():
            alice.execute(f"set local pgqueue.traceparent = '{TRACE}'")
            alice.execute(call)
        alice.execute(call)

        assert self.carried(owner) == [None, TRACE, None]

    @pytest.mark.parametrize(
        "arguments",
        ["'sql', 'select $1', 'id'", "'sql', 'select 1', '', 'label=x'", "'task', 'shop.t', 'id'", "'task', 'shop.t'"],
    )
    @pytest.mark.parametrize(
        "level", ["for each row", "referencing new table as added for each statement"], ids=["row", "statement"]
    )
    def test_triggers_pass_it_on(self, arguments: str, level: str, alice: Connection, owner: Connection) -> None:
        owner.execute(
            f"create trigger t after insert on public.orders {level} execute function pgqueue.enqueue_trigger({arguments})"
        )
        for value in (None, TRACE, UNSAMPLED):
            with alice.transaction():
                if value is not None:
                    alice.execute("select set_config('pgqueue.traceparent', %s, true)", [value])
                alice.execute("insert into public.orders values (1)")

        assert self.carried(owner) == [None, TRACE, UNSAMPLED]

    def test_a_trigger_sees_it_change_within_a_statement(self, alice: Connection, owner: Connection) -> None:
        owner.execute(
            "create trigger t after insert on public.orders for each row execute function pgqueue.enqueue_trigger('sql', 'select 1')"
        )
        alice.execute(
            f"""do $$ begin
              insert into public.orders values (1);
              perform set_config('pgqueue.traceparent', '{TRACE}', true);
              insert into public.orders values (2);
            end $$"""
        )

        assert self.carried(owner) == [None, TRACE]

    def test_an_option_goes_before_it(self, alice: Connection, owner: Connection) -> None:
        with alice.transaction():
            alice.execute(f"set local pgqueue.traceparent = '{UNSAMPLED}'")
            alice.execute("select pgqueue.enqueue('select 1', traceparent => %s)", [TRACE])
            alice.execute("select pgqueue.send_task('shop.t', headers => %s)", [json.dumps({"traceparent": TRACE})])

        assert self.carried(owner) == [TRACE, TRACE]

    @pytest.mark.parametrize("bad", BAD)
    def test_a_bad_setting_is_ignored_and_a_bad_option_refused(
        self, bad: str, alice: Connection, owner: Connection
    ) -> None:
        with alice.transaction():
            alice.execute("select set_config('pgqueue.traceparent', %s, true)", [bad])
            alice.execute("select pgqueue.enqueue('select 1'), pgqueue.send_task('shop.t')")

        assert self.carried(owner) == [None, None]
        for call, value in (
            ("select pgqueue.enqueue('select 1', traceparent => %s)", bad),
            ("select pgqueue.send_task('shop.t', headers => %s)", json.dumps({"traceparent": bad})),
        ):
            error = refused(alice, call, [value])
            assert (error.sqlstate, error.diag.message_primary) == ("22023", f'traceparent "{bad}" is not one')

    def test_a_schedule_has_none(self, alice: Connection, owner: Connection) -> None:
        with alice.transaction():
            alice.execute(f"set local pgqueue.traceparent = '{TRACE}'")
            alice.execute("select pgqueue.schedule('s', '@daily', 'select 1')")

        assert fetch_value(owner, "select settings ? 'pgqueue.traceparent' from pgqueue.schedule") is False

    def test_a_job_passes_its_trace_on(self, alice: Connection, owner: Connection, executors: Executors) -> None:
        for way_in in (launch, submit):
            way_in(alice, "select pgqueue.send_task('shop.t')", traceparent=TRACE).end()

        assert self.carried(owner) == [TRACE, TRACE]


@pytest.mark.parametrize("text", ["", "zz", "00-1-2-zz", TRACE[:-2] + "zz", TRACE + "01"])
def test_a_text_that_a_role_has_written_and_that_is_no_traceparent_stops_no_worker(text: str) -> None:
    assert not tracing.is_sampled(text)
