"""Jobs that wait for others, and batches, with real executors, real workers and both clients."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

import pgqueue
from pgqueue.errors import InvalidArgument, UnknownJob, WrongState
from tests.harness import Database, Worker, eventually
from tests.harness.claimant import Claimant
from tests.harness.clients import Clients
from tests.harness.executors import Executors
from tests.harness.people import fetch_value, worker

__all__ = ["worker"]

EFFECTS = "create table public.effect (n serial, label text); grant all on public.effect, public.effect_n_seq to public"


@pytest.fixture
def client(db: Database, clients: Clients) -> Iterator[pgqueue.Client]:
    db.create_role("alice")
    db.execute(EFFECTS)
    with clients.connect(db.dsn_for("alice")) as opened:
        yield opened


def insert(label: str) -> str:
    return f"insert into public.effect (label) values ('{label}')"


def labels(db: Database) -> list[str]:
    return [row[0] for row in db.execute("select label from public.effect order by n")]


class TestClients:
    def test_a_list_of_jobs_handles_texts_and_numbers_names_the_parents(
        self, client: pgqueue.Client, worker: Claimant
    ) -> None:
        first = [client.enqueue("select 1") for _ in range(4)]
        last = client.enqueue(
            "select 2", after=[first[0], first[1].handle, str(first[2].handle), first[3].id], on_parent_failure="run"
        )
        status = last.status()
        assert status.state is pgqueue.JobState.WAITING
        assert not status.state.is_final
        assert status.parents == [job.id for job in first]
        assert client.list_jobs(states=[pgqueue.JobState.WAITING])[0].id == last.id

        worker.run_all()
        assert last.status().state is pgqueue.JobState.SUCCEEDED

    def test_all_ways_of_submitting_wait(self, client: pgqueue.Client) -> None:
        first = client.launch("select 1")
        rest = [client.launch("select 2", after=[first]), client.submit("select 2", after=[first])]
        rest += client.enqueue_many(["select 3", "select 4"], after=[first])

        assert {job.status().state for job in rest} == {pgqueue.JobState.WAITING}

    def test_a_batch_in_a_transaction_of_the_caller(
        self, client: pgqueue.Client, db: Database, worker: Claimant
    ) -> None:
        with db.connect("alice") as session, session.transaction():
            batch = client.batch("import", on_end=insert("end"), on_success=insert("ok"), connection=session)
            client.enqueue_many(["select 1"] * 5, batch=batch, connection=session)
        worker.run_all()
        worker.run_all()

        assert labels(db) == ["ok", "end"]
        assert db.fetch_value("select total from pgqueue.batches where id = %s", [batch]) == 5
        with pytest.raises(WrongState, match="has ended"):
            client.enqueue("select 1", batch=batch)

    def test_what_is_no_list_of_jobs_is_refused(self, client: pgqueue.Client) -> None:
        job = client.enqueue("select 1")
        for wrong in (job, job.handle, str(job.handle), [object()]):
            with pytest.raises(TypeError, match="after is a list of jobs or handles"):
                client.enqueue("select 2", after=wrong)  # type: ignore[arg-type]
        with pytest.raises(UnknownJob):
            client.launch("select 2", after=[pgqueue.Handle(99999, 1)])
        with pytest.raises(InvalidArgument):
            client.launch("select 2", after=[job], on_parent_failure="ignore")


def enqueue(session: psycopg.Connection, statement: str, *parents: str, batch: int | None = None) -> str:
    return str(
        fetch_value(
            session,
            "select pgqueue.enqueue(%s, after => nullif(%s::pgqueue.handle[], '{}'), batch => %s)::text",
            [statement, list(parents), batch],
        )
    )


@pytest.mark.parametrize("middle", ["select pg_sleep(0)", "vacuum pg_catalog.pg_class"])
def test_a_diamond_runs_in_order_in_both_lanes(
    db: Database, alice: psycopg.Connection, executors: Executors, middle: str
) -> None:
    db.execute(EFFECTS)
    if middle.startswith("vacuum"):
        db.execute("create table public.mine (); alter table public.mine owner to alice")
        middle = "vacuum public.mine"
    for _ in range(5):
        top = enqueue(alice, insert("top"))
        sides = [enqueue(alice, insert("side"), top), enqueue(alice, middle, top)]
        enqueue(alice, insert("bottom"), *sides)

    def is_done() -> bool:
        # The upkeep releases a job whose parent has ended while it was enqueued.
        executors.claimant.tick()
        return labels(db).count("bottom") == 5

    eventually(is_done)
    assert sorted(labels(db)) == sorted(["top", "side", "bottom"] * 5)


@pytest.mark.slow
@pytest.mark.kills
@pytest.mark.timeout(600)
@pytest.mark.parametrize("count", [1000, 10_000])
def test_a_fan_in_ends_once_though_its_workers_are_killed(
    db: Database, alice: psycopg.Connection, tmp_path: Path, count: int
) -> None:
    db.execute(EFFECTS)
    db.execute(f"alter database {db.name} set pgqueue.naptime = '500 ms'")
    with alice.transaction():
        batch = fetch_value(alice, "select pgqueue.batch(on_end => $1)".replace("$1", f"$${insert('end')}$$"))
        alice.execute(
            """with job as materialized (
                 select h from pgqueue.enqueue_many(array['insert into public.effect (label) values ($1)'],
                   rows => array(select array[n::text] from generate_series(1, %s) n), batch => %s) h)
               select pgqueue.enqueue($$insert into public.effect (label) values ('all')$$, after => array_agg(h)) from job""",
            [count, batch],
        )

    def run_killed(n: int) -> None:
        done = len(labels(db))
        worker = Worker(db, tmp_path / f"w{n}.log", name=f"w{n}", arguments=["--concurrency=1"]).wait_online()
        eventually(lambda: len(labels(db)) > done or len(labels(db)) == count + 2, 120)
        worker.kill()

    for n in range(4):
        run_killed(n)
    with Worker(db, tmp_path / "last.log", name="last", arguments=["--concurrency=1"]):
        eventually(lambda: {"all", "end"} <= set(labels(db)), 300)

    assert sorted(labels(db)) == sorted([*map(str, range(1, count + 1)), "all", "end"])
    assert fetch_value(alice, "select count(*) from pgqueue.jobs where ended_at is null") == 0
    assert db.fetch_value("select count(*) from pgqueue.dependency") == 0


@pytest.mark.parametrize(
    ("statement", "mode", "ends"), [("select 1", "cancel", "succeeded"), ("select 1 / 0", "cancel", "canceled")]
)
@pytest.mark.parametrize("isolation", ["repeatable read", "serializable"])
def test_what_waits_for_a_job_with_an_old_snapshot_does_not_wait_for_the_upkeep(
    db: Database, client: pgqueue.Client, executors: Executors, statement: str, mode: str, ends: str, isolation: str
) -> None:
    # No worker does any upkeep here.
    db.execute(f"alter role alice set default_transaction_isolation = '{isolation}'")
    with psycopg.connect(db.dsn_for("alice"), autocommit=True) as alice:
        handle = alice.execute(
            "select h::text from pgqueue.submit(%s) h", [f"set transaction isolation level {isolation}; {statement}"]
        ).fetchone()
        assert handle is not None
        child = alice.execute(
            "select (pgqueue.submit('select 2', after => array[%s]::pgqueue.handle[], on_parent_failure => %s)).id",
            [handle[0], mode],
        ).fetchone()
        assert child is not None
        eventually(lambda: db.fetch_value("select state::text from pgqueue.jobs where id = %s", [child[0]]) == ends)
