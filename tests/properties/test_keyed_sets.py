"""A set of jobs with unique keys, against the same jobs one after the other: the same handles, queue and keys.

Both run in one transaction from the same state, and are rolled back to it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.harness import Database
from tests.harness.database import Connection
from tests.harness.people import fetch_one

KEYS = ("a", "b", "c")
STATEMENT = "select $1"

#: What there may be of a key: how the owner changes the job that alice has submitted with it.
STATES = {
    "waits": None,
    "waits for its second attempt": "update pgqueue.message set attempts = 1, state = 'delayed', due_at = now() + interval '20 min' where id = %s",
    "waits since long": "update pgqueue.message set launched_at = now() - interval '100 min' where id = %s",
    "keeps its result": "update pgqueue.message set kept = 'many' where id = %s",
    "is claimed": "update pgqueue.message set state = 'claimed', token = 1, worker_id = 1 where id = %s",
    "has ended": "delete from pgqueue.message where id = %s",
}
ENQUEUE = "select * from pgqueue.enqueue(%(statement)s, array[%(param)s], delay => %(delay)s, after => %(after)s, keep_result => %(kept)s"
ENQUEUE_KEYED = f"{ENQUEUE}, unique_key => %(key)s, unique_for => %(unique_for)s, on_conflict => %(mode)s)"
ENQUEUE_MANY = """select * from pgqueue.enqueue_many(array[%(statement)s], rows => %(rows)s::text[], delay => %(delay)s, after => %(after)s, keep_result => %(kept)s,
    unique_keys => %(keys)s, unique_for => %(unique_for)s, on_conflict => %(mode)s)"""
JOBS = """select id, params[1], unique_key, state::text, attempts, kept::text, round(extract(epoch from due_at - now()) / 60),
        (select count(*) from pgqueue.dependency d where d.child = m.id)
    from pgqueue.message m order by id"""
HOLDS = """select message_id, unique_key, round(extract(epoch from free_at - now()) / 60), task_id, (select h.cookie = m.cookie from pgqueue.message m where m.id = h.message_id)
    from pgqueue.unique_hold h order by 1, 2"""


@dataclass(frozen=True)
class Before:
    """What there is of a key before the call."""

    state: str
    unique_for: str | None
    delay: str | None


@dataclass(frozen=True)
class Call:
    """The options of a set, and the keys of its jobs."""

    keys: list[str | None]
    mode: str
    unique_for: str | None = None
    delay: str | None = None
    waits: bool = False
    keeps_result: bool = False


TIMES = st.sampled_from([None, "5 min", "3 h"])
CALLS = st.builds(
    Call,
    keys=st.lists(st.sampled_from([*KEYS, None]), min_size=1, max_size=8).filter(any),
    mode=st.sampled_from(["keep", "replace", "debounce", "raise"]),
    unique_for=TIMES,
    delay=TIMES,
    waits=st.booleans(),
    keeps_result=st.booleans(),
)
BEFORE = st.dictionaries(st.sampled_from(KEYS), st.builds(Before, st.sampled_from(list(STATES)), TIMES, TIMES))


@pytest.fixture
def session(db: Database, alice: Connection) -> Connection:
    """A session of the owner, which acts as alice and sees what she has not committed."""
    return db.connect(autocommit=False)


@pytest.mark.slow
def test_a_set_has_the_outcome_of_its_jobs_one_after_the_other(session: Connection) -> None:
    @settings(max_examples=300, suppress_health_check=list(HealthCheck))
    @given(before=BEFORE, call=CALLS)
    @example({"a": Before("has ended", "3 h", None)}, Call(["a"], "debounce"))
    @example({"a": Before("has ended", "3 h", None)}, Call(["a", "b", "a"], "debounce"))
    @example({"a": Before("waits since long", None, "3 h")}, Call(["a", "a", None], "debounce", None, "5 min"))
    @example({"a": Before("is claimed", "3 h", None)}, Call(["a", "a"], "replace", "5 min"))
    def compare(before: dict[str, Before], call: Call) -> None:
        try:
            there = [prepare(session, key, each) for key, each in before.items()]
            assert outcome(session, enqueue_at_once, call, there) == outcome(session, enqueue_each, call, there)
        finally:
            session.rollback()

    compare()


def prepare(session: Connection, key: str, before: Before) -> int:
    """Submit a job with a key, and let it become what is said; return its number."""
    named = {"statement": STATEMENT, "param": f"before {key}", "key": key, "mode": "keep", "after": None, "kept": False}
    session.execute("set local role alice")
    number: int = fetch_one(session, ENQUEUE_KEYED, {**named, "delay": before.delay, "unique_for": before.unique_for})[
        0
    ]
    session.execute("reset role")
    change = STATES[before.state]
    if change:
        session.execute(change, [number])
    return number


def enqueue_at_once(session: Connection, call: Call, options: dict[str, Any]) -> list[tuple[Any, ...]]:
    rows = [[f"job {n}"] for n in range(len(call.keys))]
    return session.execute(ENQUEUE_MANY, {**options, "rows": rows, "keys": call.keys}).fetchall()


def enqueue_each(session: Connection, call: Call, options: dict[str, Any]) -> list[tuple[Any, ...]]:
    return [
        fetch_one(
            session, f"{ENQUEUE})" if key is None else ENQUEUE_KEYED, {**options, "param": f"job {n}", "key": key}
        )
        for n, key in enumerate(call.keys)
    ]


def outcome(
    session: Connection,
    way_in: Callable[[Connection, Call, dict[str, Any]], list[tuple[Any, ...]]],
    call: Call,
    there: list[int],
) -> Any:
    """Return the handles, the queue and the keys after a call, with new jobs numbered from 0; or the error's code."""
    session.execute("savepoint before")
    try:
        session.execute("set local role alice")
        options = {"delay": call.delay, "unique_for": call.unique_for, "mode": call.mode, "kept": call.keeps_result}
        after = f'{{"{fetch_one(session, "select pgqueue.enqueue($$ select 1 $$)::text")[0]}"}}' if call.waits else None
        handles = way_in(session, call, {**options, "statement": STATEMENT, "after": after})
    except (psycopg.errors.UniqueViolation, psycopg.errors.InvalidParameterValue) as error:
        session.execute("rollback to before")
        return error.sqlstate
    session.execute("reset role")
    jobs, holds = (session.execute(query).fetchall() for query in (JOBS, HOLDS))
    session.execute("rollback to before")
    new = {number: f"new {n}" for n, number in enumerate(sorted({job[0] for job in jobs} - set(there)))}
    named = [[(new.get(number, number), *row) for number, *row in rows] for rows in (jobs, holds)]
    return [new.get(number, (number, cookie)) for number, cookie in handles], *named
