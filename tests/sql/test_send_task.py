"""send_task: what Celery's own code makes of the messages that SQL builds."""

import datetime as dt
import json

import pytest
from celery import Celery
from celery.worker.request import Request
from kombu.message import Message
from kombu.transport.virtual import Channel

from tests.harness.people import fetch_value, refused


@pytest.fixture
def app():
    app = Celery("tests", broker="memory://", set_as_current=False)
    app.conf.accept_content = ["json"]

    @app.task(name="shop.place", shared=False)
    def place(*args, **kwargs):
        return args, kwargs

    app.finalize()
    yield app
    app.close()


def receive(app, worker, queue="celery"):
    """A claimed message as a worker's request: Celery's own decoding."""
    claim = worker.claim_one(queue, kind="task")
    raw = claim.message
    properties = {**raw["properties"], "delivery_tag": str(claim.id)}
    message = Message(
        body=raw["body"],
        channel=None,
        content_type=raw["content-type"],
        content_encoding=raw["content-encoding"],
        headers=raw["headers"],
        properties=properties,
        delivery_info=properties["delivery_info"],
        accept=["application/json"],
    )
    request = Request(message, app=app, hostname="here", task=app.tasks[raw["headers"]["task"]])
    args, kwargs, embed = message.payload
    return request, args, kwargs, embed


def test_celery_reads_the_message(app, alice, worker):
    task_id = fetch_value(
        alice,
        'select pgqueue.send_task(\'shop.place\', \'[1, "zwei", null, [true], 1.5]\', \'{"gift": {"wrap": "ä"}}\')',
    )

    request, args, kwargs, embed = receive(app, worker)

    assert (request.id, request.root_id, request.parent_id, request.name) == (task_id, task_id, None, "shop.place")
    assert args == [1, "zwei", None, [True], 1.5]
    assert kwargs == {"gift": {"wrap": "ä"}}
    assert embed == {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
    assert request.correlation_id == task_id
    assert (request.eta, request.expires, request.ignore_result, request.time_limits) == (
        None,
        None,
        False,
        [None, None],
    )


def test_celery_runs_it(app, alice, worker):
    alice.execute("select pgqueue.send_task('shop.place', jsonb_build_array(42), jsonb_build_object('gift', true))")
    request, *_ = receive(app, worker)

    answer = request.execute(loglevel=0)

    assert answer == ((42,), {"gift": True})


def test_it_looks_like_what_celery_itself_sends(app, alice, worker):
    sent = app.amqp.as_task_v2("some-id", "shop.place", args=(1, "a"), kwargs={"b": None}, root_id="some-id")
    alice.execute("select pgqueue.send_task('shop.place', '[1, \"a\"]', '{\"b\": null}', task_id => 'some-id')")
    message = worker.claim_one("celery", kind="task").message

    ours, theirs = message["headers"], sent.headers
    assert set(theirs) - {"stamped_headers", "stamps"} <= set(ours)
    same = ("lang", "task", "id", "shadow", "eta", "expires", "group", "group_index", "retries", "timelimit", "root_id")
    for name in (*same, "parent_id", "argsrepr", "kwargsrepr", "ignore_result", "replaced_task_nesting"):
        assert ours[name] == theirs[name], name
    args, kwargs, embed = json.loads(message["body"])
    assert ((tuple(args), kwargs, embed)) == sent.body
    assert message["properties"]["delivery_mode"] == 2


ARGUMENTS = [
    ([], {}),
    ([1], {}),
    ([1, 2.5, -3], {"a": 1, "b": "two"}),
    ([None, True, False], {"none": None}),
    (["it's", 'say "hi"', "both ' and \"", "back\\slash", "new\nline"], {}),
    (["tab\tand\rreturn", "\x01\x1f\x7f\xa0\xad", "ä €", ""], {"it's": 'a "key"'}),
    ([1.0, -0.25, 1e-7, 10**20, 1234.5678, 0], {}),
    ([["nested", [1]], {"deep": {"er": []}}], {"empty": {}}),
    ([9.99, 1234567.8901, 0.5, -0.0001, 0.00001, 12345678901.5, 10**30], {"n": [0.1, 7], "price": 9.9}),
    (["true", "null", "1.50", "a, b: {c}", "[]{}"], {"1.0": None, "true": "x"}),
    ([["it"], 1, {"a": ["'"]}], {"a": "x" * 900}),
]


@pytest.mark.parametrize(("args", "kwargs"), ARGUMENTS)
def test_arguments_are_shown_as_python_shows_them(app, alice, worker, args, kwargs):
    alice.execute("select pgqueue.send_task('shop.place', %s, %s)", [json.dumps(args), json.dumps(kwargs)])

    headers = worker.claim_one("celery", kind="task").message["headers"]

    assert headers["argsrepr"] == repr(tuple(args))
    assert headers["kwargsrepr"] == repr(kwargs)


@pytest.mark.parametrize(("args", "kwargs"), [*ARGUMENTS, (["x" * 2000], {"a": "x" * 2000})])
def test_the_short_way_makes_the_same_message_as_the_long_one(owner, args, kwargs):
    given = [json.dumps(args), json.dumps(kwargs)]
    names = ("a 'task' of \"ä\"", "mail\\box", 'my "id"')

    [(short, long)] = owner.execute(
        """select pgqueue._plain_task_message(t, a, k, q, 3, i, null), pgqueue._task_message(t, a, k, q, 3, null, null, i, null, false, null, null)
           from (select %s, %s::jsonb, %s::jsonb, %s, %s) g (t, a, k, q, i)""",
        [names[0], *given, *names[1:]],
    ).fetchall()

    assert {**short, "body": json.loads(short["body"])} == {**long, "body": json.loads(long["body"])}


def test_workers_that_only_hear_each_other_are_no_monitors(alice, owner):
    owner.execute(
        "select pgqueue._declare_exchange('celeryev', 'topic', true, false, null), "
        "pgqueue._declare_queue('gossip', false, true, true, null)"
    )
    owner.execute("select pgqueue._bind('gossip', 'celeryev', 'worker.#')")
    assert alice.execute("select from pgqueue.sent_listener").fetchall() == []

    owner.execute("select pgqueue._bind('gossip', 'celeryev', 'task.*')")
    assert len(alice.execute("select from pgqueue.sent_listener").fetchall()) == 1


def test_long_arguments_are_shown_cut_off_and_passed_whole(app, alice, worker):
    alice.execute("select pgqueue.send_task('shop.place', jsonb_build_array(repeat('x', 5000)))")

    request, args, *_ = receive(app, worker)

    assert args == ["x" * 5000]
    assert (len(request.argsrepr), request.argsrepr[-5:]) == (1024, "xx...")


def test_a_number_that_is_no_float_is_shown_as_it_is(alice, worker):
    alice.execute("select pgqueue.send_task('shop.place', '[1e-400]')")

    assert worker.claim_one("celery", kind="task").message["headers"]["argsrepr"].startswith("(0.000")


def test_what_is_to_be_called_afterwards_is_named(app, alice, worker):
    alice.execute("select pgqueue.send_task('shop.place', link => 'shop.thank', errback => 'shop.regret')")

    *_, embed = receive(app, worker)

    assert embed["callbacks"] == [json.loads(json.dumps(app.signature("shop.thank", args=[])))]
    assert embed["errbacks"] == [json.loads(json.dumps(app.signature("shop.regret", args=[])))]


def test_whoever_listens_to_events_is_told_that_a_task_was_sent(app, alice, owner, worker):
    alice.execute("select pgqueue.send_task('shop.place')")
    owner.execute(
        "select pgqueue._declare_exchange('celeryev', 'topic', true, false, null), "
        "pgqueue._declare_queue('monitor', false, true, true, null)"
    )
    owner.execute("select pgqueue._bind('monitor', 'celeryev', '#')")
    task_id = fetch_value(
        alice,
        "select pgqueue.send_task('shop.place', '[1]', '{\"a\": null}', queue => 'mail', eta => '2100-01-01 00:00+00')",
    )

    [claim] = worker.claim("monitor", kind="task")
    event = json.loads(claim.message["body"])

    sent_at = event.pop("timestamp")
    assert abs(dt.datetime.now(dt.timezone.utc).timestamp() - sent_at) < 60
    assert event.pop("pid") == alice.info.backend_pid
    assert event.pop("hostname") == f"sql@{alice.info.dbname}"  # a name for each session would fill monitors
    assert event == {
        "type": "task-sent",
        "uuid": task_id,
        "root_id": task_id,
        "parent_id": None,
        "name": "shop.place",
        "args": "(1,)",
        "kwargs": "{'a': None}",
        "retries": 0,
        "eta": "2100-01-01T00:00:00.000000+00:00",
        "expires": None,
        "queue": "mail",
        "exchange": "",
        "routing_key": "mail",
    }


def test_the_task_id_is_the_callers_or_a_new_uuid(alice):
    assert fetch_value(alice, "select pgqueue.send_task('a.b', task_id => 'mine')") == "mine"
    first, second = (fetch_value(alice, "select pgqueue.send_task('a.b')") for _ in range(2))
    assert first != second
    assert fetch_value(alice, "select %s::uuid is not null", [first])


def test_headers_are_added(app, alice, worker):
    alice.execute("""select pgqueue.send_task('shop.place', headers => '{"tenant": "blue", "shadow": "other name"}')""")

    request, *_ = receive(app, worker)

    assert request.request_dict["tenant"] == "blue"
    assert (request.name, request.request_dict["task"]) == ("other name", "shop.place")


def test_ignore_result_and_expires_reach_the_worker(app, alice, worker):
    expires = dt.datetime.now(dt.timezone.utc) + dt.timedelta(hours=1)
    alice.execute("select pgqueue.send_task('shop.place', ignore_result => true, expires => %s)", [expires])

    request, *_ = receive(app, worker)

    assert request.ignore_result is True
    assert request.expires == expires


def test_expires_is_the_same_instant_in_any_time_zone(app, alice, worker):
    alice.execute("set timezone = 'Asia/Kathmandu'; set datestyle = 'SQL, DMY'")
    alice.execute("select pgqueue.send_task('shop.place', expires => '2100-01-02 03:04:05.678+00')")

    request, *_ = receive(app, worker)

    assert request.expires == dt.datetime(2100, 1, 2, 3, 4, 5, 678000, tzinfo=dt.timezone.utc)


@pytest.mark.parametrize("by_tick", [False, True])
def test_an_expired_task_whose_end_somebody_may_wait_for_is_handed_to_a_worker(alice, owner, worker, by_tick):
    alice.execute("select pgqueue.send_task('a.b', task_id => 'heard', expires => now() + interval '0.3 s')")
    alice.execute(
        "select pgqueue.send_task('a.b', task_id => 'unheard', ignore_result => true, expires => now() + interval '0.3 s')"
    )
    owner.execute("select pg_sleep(0.4)")
    if by_tick:
        worker.tick()

    claims = worker.claim("celery", kind="task")

    # It finds the header and revokes the task, as with brokers that know no expiry.
    assert [claim.message["headers"]["id"] for claim in claims] == ["heard"]
    worker.tick()
    assert owner.execute("select state::text from pgqueue.message").fetchall() == [("claimed",)]


def test_an_expired_task_is_dropped_and_not_delivered(alice, owner, worker):
    alice.execute("select pgqueue.send_task('a.b', expires => now() + interval '1 h')")
    alice.execute("select pgqueue.send_task('c.d')")
    owner.execute("update pgqueue.message set expires_at = now() where expires_at is not null")

    assert [claim.message["headers"]["task"] for claim in worker.claim("celery", kind="task")] == ["c.d"]
    assert fetch_value(owner, "select count(*) from pgqueue.message") == 1


def test_priority_and_queue_decide_when_and_where(alice, worker):
    for name, priority in (("low", 0), ("high", 9), ("low too", 0)):
        alice.execute("select pgqueue.send_task(%s, queue => 'mail', priority => %s)", [name, priority])

    claims = worker.claim("mail", kind="task")

    assert [claim.message["headers"]["task"] for claim in claims] == ["high", "low", "low too"]
    assert claims[0].message["properties"]["delivery_info"] == {"exchange": "", "routing_key": "mail"}
    assert claims[0].message["properties"]["priority"] == 9


@pytest.mark.parametrize("due", ["delay => '1 h'", "eta => now() + interval '1 h'"])
def test_a_delayed_task_waits_in_the_queue_and_needs_no_waiting_worker(app, alice, owner, worker, due):
    alice.execute(f"select pgqueue.send_task('shop.place', {due})")
    assert worker.claim("celery", kind="task") == []
    owner.execute("update pgqueue.message set due_at = now()")

    request, *_ = receive(app, worker)

    # Or the worker would take it through its timer. The task reads request.eta: see the tests of the worker.
    assert request.eta is None
    assert request.request_dict["published_eta"].endswith("+00:00")


def test_a_task_is_sent_when_the_caller_commits_and_never_if_it_rolls_back(alice, worker):
    alice.execute("begin")
    alice.execute("select pgqueue.send_task('a.b')")
    assert worker.claim("celery", kind="task") == []
    alice.execute("rollback")
    assert worker.claim("celery", kind="task") == []

    alice.execute("begin")
    alice.execute("select pgqueue.send_task('a.b')")
    alice.execute("commit")
    assert len(worker.claim("celery", kind="task")) == 1


BAD = [
    ("null", "22004", ""),
    ("''", "22023", ""),
    ("'a.b', 'null'", "22023", "jsonb_build_array"),
    ("'a.b', '{}'", "22023", "jsonb_build_array"),
    ("'a.b', null", "22023", "jsonb_build_array"),
    ("'a.b', kwargs => '[]'", "22023", "jsonb_build_object"),
    ("'a.b', kwargs => null", "22023", "jsonb_build_object"),
    ("'a.b', headers => '[]'", "22023", ""),
    ("'a.b', link => ' '", "22023", "Name a task"),
    ("'a.b', errback => ''", "22023", "Name a task"),
    ("'a.b', queue => ''", "22023", ""),
    ("'a.b', priority => 10", "22023", "0 to 9"),
    ("'a.b', delay => '-1 s'", "22023", ""),
    ("'a.b', delay => '1 s', eta => now()", "22023", ""),
    ("'a.b', eta => 'infinity'", "22023", ""),
    ("'a.b', expires => now() - interval '1 s'", "22023", ""),
]


def test_bad_arguments_are_refused(alice, owner):
    for arguments, sqlstate, hint in BAD:
        error = refused(alice, f"select pgqueue.send_task({arguments})")
        assert (error.sqlstate, hint in (error.diag.message_hint or "")) == (sqlstate, True), arguments

    assert fetch_value(owner, "select count(*) from pgqueue.message") == 0


def test_a_job_and_a_task_of_one_queue_do_not_mix(alice, worker):
    alice.execute("select pgqueue.send_task('a.b', queue => 'both'), pgqueue.enqueue('select 1', queue => 'both')")

    assert [claim.message["headers"]["task"] for claim in worker.claim("both", kind="task")] == ["a.b"]
    assert [claim.job["sql"] for claim in worker.claim("both", kind="job")] == ["select 1"]


def test_kombus_virtual_channel_takes_the_properties(alice, worker):
    # What a kombu transport reads of each message.
    alice.execute("select pgqueue.send_task('a.b')")
    message = worker.claim_one("celery", kind="task").message

    assert set(message) == {"body", "content-type", "content-encoding", "headers", "properties"}
    assert isinstance(message["body"], str)
    assert "body_encoding" not in message["properties"]
    assert {"correlation_id", "reply_to", "delivery_mode", "priority", "delivery_info"} <= set(message["properties"])
    assert Channel.body_encoding == "base64"  # a body that is not encoded must not claim to be
