"""Every setting that can be put on a database or a role, changed, beside a worker, a launch, an enqueue and a task.

`python -m tests.settings_sweep [--pg-bin DIR] [--out FILE] [--of PART/PARTS] [NAME...]` writes a table: setting, value,
what was run, outcome. Settings are tried in groups; a group that fails is tried again one by one.
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

import pgqueue
from pgqueue.broker.worker_session import WorkerSession
from pgqueue.db.database import Database as Sessions
from tests.harness import Database, TestServer, Worker
from tests.harness.result_app import make_app
from tests.harness.servers import temporary_server

#: Settings whose changed value cannot be guessed from what the server says of them.
VALUES: dict[str, tuple[str, ...]] = {
    "statement_timeout": ("2s",),
    "lock_timeout": ("100ms",),
    "idle_session_timeout": ("1s",),
    "idle_in_transaction_session_timeout": ("1s",),
    "transaction_timeout": ("2s",),
    "default_transaction_isolation": ("serializable", "repeatable read"),
    "client_encoding": ("latin1",),
    "DateStyle": ("German", "SQL, DMY"),
    "TimeZone": ("America/New_York",),
    "search_path": ("", "nowhere"),
    "timezone_abbreviations": ("India",),
    "default_text_search_config": ("pg_catalog.german",),
    "default_tablespace": ("pg_default",),
    "temp_tablespaces": ("pg_default",),
    "lc_monetary": ("C",),
    "lc_numeric": ("C",),
    "lc_time": ("C",),
    "lc_messages": ("C",),
    "restrict_nonsystem_relation_kind": ("foreign-table",),
    "application_name": ("somebody",),
    "log_statement_sample_rate": ("0.5",),
    "log_transaction_sample_rate": ("0.5",),
    "work_mem": ("64kB",),
    "temp_file_limit": ("100MB",),
    "max_stack_depth": ("1MB",),
    "createrole_self_grant": ("set",),
    "dynamic_library_path": ("$libdir:/nowhere",),
    "wal_consistency_checking": ("all",),
    "backtrace_functions": ("nothing",),
}
#: What is not tried, and why.
LEFT_OUT = {
    "role": "who the session is: docs/how-to/deploy.md",
    "session_authorization": "the server sets it for no database",
    "transaction_isolation": "of a transaction",
    "transaction_read_only": "of a transaction",
    "transaction_deferrable": "of a transaction",
    "seed": "of a session",
    "exit_on_error": "ends the session at any error, which is what it says",
    "local_preload_libraries": "needs a library",
    "session_preload_libraries": "needs a library",
    "default_table_access_method": "needs an extension with another",
    "lc_collate": "fixed",
    "allow_in_place_tablespaces": "for the server's own tests",
    "zero_damaged_pages": "for damaged servers",
    "ignore_checksum_failure": "for damaged servers",
    "jit_provider": "needs a library",
    "ignore_system_indexes": "for damaged servers",
    "trace_recovery_messages": "of the server's start",
    "session_replication_role": "switches triggers and foreign keys off, pgqueue's too: docs/how-to/deploy.md",
}
#: These wait for a session to be idle, or for a statement to take long.
_IDLE = {"idle_session_timeout", "idle_in_transaction_session_timeout", "statement_timeout", "transaction_timeout"}
_IDLE_SECONDS = 2.5
_GROUP = 10
_DEADLINE_SECONDS = 60
_ROLE = "sweep_worker"
_STATEMENT = "select 41 + 1, now(), interval '1 day', 0.1::float8, decode('00ff', 'hex'), array[1, null]"
_COLUMNS = "n int, t timestamptz, i interval, f float8, b bytea, a int[]"


@dataclass(frozen=True)
class Changed:
    """A setting with a value that is not its default."""

    name: str
    value: str


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    setting: str
    value: str
    run: str
    outcome: str


class Sweep:
    """A database on which settings are changed, and what is run on it."""

    def __init__(self, db: Database, folder: Path) -> None:
        self.db, self._folder, self._runs = db, folder, 0
        db.create_role("alice")
        with contextlib.suppress(psycopg.errors.DuplicateObject):
            db.server.admin.execute(f"create role {_ROLE} login in role pgqueue_worker")
        db.execute("create table ran (label text); grant insert, select on ran to alice")

    def all(self) -> Iterator[Changed]:
        """Yield the settings that any role or a superuser may put on a database, each with other values."""
        rows = self.db.server.admin.execute(
            """select name, vartype, setting, min_val, max_val, enumvals from pg_settings
               where context in ('user', 'superuser') and name !~ '[.]' order by lower(name)"""
        ).fetchall()
        for name, kind, setting, least, greatest, choices in rows:
            if name in LEFT_OUT:
                continue
            if name in VALUES:
                values = VALUES[name]
            elif kind == "bool":
                values = ("off" if setting == "on" else "on",)
            elif kind == "enum":
                values = tuple(choice for choice in choices if choice != setting)[-1:]
            elif kind in ("integer", "real"):
                values = (least if least != setting and not least.startswith("-") else _near(setting, greatest),)
            else:
                values = ()
            for value in values:
                yield Changed(name, value)

    def run(self, changed: Sequence[Changed]) -> list[tuple[str, str]]:
        """Run a worker and what it serves under these settings; return what was run, and how it ended."""
        self._runs += 1
        put = [each for each in changed if not self._put(each)]
        outcomes = [("set", f"refused by the server: {', '.join(each.name for each in put)}")] if put else []
        worker = Worker(
            self.db,
            self._folder / f"worker{self._runs}.log",
            name=f"sweep{self._runs}",
            arguments=("--concurrency=1", "-A", "tests.harness.result_app"),
            role=_ROLE,
        )
        try:
            outcomes += self._run_beside(worker, must_idle=any(each.name in _IDLE for each in changed))
        finally:
            worker.end()
            for each in changed:
                self._reset(each)
            self._reset_queue()
        return outcomes

    def _run_beside(self, worker: Worker, *, must_idle: bool) -> Iterator[tuple[str, str]]:
        def start() -> str:
            worker.wait_online(_DEADLINE_SECONDS)
            if must_idle:
                time.sleep(_IDLE_SECONDS)
            return "ok"

        steps: tuple[tuple[str, Callable[[], str]], ...] = (
            ("worker", start),
            ("launch and result", self._launch),
            ("enqueue", self._enqueue),
            ("client", self._client),
            ("send_task", self._send_task),
            ("task with result", self._task),
        )
        for what, step in steps:
            outcome = _outcome_of(step)
            yield what, outcome
            if what == "worker" and outcome != "ok":
                return
        if lost := [line for line in worker.read_log().splitlines() if "onnection to broker lost" in line]:
            yield "worker", f"lost its connection: {lost[0]}"

    def _connect(self) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(self.db.dsn_for("alice"), autocommit=True)

    def _launch(self) -> str:
        with self._connect() as alice:
            [(handle,)] = alice.execute("select pgqueue.launch(%s)", [_STATEMENT]).fetchall()
            [(has_ended,)] = alice.execute("select pgqueue.wait(%s, '30 s')", [handle]).fetchall()
            if not has_ended:
                return "has not ended after 30 s"
            [(value,)] = alice.execute(f"select n::text from pgqueue.result(%s) as ({_COLUMNS})", [handle]).fetchall()
        return "ok" if value == "42" else f"returned {value!r}"

    def _enqueue(self) -> str:
        label = f"run {self._runs}"
        with self._connect() as alice:
            alice.execute("set default_transaction_read_only = off")
            [(ended,)] = alice.execute(
                """select pgqueue.wait(pgqueue.submit('insert into public.ran values ($1)', array[%s]), '30 s')""",
                [label],
            ).fetchall()
            [(handle,)] = alice.execute(
                "select (pgqueue.enqueue('insert into public.ran values ($1)', array[%s])).id", [label]
            ).fetchall()
        deadline = time.monotonic() + _DEADLINE_SECONDS
        counted = "select count(*) from public.ran where label = %s"
        while self.db.fetch_value(counted, [label]) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        found = self.db.fetch_value(counted, [label])
        return "ok" if found == 2 and ended else f"{found} of 2 jobs ran (the last is {handle})"

    def _client(self) -> str:
        with pgqueue.connect(self.db.dsn_for("alice")) as client:
            job = client.launch("select $1::int + 1, now(), interval '1 day'", 41)
            rows = job.result(timeout=_DEADLINE_SECONDS)
            status = job.status().state.value
        return "ok" if rows[0][0] == 42 and status == "succeeded" else f"returned {rows!r}, {status}"

    def _send_task(self) -> str:
        with self._connect() as alice:
            alice.execute("set default_transaction_read_only = off")
            [(task_id,)] = alice.execute("""select pgqueue.send_task('add', '[1, 2]', queue => 'celery')""").fetchall()
        return self._get(lambda app: app.AsyncResult(str(task_id)))

    def _task(self) -> str:
        return self._get(lambda app: app.tasks["add"].delay(1, 2))

    def _get(self, send: Callable[..., object]) -> str:
        app = make_app(self.db.dsn_for("alice"))
        try:
            value = send(app).get(timeout=_DEADLINE_SECONDS)  # type: ignore[attr-defined]
        finally:
            app.backend.result_consumer.stop()
            app.close()
            WorkerSession.close_all()
            Sessions.for_dsn(self.db.dsn_for("alice")).close()
        return "ok" if value == 3 else f"returned {value!r}"

    def _put(self, changed: Changed) -> bool:
        try:
            for place in (sql.SQL("database {db}"), sql.SQL("role {role} in database {db}")):
                self._alter(place, sql.SQL("set {name} = {value}"), changed)
        except psycopg.Error:
            return False
        return True

    def _reset(self, changed: Changed) -> None:
        for place in (sql.SQL("database {db}"), sql.SQL("role {role} in database {db}")):
            self._alter(place, sql.SQL("reset {name}"), changed)

    def _alter(self, place: sql.SQL, change: sql.SQL, changed: Changed) -> None:
        # An empty list of names is no name.
        value = sql.SQL("''") if not changed.value else sql.Literal(changed.value)
        statement = sql.SQL("alter {} {}").format(
            place.format(db=sql.Identifier(self.db.name), role=sql.Identifier(_ROLE)),
            change.format(name=sql.Identifier(changed.name), value=value),
        )
        self.db.server.admin.execute(statement)

    def _reset_queue(self) -> None:
        self.db.execute("delete from pgqueue.message")


def sweep(subject: Sweep, changed: Sequence[Changed]) -> Iterator[Row]:
    """Try settings in groups, and those of a group that fails one by one."""
    # No setting twice in a group: first the first value of each.
    changed = sorted(changed, key=lambda each: [one for one in changed if one.name == each.name].index(each))
    for first in range(0, len(changed), _GROUP):
        group = changed[first : first + _GROUP]
        outcomes = subject.run(group)
        if all(outcome == "ok" for _what, outcome in outcomes):
            yield from (Row(each.name, each.value, what, "ok") for each in group for what, _outcome in outcomes)
            continue
        for each in group:
            alone = subject.run([each])
            yield from (Row(each.name, each.value, what, outcome) for what, outcome in alone)


def _outcome_of(step: Callable[[], str]) -> str:
    try:
        return step()
    except Exception as failure:  # noqa: BLE001 - whatever it is, it is the outcome
        return f"{type(failure).__name__}: {' '.join(str(failure).split())[:200]}"


def _near(setting: str, greatest: str) -> str:
    return str(min(max(int(float(setting)) * 2, 1), int(float(greatest))))


def main() -> int:
    """Write the table; return whether anything failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--pg-bin")
    parser.add_argument("--out", type=Path, default=Path("build/settings_sweep.tsv"))
    parser.add_argument("--of", default="1/1", metavar="PART/PARTS", help="only this part of the settings")
    options = parser.parse_args()
    part, parts = (int(number) for number in options.of.split("/"))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    failures = 0
    with (
        tempfile.TemporaryDirectory() as folder,
        temporary_server(options.pg_bin) as server,
        options.out.open("w") as out,
    ):
        failures = _write(server, Path(folder), out.write, options.names, (part, parts))
    print(f"{failures} failures; the table is in {options.out}")
    return int(failures > 0)


def _write(
    server: TestServer, folder: Path, write: Callable[[str], object], names: Sequence[str], piece: tuple[int, int]
) -> int:
    db = Database(server)
    try:
        subject = Sweep(db, folder)
        changed = [each for each in subject.all() if not names or each.name in names]
        chosen = changed[piece[0] - 1 :: piece[1]]
        write("setting\tvalue\trun\toutcome\n")
        failures = 0
        for row in sweep(subject, chosen):
            write(f"{row.setting}\t{row.value}\t{row.run}\t{row.outcome}\n")
            failures += row.outcome != "ok"
            if row.outcome != "ok":
                print(row, flush=True)
        for name, reason in LEFT_OUT.items():
            write(f"{name}\t\tnothing\tleft out: {reason}\n")
        return failures
    finally:
        db.close()


if __name__ == "__main__":
    raise SystemExit(main())
