"""Plays a worker in plain sessions, step by step, so that a test decides what happens between two of them.

Claims as a real worker does and runs each job in the lane that its claim names: in the session for all roles, or in one
that is logged in as the submitter, where each step can be taken by itself. Knows nothing of Celery.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import psycopg
from psycopg.pq import ExecStatus

from pgqueue.sql import query
from tests.harness.database import Connection, Database

_ERROR_FIELDS = {
    "sqlstate": "sqlstate",
    "routine": "source_function",
    "message": "message_primary",
    "detail": "message_detail",
    "hint": "message_hint",
    "context": "context",
    "schema": "schema_name",
    "table": "table_name",
    "column": "column_name",
    "datatype": "datatype_name",
    "constraint": "constraint_name",
}
_IDLE_SECONDS = 0.002


@dataclass(frozen=True)
class Claim:
    """One message in a worker's hands."""

    id: int
    token: int
    queue: str
    redelivered: bool
    #: A task's message; of a job of the batch lane the number of its role, else what the top-level lane needs of it.
    message: Any
    #: Of a job: batch or top_level.
    lane: str | None
    session: Connection = field(repr=False, compare=False)

    @cached_property
    def job(self) -> dict[str, Any]:
        """What is to be run, when it is a job. Of one of the batch lane, what monitors are told while it runs."""
        if self.lane == "top_level":
            return dict(self.message)
        told = _value(self.session, "select pgqueue._running_message(%s, %s)", self.id, self.token)
        return dict(told["headers"]["job"])


class Executor:
    """A session of the top-level lane, logged in as the submitter; each step of a run can be taken by itself."""

    def __init__(self, db: Database, submitter: str, claimant: Claimant) -> None:
        # DISCARD ALL forgets prepared statements, so the driver must not count on any.
        self.session: Connection = db.connect(submitter, prepare_threshold=None)
        self._claimant = claimant
        self._running: Claim | None = None
        #: How the last run ended that reached its end: it succeeded, or has put itself off.
        self._ending = ""
        self.session.add_notice_handler(self._take_notice)

    def begin(self, claim: Claim) -> str | None:
        """Empty the session and make the job visible as running; return how it has ended, if it must not run."""
        assert claim.lane == "top_level", "no worker runs this job here: claim it with top_level=True"
        self.session.execute("discard all")
        ending: str | None = _value(self.session, "select pgqueue._begin_job(%s, %s)", claim.id, claim.token)
        return ending

    def lock(self, claim: Claim) -> None:
        """Open the job's transaction and lock its claim."""
        assert claim.lane == "top_level", "no worker runs this job here: claim it with top_level=True"
        for name, value in claim.job["settings"].items():
            self.session.execute("select set_config(%s, %s, false)", [name, value])
        self.session.execute("select set_config('pgqueue.job_id', %s, false)", [str(claim.id)])
        self.session.execute("begin")
        self._running = claim
        self.session.execute("select pgqueue._lock_job(%s, %s)", [claim.id, claim.token])

    def execute(self, claim: Claim, *, chunk_rows: int = 1000) -> None:
        """Run the statement and store its result, without the commit."""
        cursor = psycopg.RawCursor(self.session)
        cursor.execute(claim.job["sql"], claim.job["params"])
        tags, columns, rows = _collect(cursor)
        chunks = [rows[n : n + chunk_rows] for n in range(0, len(rows), chunk_rows)] or [[]]
        for seq, chunk in enumerate(chunks[1:], start=1):
            self.session.execute(
                "select pgqueue._append_result(%s, %s, %s, %s)", [claim.id, claim.token, seq, json.dumps(chunk)]
            )
        described = None if columns is None else json.dumps(columns)
        first = None if columns is None else json.dumps(chunks[0])
        self._ending = str(
            _value(
                self.session,
                "select pgqueue._complete_job(%s, %s, %s, %s, %s, %s, %s)",
                *[claim.id, claim.token, tags, len(rows), described, first, json.dumps(self._output_settings())],
            )
        )

    def commit(self) -> None:
        """Commit what the job did, its result and its removal from the queue."""
        self.session.execute("commit")
        self._running = None

    def fail(self, claim: Claim, error: psycopg.Error | dict[str, str | None]) -> str:
        """Roll back, then report the error."""
        self.session.execute("rollback")
        self._running = None
        if isinstance(error, psycopg.Error):
            error = _fields_of(error)
        self.session.execute("reset all")
        return str(
            _value(self.session, "select pgqueue._fail_job(%s, %s, %s)", claim.id, claim.token, json.dumps(error))
        )

    def run(self, claim: Claim, *, chunk_rows: int = 1000) -> str:
        """Take all the steps; return how the job ended."""
        ending = self.begin(claim)
        if ending is not None:
            return ending
        try:
            self.lock(claim)
            self.execute(claim, chunk_rows=chunk_rows)
            self.commit()
        except psycopg.Error as error:
            return self.fail(claim, error)
        return self._ending

    def _output_settings(self) -> dict[str, str]:
        names = ("DateStyle", "IntervalStyle", "TimeZone")
        return {name: str(self.session.info.parameter_status(name)) for name in names}

    def _take_notice(self, notice: psycopg.errors.Diagnostic) -> None:
        if notice.sqlstate == "PQ001" and self._running is not None:
            told = json.loads(notice.message_primary or "")
            self._claimant.set_progress(self._running, told["pct"], told["msg"])


class BatchExecutor:
    """A session of the batch lane, in which the server runs claimed jobs of any role."""

    def __init__(self, db: Database, claimant: Claimant) -> None:
        self._db = db
        self._claimant = claimant
        self._running: Claim | None = None
        #: The job that has put itself off in the last call.
        self._snoozed_id: int | None = None
        self._open()

    def run(self, claim: Claim) -> str:
        """Run a job to its end, or until the database has decided what becomes of it."""
        has_stalled = False
        while True:
            if self.session.closed:
                self._open()
            pid = self.session.info.backend_pid
            error = self._call(claim)
            if error is None:
                return "snoozed" if self._snoozed_id == claim.id else self._claimant.find_ending(claim)
            is_lost = self.session.closed
            fields: dict[str, Any] = _fields_of(error) | ({"session_lost": True} if is_lost else {})
            # An error between two jobs is nobody's, unless it comes again.
            is_jobs = is_lost or has_stalled or "pgqueue_run.job_" in (error.diag.context or "")
            endings = self._claimant.settle_run([claim], fields, pid, is_jobs=is_jobs)
            if not is_lost:
                self.session.execute(query("forget_role"))
            if not endings:
                return "gone"
            ((_id, ending),) = endings
            if ending is not None:
                return ending
            has_stalled = True

    def abandon(self, claim: Claim) -> None:
        """Run a job in a transaction that is rolled back, as when the session ends."""
        with self.session.transaction(force_rollback=True):
            self.session.execute(f"select pgqueue_run.job_{claim.message}(%s, %s)", [claim.id, claim.token])

    def fail(self, claim: Claim, error: dict[str, Any]) -> str | None:
        """Report an error that a job has raised; return how that ended it, if the claim is good."""
        ended = self._claimant.settle_run([claim], error, self.session.info.backend_pid, is_jobs=True)
        return ended[0][1] if ended else "gone"

    def _call(self, claim: Claim) -> psycopg.Error | None:
        self._running, self._snoozed_id = claim, None
        try:
            call = f"call pgqueue_run.jobs_{claim.message}(%s, %s, %s)"
            self.session.execute(call, [[claim.id], [claim.token], self._claimant.name])
        except psycopg.Error as error:
            return error
        finally:
            self._running = None
        return None

    def _open(self) -> None:
        self.session = self._db.connect_executor()
        self.session.prepare_threshold = None
        self.session.add_notice_handler(self._take_notice)

    def _take_notice(self, notice: psycopg.errors.Diagnostic) -> None:
        if notice.sqlstate == "PQ001" and self._running is not None:
            told = json.loads(notice.message_primary or "")
            self._claimant.set_run_progress(self._running, self.session.info.backend_pid, told["pct"], told["msg"])
        elif notice.sqlstate == "PQ008":
            self._snoozed_id = int(notice.message_primary or 0)


class Claimant:
    """One worker: a presence session, a session that claims, executors by role, one for the batch lane."""

    def __init__(self, db: Database, name: str = "w1") -> None:
        self._db = db
        self.name = name
        self.role = db.worker_role()
        self.session = db.connect(self.role)
        self._executors: dict[str, Executor] = {}
        self._batch_executor: BatchExecutor | None = None
        self.register()

    def register(
        self, predecessor: int | None = None, keeps: Sequence[Claim] = (), begun: Sequence[Claim] = ()
    ) -> None:
        """Open a presence session and become a worker; again after a kill, as another one that may keep claims."""
        self.presence = self._db.connect(self.role)
        register = "select pgqueue._register_worker(%s, %s, %s, %s, %s, %s)"
        ids, tokens = _ids_and_tokens(keeps)
        self.id = int(
            _value(self.presence, register, self.name, 1, predecessor, ids, tokens, _ids_and_tokens(begun)[0])
        )

    def claim(self, *queues: str, kind: str = "job", max_count: int = 10, top_level: bool = False) -> list[Claim]:
        """Claim up to `max_count` messages; of the queue `default` when none is named.

        Args:
            top_level: the jobs are as those that a try in the batch lane has found to need the top-level lane.
        """
        wanted = list(queues or ["default"])
        if top_level:
            marked = "update pgqueue.message set top_level = true where kind = 'job' and state = 'ready' and queue = any (%s)"
            self._db.execute(marked, [wanted])
        demand = [{"kind": kind, "queues": wanted, "room": max_count}]
        rows = self.session.execute(query("ack_and_claim"), self._look(demand)).fetchall()
        return [
            Claim(id, token, queue, earlier > 0, json.loads(message), lane, self.session)
            for _acked, _kind, id, token, queue, earlier, message, lane in rows[1:]
            if _kind is not None  # else messages wait for a limit
        ]

    def _look(self, demand: list[dict[str, Any]]) -> dict[str, Any]:
        return {"worker_id": self.id, "ids": [], "tokens": [], "failed": [], "demand": json.dumps(demand)}

    def claim_one(self, *queues: str, kind: str = "job", top_level: bool = False) -> Claim:
        """Claim exactly one message; there has to be one."""
        deadline = time.monotonic() + 20
        # On a busy machine a claim may seem dear; then what came back is looked for a fiftieth of the time only.
        while (
            not (claims := self.claim(*queues, kind=kind, max_count=1, top_level=top_level))
            and time.monotonic() < deadline
        ):
            time.sleep(_IDLE_SECONDS)
        assert len(claims) == 1, "there is nothing to claim"
        return claims[0]

    def executor(self, submitter: str, *, fresh: bool = False) -> Executor:
        """The executor of a role, or another one."""
        if fresh or submitter not in self._executors:
            self._executors[submitter] = Executor(self._db, submitter, self)
        return self._executors[submitter]

    @property
    def batch_executor(self) -> BatchExecutor:
        """The executor of the batch lane."""
        self._batch_executor = self._batch_executor or BatchExecutor(self._db, self)
        return self._batch_executor

    def run(self, claim: Claim, *, chunk_rows: int = 1000) -> str:
        """Run a claimed job in its lane and return how that ended, as in the type pgqueue.ending."""
        if claim.lane == "batch":
            return self.batch_executor.run(claim)
        return self.executor(claim.job["submitter"]).run(claim, chunk_rows=chunk_rows)

    def run_next(self, *queues: str, chunk_rows: int = 1000) -> str:
        """Claim one job and run it; again if the first lane hands it over to the other."""
        ending = self.run(self.claim_one(*queues), chunk_rows=chunk_rows)
        return ending if ending != "handed_over" else self.run(self.claim_one(*queues), chunk_rows=chunk_rows)

    def run_all(self, *queues: str) -> list[str]:
        """Run jobs until there are none; return how they ended."""
        endings = []
        while claims := self.claim(*queues):
            endings += [self.run(claim) for claim in claims]
        return [ending for ending in endings if ending != "handed_over"]

    def settle_run(
        self, claims: Sequence[Claim], error: dict[str, Any], pid: int, *, is_jobs: bool
    ) -> list[tuple[int, str | None]]:
        """Let the database decide after an error that ended a call of the batch lane, which `pid` has run."""
        ids, tokens = _ids_and_tokens(claims)
        rows = self.session.execute(
            "select id, ending from pgqueue._settle_run(%s, %s, %s, %s, 0.1, %s)",
            [ids, tokens, json.dumps(error), is_jobs, pid],
        )
        return rows.fetchall()

    def find_ending(self, claim: Claim) -> str:
        """Return how a job has ended; gone: somebody else has it."""
        row = self.session.execute("select state from pgqueue._ended_jobs(%s, 0)", [[claim.id]]).fetchone()
        return "gone" if row is None else str(row[0])

    def set_run_progress(self, claim: Claim, pid: int, pct: int, msg: str | None) -> None:
        """Write what a job of the batch lane said, which runs in the session with this number."""
        said = [claim.id, claim.token, pid, pct, msg]
        self.session.execute("select pgqueue._set_run_progress(%s, %s, %s, %s, %s)", said)

    @contextlib.contextmanager
    def serving(self, *queues: str) -> Iterator[None]:
        """Run jobs in a thread meanwhile."""
        stopped = threading.Event()
        thread = threading.Thread(target=self._serve, args=(queues, stopped), name=self.name)
        thread.start()
        try:
            yield
        finally:
            stopped.set()
            thread.join()

    def _serve(self, queues: Sequence[str], stopped: threading.Event) -> None:
        while not stopped.wait(_IDLE_SECONDS):
            self.run_all(*queues)

    def ack(self, *claims: Claim, failed: Sequence[Claim] = ()) -> int:
        """Acknowledge claims, and which of them are tasks that have failed; return how many still were ours."""
        ids, tokens = _ids_and_tokens([*claims, *failed])
        return int(_value(self.session, "select pgqueue._ack(%s, %s, %s)", ids, tokens, _ids_and_tokens(failed)[0]))

    def release(self, *claims: Claim, undelivered: bool = False) -> int:
        """Give claims back; return how many still were ours."""
        return int(_value(self.session, "select pgqueue._release(%s, %s, %s)", *_ids_and_tokens(claims), undelivered))

    def set_progress(self, claim: Claim, pct: int, msg: str | None) -> None:
        """Write what a running job said."""
        self.session.execute("select pgqueue._set_progress(%s, %s, %s, %s)", [claim.id, claim.token, pct, msg])

    def set_queues(self, *queues: str) -> None:
        """Say which queues are consumed."""
        self.session.execute("select pgqueue._set_worker_queues(%s, %s)", [self.id, list(queues)])

    def tick(self, items_processed: int = 0) -> tuple[Any, ...]:
        """Do the upkeep; return the settings."""
        row = self.session.execute(
            "select naptime, max_items from pgqueue._tick(%s, %s, clock_timestamp())", [self.id, items_processed]
        ).fetchone()
        assert row is not None
        return row

    def fall_asleep(self, *queues: str) -> bool:
        """Sleep as a listener, by the sleepers' locks; False when publishers are in flight."""
        names = list(queues or ["default"])
        sleep = "select asleep from pgqueue._lead_or_follow(%s, %s, %s)"
        return bool(_value(self.presence, sleep, ["task"] * len(names), names, [False] * len(names)))

    def wake_up(self, *queues: str) -> None:
        """Give the sleepers' locks back."""
        self.presence.execute("select pgqueue._wake_up(%s)", [list(queues or ["default"])])

    def lead_or_follow(self, *queues: str, kind: str = "task", steady: bool = True) -> list[str]:
        """Sleep for messages of a kind; return the role for each queue: leader, follower or listener. [] if awake."""
        names = list(queues or ["default"])
        row = self.presence.execute(
            "select asleep, roles from pgqueue._lead_or_follow(%s, %s, %s)",
            [[kind] * len(names), names, [steady] * len(names)],
        ).fetchone()
        assert row is not None
        return row[1] if row[0] else []

    def replace_leader(self, queue: str = "default", kind: str = "task") -> bool:
        """Let the next follower lead; return whether there was one."""
        return bool(
            _value(
                self.presence, "select replaced[1] from pgqueue._replace_leader(%s, %s) r (replaced)", [kind], [queue]
            )
        )

    def step_down(self, queue: str = "default", kind: str = "task", successors: int = 1) -> None:
        """Be neither leader nor follower."""
        self.presence.execute("select pgqueue._step_down(%s, %s, %s)", [[kind], [queue], successors])

    def unregister(self, begun: Sequence[Claim] = ()) -> None:
        """End in good order; some tasks were begun."""
        self.presence.execute("select pgqueue._unregister_worker(%s, %s)", [self.id, _ids_and_tokens(begun)[0]])
        self.presence.close()

    def kill(self, *, noticed: bool = True) -> None:
        """Lose the presence session, as the server sees a worker that was killed; noticed long enough ago to be believed."""
        terminate(self._db, self.presence)
        if noticed:
            statement = "update pgqueue.worker set lost_at = clock_timestamp() - interval '1 hour' where id = %s"
            self._db.execute(statement, [self.id])


def terminate(db: Database, session: Connection) -> None:
    """End somebody's session from outside and return when it is gone."""
    pid = session.info.backend_pid
    db.server.admin.execute("select pg_terminate_backend(%s, 10000)", [pid])
    session.close()


def _fields_of(error: psycopg.Error) -> dict[str, str | None]:
    return {name: getattr(error.diag, attribute) for name, attribute in _ERROR_FIELDS.items()}


def _ids_and_tokens(claims: Sequence[Claim]) -> tuple[list[int], list[int]]:
    return [claim.id for claim in claims], [claim.token for claim in claims]


def _collect(cursor: psycopg.RawCursor[Any]) -> tuple[list[str], list[dict[str, Any]] | None, list[list[str | None]]]:
    tags: list[str] = []
    columns: list[dict[str, Any]] | None = None
    rows: list[list[str | None]] = []
    while True:
        result = cursor.pgresult
        assert result is not None
        tags.append((result.command_status or b"").decode())
        if result.status == ExecStatus.TUPLES_OK:
            described = range(result.nfields)
            columns = [
                {"name": (result.fname(n) or b"").decode(), "oid": result.ftype(n), "typmod": result.fmod(n)}
                for n in described
            ]
            rows = [[_text(result.get_value(row, n)) for n in described] for row in range(result.ntuples)]
        if not cursor.nextset():
            return tags, columns, rows


def _text(value: bytes | None) -> str | None:
    return None if value is None else bytes(value).decode()


def _value(session: Connection, statement: str, *params: object) -> Any:
    row = session.execute(statement, params).fetchone()
    assert row is not None
    return row[0]
