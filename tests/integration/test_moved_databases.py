"""Databases that were moved or copied: jobs run as who submitted them, or not at all."""

from __future__ import annotations

import subprocess
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from pgqueue.local.embedded.account import account_for
from pgqueue.schema import migrate
from tests.harness import Database, TestServer
from tests.harness.claimant import Claimant
from tests.harness.people import fetch_value, refused
from tests.harness.servers import temporary_server
from tests.harness.standby import synchronous_standby
from tests.sql.test_schedules import pass_time, plan_all

pytestmark = [pytest.mark.every_server, pytest.mark.slow]

DEBIAN_15 = Path("/usr/lib/postgresql/15/bin")
SCHEDULES = """
select owner, name, next_at, enabled from pgqueue.schedules order by owner <> 'alice', name
"""
WHO = "insert into seen values (current_user, '%s')"


def run_tool(server: TestServer, tool: str, *arguments: str, text: str | None = None) -> str:
    at = conninfo_to_dict(server.embedded.dsn)
    command = [
        server.embedded.binaries.program(tool),
        *("--host", str(at["host"]), "--port", str(at["port"]), "--username", "postgres"),
    ]
    ended = subprocess.run([*command, *arguments], input=text, capture_output=True, text=True, timeout=240, check=False)
    assert ended.returncode == 0, ended.stderr[-2000:]
    return ended.stdout


def connect(server: TestServer, database: str, user: str = "postgres") -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(server.conninfo(database, user=user), autocommit=True)


class Moved:
    """A database at its new place, as far as a Claimant needs a test's database."""

    def __init__(self, server: TestServer, name: str) -> None:
        self.server, self.name = server, name
        self._sessions: list[psycopg.Connection[tuple[object, ...]]] = []

    def connect(self, role: str | None = None, **_options: object) -> psycopg.Connection[tuple[object, ...]]:
        self._sessions.append(connect(self.server, self.name, role or "postgres"))
        return self._sessions[-1]

    def close(self) -> None:
        for session in self._sessions:
            session.close()

    def worker_role(self) -> str:
        with connect(self.server, self.name) as owner:
            if not owner.execute("select to_regrole('moved_worker')").fetchall()[0][0]:
                owner.execute("create role moved_worker login in role pgqueue_worker")
        return "moved_worker"


def submitters(owner: psycopg.Connection[tuple[object, ...]]) -> list[tuple[object, ...]]:
    return owner.execute("select label, submitter from pgqueue.jobs where label <> '' order by label").fetchall()


def fill(owner: psycopg.Connection[tuple[object, ...]], server: TestServer, database: str) -> None:
    """Let alice and carol have jobs that wait and one that ended."""
    owner.execute("create table seen (who text, note text); grant insert, select on seen to public")
    for role in ("alice", "carol", "dora"):
        owner.execute(f"select pgqueue.enroll('{role}')")
        with connect(server, database, role) as session:
            session.execute("select pgqueue.enqueue(%s, label => %s)", [WHO % role, role])
            session.execute("select pgqueue.send_task('work')")


def make_old_and_new_numbers(old: TestServer, new: TestServer) -> None:
    """Give the numbers that roles have in the old cluster to others in the new one, among them a superuser."""
    for role in ("alice", "carol", "dora"):
        old.admin.execute(f"create role {role} login")
    # The template's roles come later: the first numbers of both clusters are these.
    for role in ("boss login superuser", "alice login", "carol login"):
        new.admin.execute(f"create role {role}")


def test_a_dump_restored_where_roles_have_other_numbers_runs_jobs_as_who_submitted_them() -> None:
    with temporary_server() as old, temporary_server() as new:
        make_old_and_new_numbers(old, new)
        old.admin.execute("create database shop")
        with connect(old, "shop") as owner:
            migrate.install(owner)
            fill(owner, old, "shop")
            before = dict(owner.execute("select oid, rolname from pg_roles").fetchall())
            # Nothing has run since, so the table of names knows it not. The owner of the runner says it.
            owner.execute("alter role carol rename to caroline")
            new.admin.execute("alter role carol rename to caroline")
        roles = run_tool(old, "pg_dumpall", "--roles-only")
        roles = "".join(f"{line}\n" for line in roles.splitlines() if "dora" not in line and "postgres" not in line)
        for role in ("alice", "caroline"):
            roles = roles.replace(f"CREATE ROLE {role};\n", "")
        run_tool(new, "psql", "--dbname=postgres", "--quiet", text=roles)
        dump = run_tool(old, "pg_dump", "--dbname=shop")
        new.admin.execute("create database shop")
        run_tool(new, "psql", "--dbname=shop", "--quiet", text=dump)

        place = Moved(new, "shop")
        owner = place.connect()
        after = dict(owner.execute("select oid, rolname from pg_roles").fetchall())
        alice_was = next(number for number, name in before.items() if name == "alice")
        assert after[alice_was] == "boss"
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="copied or restored"):
            Claimant(place)  # type: ignore[arg-type]
        assert refused(owner, "select pgqueue.enroll('boss')").diag.message_hint == "Let its owner run: pgqueue upgrade"
        # Whoever writes past the functions has a number of here already.
        with connect(new, "shop", "boss") as boss:
            boss.execute(
                "insert into pgqueue.outbox (cookie, kind, queue, sql, settings, label)"
                " values (1, 'job', 'default', 'select 1', '{}', 'z')"
            )

        migrate.upgrade(owner)

        found = submitters(owner)
        assert found[:2] == [("alice", "alice"), ("carol", "caroline")]
        assert found[2][0] == "dora"
        assert str(found[2][1]).startswith("unknown")
        assert found[3] == ("z", "boss")
        owners = owner.execute(
            "select replace(proname, 'job_', '')::oid::regrole::text, proowner::regrole::text from pg_proc"
            " where pronamespace = 'pgqueue_run'::regnamespace and proname like 'job\\_%' order by 1"
        ).fetchall()
        assert owners == [("alice", "alice"), ("caroline", "caroline")]
        worker = Claimant(place)  # type: ignore[arg-type]
        owner.execute("update pgqueue.message set top_level = true where kind = 'job'")  # lanes are not what is tried
        for claim in worker.claim():
            role = str(
                fetch_value(owner, "select submitter::regrole::text from pgqueue.message where id = %s", [claim.id])
            )
            if role in ("alice", "caroline"):
                worker.executor(role, fresh=True).run(claim)
        assert sorted(owner.execute("select who, note from seen").fetchall()) == [
            ("alice", "alice"),
            ("caroline", "carol"),
        ]
        # She comes later, and gets her job back.
        owner.execute("create role dora login")
        migrate.upgrade(owner)
        assert ("dora", "dora") in submitters(owner)
        with connect(new, "shop", "alice") as session:
            assert session.execute("select (pgqueue.launch('select 1')).id > 0").fetchall() == [(True,)]
        place.close()


def test_schedules_in_a_dump_keep_their_instants_and_fire_once_each_as_who_owns_them() -> None:
    with temporary_server() as old, temporary_server() as new:
        make_old_and_new_numbers(old, new)
        old.admin.execute("create database shop")
        there = Moved(old, "shop")
        owner = there.connect()
        migrate.install(owner)
        for role in ("alice", "dora"):
            owner.execute(f"select pgqueue.enroll('{role}')")
            there.connect(role).execute(
                "select pgqueue.schedule('cron', '0 2 * * *', 'select 1', timezone => 'Europe/Berlin'),"
                " pgqueue.schedule('interval', '1 day', 'select 1'), pgqueue.schedule('next week', '7 days', 'select 1'),"
                " pgqueue.schedule('paused', '1 day', 'select 1'), pgqueue.pause_schedule('paused')"
            )
        worker = Claimant(there)  # type: ignore[arg-type]
        assert plan_all(worker) == 2
        worker.session.close()
        worker.presence.close()
        pass_time(owner, hours=24)
        before = owner.execute(SCHEDULES).fetchall()
        assert [row[1] for row in before] == ["cron", "interval", "next week", "paused"] * 2
        dump = run_tool(old, "pg_dump", "--dbname=shop")
        there.close()
        new.admin.execute("create database shop")
        with connect(new, "postgres") as other:
            migrate.install(other)  # makes the group roles
        run_tool(new, "psql", "--dbname=shop", "--quiet", text=dump)

        place = Moved(new, "shop")
        owner = place.connect()
        migrate.upgrade(owner)

        after = owner.execute(SCHEDULES).fetchall()
        assert after[:4] == before[:4]
        assert [row[1:] for row in after[4:]] == [row[1:] for row in before[4:]]
        assert str(after[4][0]).startswith("unknown")
        workers = [Claimant(place, name) for name in ("w1", "w2")]  # type: ignore[arg-type]
        for worker in (*workers, *workers):
            worker.tick()
        fired = "select owner, name, outcome, missed from pgqueue.schedule_runs order by owner, name"
        alices: list[tuple[object, ...]] = [("alice", "cron", "enqueued", 0), ("alice", "interval", "enqueued", 0)]
        assert owner.execute(fired).fetchall() == alices
        assert owner.execute("select submitter from pgqueue.jobs").fetchall() == [("alice",)] * 2
        # Nothing is enqueued for whom the new cluster lacks. She comes later, and her schedules go on.
        faults = "select name, enabled, error from pgqueue.schedules where owner <> 'alice' order by name"
        gone = "paused: its owner does not exist any more"
        assert owner.execute(faults).fetchall() == [
            *(("cron", False, gone), ("interval", False, gone)),
            *(("next week", True, None), ("paused", False, None)),
        ]
        owner.execute("create role dora login")
        migrate.upgrade(owner)
        dora = place.connect("dora")
        assert (
            dora.execute("select pgqueue.resume_schedule(n) from unnest('{cron,interval}'::text[]) n").fetchall()
            == [(True,)] * 2
        )
        assert dora.execute("select count(*) from pgqueue.schedules where enabled and error is null").fetchall() == [
            (3,)
        ]
        place.close()


def test_a_copy_of_a_database_beside_the_original_hands_in_and_runs_for_itself_only(db: Database) -> None:
    alice = db.connect(db.create_role("alice"))
    alice.execute("select pgqueue.enqueue('select 1', label => 'alice')")
    alice.close()
    copy = f"{db.name}_copy"
    db.server.admin.execute(f'create database "{copy}" template "{db.name}"')
    try:
        place = Moved(db.server, copy)
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="copied or restored"):
            Claimant(place)  # type: ignore[arg-type]
        with connect(db.server, copy, "alice") as session:
            assert "copied or restored" in str(refused(session, "select pgqueue.launch('select 2')"))
        with connect(db.server, copy) as owner:
            migrate.upgrade(owner)
            assert submitters(owner) == [("alice", "alice")]
        with connect(db.server, copy, "alice") as session:
            session.execute("select pgqueue.launch('select 2', label => 'of the copy')")
        with connect(db.server, copy) as owner:
            assert len(submitters(owner)) == 2
        assert db.fetch_value("select count(*) from pgqueue.message") == 1
        worker = Claimant(place)  # type: ignore[arg-type]
        assert len(worker.claim()) == 2
        place.close()
    finally:
        db.server.drop_database(copy)


def test_a_base_backup_beside_the_original_hands_nothing_in_to_it(own_server_db: Database) -> None:
    db, original = own_server_db, own_server_db.server
    alice = db.connect(db.create_role("alice"))
    alice.execute("select pgqueue.launch('select 1', label => 'alice')")
    with synchronous_standby(original) as backup:
        backup.admin.execute("select pg_promote()")
        original.admin.execute("alter system reset synchronous_standby_names")
        original.admin.execute("select pg_reload_conf()")
        with connect(backup, db.name, "alice") as session:
            # Its loopback was made for the original's address. It finds its own.
            session.execute("select pgqueue.launch('select 2', label => 'backup')")
        assert db.fetch_value("select count(*) from pgqueue.message") == 1
        with connect(backup, db.name) as owner:
            migrate.upgrade(owner)
        with connect(backup, db.name, "alice") as session:
            session.execute("select pgqueue.launch('select 3', label => 'upgraded')")
        with connect(backup, db.name) as owner:
            assert submitters(owner) == [("alice", "alice"), ("backup", "alice"), ("upgraded", "alice")]
        assert db.fetch_value("select count(*) from pgqueue.message") == 1


@pytest.mark.skipif(
    not (DEBIAN_15 / "pg_upgrade").exists(), reason="no PostgreSQL 15 here (Debian: apt-get install postgresql-15)"
)
def test_pg_upgrade_from_15_keeps_who_submitted_what() -> None:
    with temporary_server(str(DEBIAN_15)) as old, temporary_server() as new:
        if counts_versions_of_attributes(old) and not counts_versions_of_attributes(new):
            pytest.skip(f"pg_upgrade cannot go from {old.embedded.binaries.version} to an older release of {new.major}")
        for role in ("alice", "carol", "dora"):
            old.admin.execute(f"create role {role} login")
        old.admin.execute("create database shop")
        with connect(old, "shop") as owner:
            migrate.install(owner)
            fill(owner, old, "shop")
            before = submitters(owner)
        upgrade_cluster(old, new)

        place = Moved(new, "shop")
        owner = place.connect()
        assert submitters(owner) == before
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="copied or restored"):
            Claimant(place)  # type: ignore[arg-type]
        migrate.upgrade(owner)
        assert submitters(owner) == before
        worker = Claimant(place)  # type: ignore[arg-type]
        owner.execute("update pgqueue.message set top_level = true where kind = 'job'")  # lanes are not what is tried
        for claim in worker.claim():
            role = str(
                fetch_value(owner, "select submitter::regrole::text from pgqueue.message where id = %s", [claim.id])
            )
            worker.executor(role, fresh=True).run(claim)
        seen = sorted(owner.execute("select who, note from seen").fetchall())
        assert seen == [("alice", "alice"), ("carol", "carol"), ("dora", "dora")]
        with connect(new, "shop", "alice") as session:
            assert session.execute("select (pgqueue.launch('select 1')).id > 0").fetchall() == [(True,)]
        place.close()


def counts_versions_of_attributes(server: TestServer) -> bool:
    """Tell whether a server's schema for pg_upgrade sets an option that came with the releases of November 2026 (15.20)."""
    return b"pg_attver" in Path(server.embedded.binaries.program("postgres")).read_bytes()


def upgrade_cluster(old: TestServer, new: TestServer) -> None:
    """Let pg_upgrade put the old server's databases into the new one, which is empty."""
    for server in (old, new):
        server.close()
        server.embedded.stop()
    account, binaries = account_for(new.embedded.data_dir), new.embedded.binaries
    place = new.embedded.data_dir.parent / "upgrade"
    place.mkdir()
    account.own(place)
    for command in (
        # The default since PostgreSQL 18. Both sides must have the same.
        ["pg_checksums", "--disable", "--pgdata", str(new.embedded.data_dir)],
        [
            *("pg_upgrade", "--username=postgres", f"--socketdir={place}"),
            *(
                f"--old-bindir={old.embedded.bin_dir}",
                f"--new-bindir={binaries.program('postgres').rpartition('/')[0]}",
            ),
            *(f"--old-datadir={old.embedded.data_dir}", f"--new-datadir={new.embedded.data_dir}"),
        ],
    ):
        program = [binaries.program(command[0]), *command[1:]]
        ended = subprocess.run(
            program, capture_output=True, text=True, timeout=240, check=False, cwd=place, **account.subprocess_options()
        )
        logs = "".join(log.read_text()[-3000:] for log in new.embedded.data_dir.glob("pg_upgrade_output.d/*/log/*.log"))
        assert ended.returncode == 0, ended.stdout[-500:] + logs
    new.embedded.start()
