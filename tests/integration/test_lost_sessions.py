"""The session of a job ends under it: who is to blame, which jobs run again, and how often."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator

import psycopg
import pytest

from tests.harness import Database, TestServer, Worker, eventually
from tests.harness.database import Connection

pytestmark = [pytest.mark.every_server, pytest.mark.slow, pytest.mark.kills, pytest.mark.timeout(300)]

EFFECTS = "create table public.effect (label text); grant all on public.effect to public"
STATES = "select id, state::text, sqlstate, attempts from pgqueue.jobs where id = any(%s) order by id"
RUNNING = "select count(*) from pgqueue.jobs where id = any(%s) and state = 'running'"
OF_JOB = "select backend_pid from pgqueue.jobs where id = %s and state = 'running'"
#: A role that may run programs ends its own session so, and the server restarts all others.
KILLS_ITSELF = "copy (select 1) to program 'kill -9 $PPID'"
SURVIVED = ("succeeded", None, 1)


def hand_in(session: Connection, function: str, *statements: str) -> list[int]:
    ids = []
    for statement in statements:
        row = session.execute(f"select (h).id from pgqueue.{function}(%s) h", [statement]).fetchone()  # type: ignore[arg-type]
        assert row is not None
        ids.append(row[0])
    return ids


class People:
    """Alice, who comes back when the server does."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._dsn = db.dsn_for(db.create_role("alice"))
        db.execute(EFFECTS)
        db.execute(f"alter database {db.name} set pgqueue.naptime = '500 ms'")

    def alice(self) -> Connection:
        """Log in as soon as the server lets her."""

        def log_in() -> Connection | None:
            try:
                return psycopg.connect(self._dsn, autocommit=True)
            except psycopg.OperationalError:
                return None

        return eventually(log_in, 60, what="the server lets alice in")

    def hand_in(self, function: str, *statements: str) -> list[int]:
        with self.alice() as session:
            return hand_in(session, function, *statements)

    def wait_until_running(self, ids: list[int]) -> None:
        eventually(lambda: self._count_running(ids) == len(ids), 60, what="all of them run")

    def pid_of(self, job_id: int) -> int:
        with self.alice() as session:
            [(pid,)] = eventually(lambda: session.execute(OF_JOB, [job_id]).fetchall(), 60, what=f"job {job_id} runs")
            return int(pid)

    def ends(self, ids: list[int]) -> list[tuple[str, str | None, int]]:
        """Wait for the ends of jobs: their states, SQLSTATEs and attempts."""

        def ended() -> list[tuple[str, str | None, int]]:
            try:
                with self.alice() as session:
                    rows = session.execute(STATES, [ids]).fetchall()
            except psycopg.OperationalError:
                return []
            return [row[1:] for row in rows] if all(row[1] in ("succeeded", "failed") for row in rows) else []

        return eventually(ended, 180, what="all have ended")

    def _count_running(self, ids: list[int]) -> int:
        try:
            with self.alice() as session:
                [(count,)] = session.execute(RUNNING, [ids]).fetchall()
        except psycopg.OperationalError:
            return 0  # it goes down just now
        return int(count)

    def effects(self) -> list[str]:
        with self.alice() as session:
            return [label for (label,) in session.execute("select label from public.effect order by 1")]


@pytest.fixture
def people(own_server_db: Database) -> Iterator[People]:
    return People(own_server_db)


@pytest.fixture
def worker(own_server_db: Database, people: People, start_worker: Callable[..., Worker]) -> Worker:
    return start_worker(own_server_db, arguments=["--concurrency=1", "--executors=4"])


def insert(label: str, seconds: float = 2.0) -> str:
    return f"insert into public.effect values ('{label}'); select pg_sleep({seconds})"


def test_a_crash_of_another_session_fails_no_job_in_either_lane(people: People, worker: Worker) -> None:
    ids = [*people.hand_in("submit", insert("a"), insert("b")), *people.hand_in("launch", insert("c"), insert("d"))]

    for _ in range(2):
        people.wait_until_running(ids)
        with people.alice() as stranger:
            os.kill(stranger.info.backend_pid, signal.SIGKILL)

    assert people.ends(ids) == [SURVIVED] * 4
    assert people.effects() == ["a", "b", "c", "d"]
    assert worker.exit_code is None


def test_crashes_of_others_never_add_up_to_a_job_that_is_given_up(
    people: People, worker: Worker, own_server_db: Database
) -> None:
    own_server_db.execute(f"alter database {own_server_db.name} set pgqueue.max_lost_sessions = 1")
    own_server_db.execute(f"alter database {own_server_db.name} set pgqueue.max_deliveries = 3")
    ids = [*people.hand_in("submit", insert("a")), *people.hand_in("launch", insert("b"))]

    for _ in range(4):
        people.wait_until_running(ids)
        with people.alice() as stranger:
            os.kill(stranger.info.backend_pid, signal.SIGKILL)

    assert people.ends(ids) == [SURVIVED] * 2
    assert people.effects() == ["a", "b"]


@pytest.mark.parametrize("how", ["immediate", "fast"])
def test_a_server_that_shuts_down_fails_no_job_in_either_lane(
    people: People, worker: Worker, own_server: TestServer, how: str
) -> None:
    ids = [*people.hand_in("submit", insert("a")), *people.hand_in("launch", insert("b"))]
    people.wait_until_running(ids)

    own_server.embedded.stop(mode=how)
    own_server.embedded.start()

    assert people.ends(ids) == [SURVIVED] * 2
    assert people.effects() == ["a", "b"]


@pytest.mark.parametrize("function", ["submit", "launch"])
@pytest.mark.parametrize("statement", [insert("a"), "insert into public.effect select 'a' from pg_sleep(2)"])
def test_a_session_that_the_kernel_ends_does_not_fail_its_job(
    people: People, worker: Worker, function: str, statement: str
) -> None:
    [job_id] = people.hand_in(function, statement)

    os.kill(people.pid_of(job_id), signal.SIGKILL)

    assert people.ends([job_id]) == [SURVIVED]
    assert people.effects() == ["a"]


@pytest.mark.parametrize("function", ["submit", "launch"])
def test_a_session_that_an_operator_ends_does_not_fail_its_job(
    people: People, worker: Worker, own_server_db: Database, function: str
) -> None:
    [job_id] = people.hand_in(function, insert("a"))

    own_server_db.execute("select pg_terminate_backend(%s)", [people.pid_of(job_id)])

    assert people.ends([job_id]) == [SURVIVED]
    assert people.effects() == ["a"]


@pytest.mark.parametrize("function", ["submit", "launch"])
def test_a_job_that_ends_its_session_every_time_is_given_up_and_takes_no_other_with_it(
    people: People, worker: Worker, own_server: TestServer, function: str
) -> None:
    own_server.admin.execute("grant pg_execute_server_program to alice")
    since = own_server.log_size()
    ids = [*people.hand_in("submit", insert("a"), insert("b")), *people.hand_in("launch", insert("c"))]
    people.wait_until_running(ids)
    [bad] = people.hand_in(function, KILLS_ITSELF)

    [(state, sqlstate, _attempts)] = people.ends([bad])

    assert (state, sqlstate) == ("failed", "08006")
    assert people.ends(ids) == [SURVIVED] * 3
    assert people.effects() == ["a", "b", "c"]
    assert own_server.read_log(since).count("was terminated by signal 9") <= 5
    with people.alice() as session:
        row = session.execute("select error_hint from pgqueue.jobs where id = %s", [bad]).fetchone()
    assert row is not None
    assert "was given up" in row[0]


def test_a_job_that_says_what_the_server_says_is_still_given_up(
    people: People, worker: Worker, own_server: TestServer
) -> None:
    own_server.admin.execute("grant pg_execute_server_program to alice")
    lie = "raise warning 'terminating connection because of crash of another server process' using errcode = '57P02'"

    [job_id] = people.hand_in("launch", f"do $$ begin {lie}; {KILLS_ITSELF}; end $$")

    assert people.ends([job_id])[0][:2] == ("failed", "08006")


def test_what_runs_is_seen_again_after_a_crash_has_emptied_the_unlogged_tables(people: People, worker: Worker) -> None:
    ids = people.hand_in("launch", insert("a", 3))
    people.wait_until_running(ids)

    with people.alice() as stranger:
        os.kill(stranger.info.backend_pid, signal.SIGKILL)

    people.wait_until_running(ids)
    assert people.ends(ids) == [SURVIVED]
