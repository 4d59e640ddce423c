"""How many executors a worker has: as it is told by remote control, and as jobs come where it scales itself."""

import pytest

from pgqueue.tasks import make_app
from tests.harness import eventually
from tests.harness.jobs import launch, submit
from tests.harness.people import fetch_value

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

SLEEPS = "select pg_sleep(600)"
SESSIONS = """select count(*) from pg_stat_activity
              where application_name like 'pgqueue executor%' and datname = current_database()"""
REGISTERED = "select executors from pgqueue.workers where worker like 'w1@%'"


@pytest.fixture
def celery(db):
    made = make_app(db.dsn)
    yield made
    made.pool.force_close_all()
    made.close()


class Told:
    """A worker, and what is asked of it by remote control."""

    def __init__(self, celery, worker) -> None:
        self.name = worker.name
        self._control = celery.control

    def tell(self, command, **arguments):
        [answers] = self._control.broadcast(
            command, arguments=arguments, destination=[self.name], reply=True, timeout=30, limit=1
        )
        return answers[self.name]

    @property
    def stats(self):
        return self._control.inspect([self.name], timeout=30, limit=1).stats()[self.name]

    @property
    def lane(self):
        return self.stats["pgqueue"]


@pytest.fixture
def start_told(db, alice, start_worker, celery):
    def start(*arguments, **options):
        return Told(celery, start_worker(db, arguments=arguments, **options))

    return start


def run(session, count, statement=SLEEPS, hand_in=launch):
    jobs = [hand_in(session, statement) for _ in range(count)]
    for job in jobs:
        job.wait_until("running")
    return jobs


def cancel(jobs):
    for job in jobs:
        job.cancel()
    assert {job.end()["state"] for job in jobs} == {"canceled"}


@pytest.mark.parametrize("hand_in", [launch, submit])
def test_a_pool_that_grows_runs_more_jobs_and_one_that_shrinks_stops_none(db, alice, owner, start_told, hand_in):
    worker = start_told("--concurrency=1")
    first, waits = run(alice, 1, hand_in=hand_in), hand_in(alice, SLEEPS)
    assert worker.lane["executors"] == 1
    before = fetch_value(owner, SESSIONS)

    assert worker.tell("pool_grow", n=2) == {"ok": "pool will grow"}

    waits.wait_until("running")
    jobs = [*first, waits, *run(alice, 1, hand_in=hand_in)]
    assert worker.lane["executors"] == 3
    eventually(lambda: len(worker.stats["pool"]["processes"]) == 3)
    eventually(lambda: fetch_value(owner, REGISTERED) == 3)
    assert fetch_value(owner, SESSIONS) > before

    assert worker.tell("pool_shrink", n=2) == {"ok": "pool will shrink"}

    lane = worker.lane
    assert (lane["executors"], lane["leaving"], len(lane["running"])) == (1, 2, 3)
    eventually(lambda: fetch_value(owner, REGISTERED) == 1)
    eventually(lambda: len(worker.stats["pool"]["processes"]) == 1)
    assert [job.state for job in jobs] == ["running"] * 3
    late = hand_in(alice, "select 1")
    cancel(jobs[:2])
    eventually(lambda: worker.lane["leaving"] == 0)
    assert (jobs[2].state, late.state) == ("running", "queued")
    cancel(jobs[2:])
    assert late.end()["state"] == "succeeded"


def test_executors_that_leave_close_their_sessions(db, alice, owner, start_told):
    worker = start_told("--concurrency=3")

    def each_keeps_a_session():
        # At once, so that each executor has one; short, because a session is closed after a long run.
        for job in [launch(alice, "select pg_sleep(0.1)") for _ in range(3)]:
            assert job.end()["state"] == "succeeded"
        return fetch_value(owner, SESSIONS) == 3

    eventually(each_keeps_a_session, what="a session for each executor")

    worker.tell("pool_shrink", n=2)

    eventually(lambda: fetch_value(owner, SESSIONS) == 1, what="two sessions less")
    assert launch(alice, "select 1").end()["state"] == "succeeded"


def test_the_last_executor_and_the_last_process_stay(db, alice, start_told):
    worker = start_told("--concurrency=1", "--executors=3")

    assert worker.tell("pool_shrink", n=50) == {"ok": "only executors are scaled"}
    assert (worker.lane["executors"], len(worker.stats["pool"]["processes"])) == (1, 1)
    assert worker.tell("pool_shrink", n=1) == {"error": "the last executor and the last process stay"}
    assert launch(alice, "select 1").end()["state"] == "succeeded"


def test_a_pool_of_celery_that_cannot_be_scaled_does_not_keep_executors_from_it(db, alice, start_told):
    worker = start_told("--pool=solo")
    jobs = run(alice, worker.lane["executors"])
    waits = launch(alice, SLEEPS)

    assert "ok" in worker.tell("pool_grow", n=1)

    waits.wait_until("running")
    cancel([*jobs, waits])


def test_executors_come_and_go_with_the_load_within_the_bounds_of_autoscale(db, alice, owner, start_told):
    worker = start_told("--autoscale=3,1", environment={"AUTOSCALE_KEEPALIVE": "1"})
    assert (worker.lane["executors"], worker.lane["autoscale"]) == (1, {"max": 3, "min": 1})

    jobs = run(alice, 3)
    waits = launch(alice, SLEEPS)

    assert worker.lane["executors"] == 3
    eventually(lambda: fetch_value(owner, REGISTERED) == 3)
    # Processes are for tasks.
    assert worker.stats["autoscaler"]["current"] == 1
    assert "pool_grow is not supported with autoscale" in worker.tell("pool_grow", n=1)["error"]
    assert worker.tell("autoscale", max=4, min=2) == {"ok": "autoscale now max=4 min=2"}
    waits.wait_until("running")

    cancel([*jobs, waits])
    eventually(lambda: worker.lane["executors"] == 2, what="executors that are not needed go")
    eventually(lambda: fetch_value(owner, REGISTERED) == 2)
    eventually(lambda: fetch_value(owner, SESSIONS) <= 2)


def test_a_range_that_makes_no_sense_is_refused(db, alice, start_told):
    worker = start_told("--autoscale=3,1")

    for bounds in ({"max": 1, "min": 2}, {"max": 0}, {"max": 2, "min": -1}):
        assert "cannot have at least" in worker.tell("autoscale", **bounds)["error"]

    assert worker.lane["autoscale"] == worker.stats["pgqueue"]["autoscale"] == {"max": 3, "min": 1}


def test_a_worker_may_have_no_executor_until_a_job_comes(db, alice, start_told):
    worker = start_told("--autoscale=2,0", environment={"AUTOSCALE_KEEPALIVE": "1"})
    assert worker.lane["executors"] == 0

    assert submit(alice, "select 1").end()["state"] == "succeeded"
    assert launch(alice, "select 6 * 7").result("n int") == [(42,)]

    eventually(lambda: worker.lane["executors"] == 0)


def test_a_worker_that_has_lost_its_connection_registers_as_many_executors_as_it_has(db, alice, owner, start_told):
    worker = start_told("--concurrency=1")
    worker.tell("pool_grow", n=2)
    was = fetch_value(owner, "select max(id) from pgqueue.worker")

    owner.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and application_name ~ '^pgqueue worker '"
    )

    eventually(lambda: fetch_value(owner, "select max(id) from pgqueue.worker") > was)
    eventually(lambda: fetch_value(owner, "select max(executors) from pgqueue.worker where id > %s", [was]) == 3)


def test_a_worker_obeys_a_request_from_sql_and_takes_its_own_number_back(db, alice, owner, start_told):
    start_told("--executors=1", "--concurrency=1")
    name = fetch_value(owner, "select worker from pgqueue.workers where worker like 'w1@%'")
    owner.execute("select pgqueue.scale(%s, 3)", [name])

    jobs = run(alice, 3)
    eventually(lambda: fetch_value(owner, REGISTERED) == 3)
    owner.execute("select pgqueue.scale(queue => 'default', executors => null)")

    # No job is stopped for it, and none begins while more than the own number run.
    eventually(lambda: fetch_value(owner, REGISTERED) == 1)
    waits = launch(alice, SLEEPS)
    cancel(jobs[:2])
    assert waits.state == "queued"
    cancel(jobs[2:])
    waits.wait_until("running")
    cancel([waits])


def test_a_request_from_sql_counts_before_remote_control_and_after_a_lost_connection(db, owner, start_told):
    worker = start_told("--executors=2", "--concurrency=1")
    owner.execute("select pgqueue.scale(worker, 4) from pgqueue.workers where worker like 'w1@%'")
    eventually(lambda: fetch_value(owner, REGISTERED) == 4)

    worker.tell("pool_grow", n=2)
    eventually(lambda: fetch_value(owner, REGISTERED) == 4)
    owner.execute("select pg_terminate_backend(w.pid) from pgqueue.worker w where w.name like 'w1@%'")

    eventually(lambda: fetch_value(owner, f"{REGISTERED} and status = 'online'") == 4)
    owner.execute("select pgqueue.scale(worker, null) from pgqueue.workers where worker like 'w1@%'")
    eventually(lambda: fetch_value(owner, REGISTERED) == 2)
