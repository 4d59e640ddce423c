import contextlib
import time
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from pgqueue import errors
from pgqueue.schema import applying, facts, migrate, uninstall
from pgqueue.schema.migrate import Applied, Release
from pgqueue.sql import FunctionFile, Migration, function_files, migrations
from tests.harness import Database, eventually

pytestmark = pytest.mark.every_server

GROUP_ROLES = ["pgqueue_admin", "pgqueue_gate", "pgqueue_monitor", "pgqueue_user", "pgqueue_worker"]
EVERYTHING = [step.version for step in migrations()]
LATER = len(migrations()) + 1


def with_step(text, *, version="0.1.0"):
    """The SQL of this package and a migration more."""
    return Release(version, migrations=[*migrations(), Migration(LATER, "add_step", text)])


def with_function(text, *, version="0.1.0"):
    """The SQL of this package and a file of functions more."""
    return Release(version, functions=[*function_files(), FunctionFile("extra", text)])


def what_is_there(db):
    """What an installation could leave behind, in the database and in the cluster."""
    return db.execute(
        """
        select 'schema', nspname::text from pg_namespace where nspname not like 'pg\\_%'
        union all select 'role', rolname::text from pg_roles where rolname !~ '^pg_'
        union all select 'extension', extname::text from pg_extension
        union all select 'server', srvname::text from pg_foreign_server
        union all select 'mapping', srvname::text from pg_user_mappings
        order by 1, 2
        """
    )


@pytest.fixture
def fresh_db(own_server):
    """A database on a server that has never seen pgqueue: no roles either."""
    database = Database(own_server, installed=False)
    yield database
    database.close()


def test_installing_twice_changes_nothing_the_second_time(empty_db):
    with empty_db.connect() as connection:
        first = migrate.install(connection)
        second = migrate.install(connection)

    assert [step.version for step in first.migrations] == EVERYTHING
    assert first.functions == function_files()
    assert second == Applied()


def test_twenty_installers_at_once_are_harmless(empty_db, in_background):
    connections = [empty_db.connect() for _ in range(20)]

    applied = [future.result() for future in [in_background(migrate.install, c) for c in connections]]

    assert sorted(len(done.migrations) for done in applied) == [0] * 19 + [len(EVERYTHING)]
    assert sorted(len(done.functions) for done in applied) == [0] * 19 + [len(function_files())]
    assert empty_db.execute("select version from pgqueue.migration order by 1") == [(v,) for v in EVERYTHING]


@pytest.mark.slow
def test_installers_of_several_databases_at_once_are_harmless(own_server):
    with contextlib.ExitStack() as end, ThreadPoolExecutor(16) as threads:
        databases = [Database(own_server, installed=False) for _ in range(8)]
        for database in databases:
            end.callback(database.close)
        connections = [database.connect() for database in databases for _ in range(2)]

        applied = [future.result() for future in [threads.submit(migrate.install, c) for c in connections]]

        assert sorted(len(done.migrations) for done in applied) == [0] * 8 + [len(EVERYTHING)] * 8


def test_a_failing_migration_leaves_nothing_behind(fresh_db):
    before = what_is_there(fresh_db)

    with fresh_db.connect() as connection, pytest.raises(errors.ServerError, match="division by zero"):
        migrate.install(connection, with_step("select 1 / 0"))

    assert what_is_there(fresh_db) == before


def test_a_failing_function_leaves_nothing_behind(fresh_db):
    before = what_is_there(fresh_db)

    with fresh_db.connect() as connection, pytest.raises(errors.ServerError, match="no_such_type"):
        migrate.install(connection, with_function("create function pgqueue._f(x no_such_type) returns void return 1"))

    assert what_is_there(fresh_db) == before


def test_an_installer_that_is_killed_half_way_leaves_nothing_behind(fresh_db, in_background):
    before = what_is_there(fresh_db)
    connection = fresh_db.connect()
    pid = connection.info.backend_pid
    installer = in_background(migrate.install, connection, with_step("select pg_sleep(600)"))
    observer = fresh_db.connect()
    eventually(
        lambda: observer.execute(
            "select wait_event = 'PgSleep' from pg_stat_activity where pid = %s", [pid]
        ).fetchone()[0]
    )
    observer.execute("select pg_terminate_backend(%s)", [pid])

    with pytest.raises(errors.ConnectionFailed):
        installer.result()
    eventually(lambda: what_is_there(fresh_db) == before)
    with fresh_db.connect() as again:
        assert len(migrate.install(again).migrations) == len(EVERYTHING)


def test_an_upgrade_applies_what_is_new_and_keeps_what_is_there(empty_db):
    newer = with_step("create table pgqueue.note (text text)")
    with empty_db.connect() as connection:
        migrate.install(connection)
        behind = migrate.status(connection, newer)

        applied = migrate.upgrade(connection, newer)

        assert behind.pending == (f"{LATER:04}_add_step",)
        assert applied.migrations == (newer.migrations[-1],)
        assert migrate.status(connection, newer).pending == ()


def test_an_upgrade_applies_the_functions_whose_hash_differs(db):
    (claim,) = (file for file in function_files() if file.name == "claim")
    fixed = FunctionFile(
        "claim", claim.text.replace("returns table (acked int", "returns /* fixed */ table (acked int")
    )
    newer = Release("0.1.1", functions=[fixed if file is claim else file for file in function_files()])
    assert fixed != claim
    before = function_versions(db)
    with db.connect() as connection:
        behind = migrate.status(connection, newer)
        with pytest.raises(errors.SchemaTooOld, match="functions"):
            migrate.require_current(connection, newer)

        applied = migrate.upgrade(connection, newer)

        migrate.require_current(connection, newer)
    assert behind.pending == ("functions/claim",)
    assert applied == Applied(functions=(fixed,))
    replaced = {name for name, version in function_versions(db).items() if before[name] != version}
    assert "_claim" in replaced
    assert all(f"pgqueue.{name}(" in claim.text for name in replaced)


def test_an_upgrade_makes_new_functions_nobodys_until_they_are_granted(db):
    text = "create or replace function pgqueue._f() returns int language sql begin atomic select 1; end"
    with db.connect() as connection:
        migrate.upgrade(connection, with_function(text))

    db.create_role("alice")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        db.connect("alice").execute("select pgqueue._f()")


def test_a_file_of_functions_that_is_gone_is_forgotten(db):
    with db.connect() as connection:
        migrate.upgrade(connection, with_function("create or replace function pgqueue._f() returns int return 1"))
        without = Release(migrations=[*migrations(), Migration(LATER, "drop_f", "drop function pgqueue._f()")])

        migrate.upgrade(connection, without)

        migrate.require_current(connection, without)
    assert db.fetch_value("select count(*) from pgqueue.function_file") == len(function_files())


def test_a_migration_that_drops_a_function_gets_what_named_it_made_again(db):
    # The way to another signature: what depends on the function goes with it, and comes back from the files.
    dropped = "drop function pgqueue._advisory_locks(int) cascade"
    views = "select count(*) from pg_views where schemaname = 'pgqueue'"
    before = db.fetch_value(views)
    with db.connect() as connection:
        migrate.upgrade(connection, with_step(dropped))

    assert db.fetch_value(views) == before
    assert db.fetch_value("select to_regprocedure('pgqueue._has_takers(text)')") is not None
    db.create_role("alice")
    assert db.connect("alice").execute("select * from pgqueue.workers").fetchall() == []


def test_an_upgrade_that_has_nothing_to_do_waits_for_no_lock(db):
    busy = db.connect(autocommit=False)
    relations = (
        "select relname, relkind from pg_class where relnamespace = 'pgqueue'::regnamespace and relkind in ('r', 'v')"
    )
    for name, kind in db.execute(relations):
        # Programs write to all tables but this one, which installers lock against each other.
        mode = "access share" if name == "home" or kind == "v" else "row exclusive"
        busy.execute(f"lock table pgqueue.{name} in {mode} mode")

    with db.connect() as connection:
        connection.execute("set lock_timeout = '1ms'")
        applied = migrate.upgrade(connection)

    assert applied == Applied()
    busy.rollback()


def test_an_upgrade_of_a_table_in_use_holds_nobody_up_and_tries_again(db, in_background):
    db.create_role("alice")
    busy, alice = db.connect(autocommit=False), db.connect("alice")
    busy.execute("select count(*) from pgqueue.message")
    with db.connect() as connection:
        upgrade = in_background(
            migrate.upgrade, connection, with_step("alter table pgqueue.message add column note text")
        )
        eventually(lambda: alice.execute("select pgqueue.enqueue('select 1')") and is_waiting(db, connection))
        waited = []
        for _ in range(20):
            began = time.monotonic()
            alice.execute("select pgqueue.enqueue('select 1')")
            waited.append(time.monotonic() - began)
        busy.rollback()

        assert upgrade.result()
        migrate.require_current(connection, with_step("alter table pgqueue.message add column note text"))
    # The lock timeout, a deadlock's worth of a busy machine, and no more.
    assert max(waited) < 1


def test_an_upgrade_that_never_gets_its_lock_says_so_and_changes_nothing(db, monkeypatch):
    monkeypatch.setattr(applying, "UPGRADE_SECONDS", 0.3)
    busy = db.connect(autocommit=False)
    busy.execute("select count(*) from pgqueue.message")

    with db.connect() as connection, pytest.raises(errors.DatabaseInUse, match="lock") as refused:
        migrate.upgrade(connection, with_step("alter table pgqueue.message add column note text"))

    assert "xact_start" in refused.value.hint
    busy.rollback()
    assert db.fetch_value("select count(*) from pgqueue.migration") == len(EVERYTHING)


INDEX = """-- concurrently
-- By label.
drop index concurrently if exists pgqueue.message_label;
create index concurrently message_label on pgqueue.message (label);
"""


def test_an_index_of_a_table_in_use_is_built_concurrently(db, in_background):
    db.create_role("alice")
    busy, alice = db.connect("alice", autocommit=False), db.connect("alice")
    busy.execute("select pgqueue.enqueue('select 1')")
    with db.connect() as connection:
        upgrade = in_background(migrate.upgrade, connection, with_step(INDEX))
        eventually(lambda: is_waiting(db, connection))

        alice.execute("set lock_timeout = '100ms'; select pgqueue.enqueue('select 1')")
        busy.commit()

        assert [step.version for step in upgrade.result().migrations] == [LATER]
        migrate.require_current(connection, with_step(INDEX))
    assert db.fetch_value("select indisvalid from pg_index where indexrelid = 'pgqueue.message_label'::regclass")


def test_a_first_installation_builds_such_an_index_in_its_transaction(empty_db):
    with empty_db.connect() as connection:
        migrate.install(connection, with_step(INDEX))

    assert empty_db.fetch_value("select to_regclass('pgqueue.message_label')") is not None


def test_the_script_of_an_upgrade_does_what_the_upgrade_would(db):
    newer = Release(
        "0.1.1",
        migrations=[*migrations(), Migration(LATER, "add_note", "create table pgqueue.note (text text default '%s;')")],
        functions=[*function_files(), FunctionFile("extra", "create function pgqueue._f() returns int return 1")],
    )
    with db.connect() as connection:
        script = migrate.script(connection, newer)
        assert db.fetch_value("select to_regclass('pgqueue.note')") is None

        connection.execute(script)

        migrate.require_current(connection, newer)
        assert migrate.script(connection, newer) == ""
        assert db.fetch_value("select relrowsecurity from pg_class where oid = 'pgqueue.note'::regclass")
    assert "pg_advisory_xact_lock" in script


@pytest.mark.parametrize(("version", "fits"), [("0.1.9", True), ("0.2.3", True), ("0.3.0", False), ("1.0.0", False)])
def test_a_worker_accepts_the_schema_of_its_own_minor_version_and_of_the_next(db, version, fits):
    with db.connect() as connection:
        migrate.upgrade(connection, with_step("create table pgqueue.note (text text)", version=version))

        with contextlib.nullcontext() if fits else pytest.raises(errors.SchemaTooNew):
            migrate.require_current(connection, Release("0.1.0"), or_next_minor=True)


def test_functions_of_a_newer_version_are_left_alone(db):
    newer = with_function("create or replace function pgqueue._f() returns int return 1", version="0.1.1")
    with db.connect() as connection:
        migrate.upgrade(connection, newer)

        for action in (migrate.install, migrate.upgrade, migrate.require_current):
            with pytest.raises(errors.SchemaTooNew):
                action(connection)


def test_there_is_nothing_to_upgrade_in_an_empty_database(empty_db):
    with empty_db.connect() as connection, pytest.raises(errors.NotInstalled) as refused:
        migrate.upgrade(connection)

    assert "pgqueue install" in refused.value.hint


def test_a_schema_newer_than_the_code_is_refused_and_left_alone(db):
    db.execute("insert into pgqueue.migration (version, name) values (9999, 'from_the_future')")

    with db.connect() as connection:
        for action in (migrate.install, migrate.upgrade, migrate.require_current):
            with pytest.raises(errors.SchemaTooNew, match="9999"):
                action(connection)


def test_the_code_tells_whether_the_schema_is_its_own(db, empty_db):
    with db.connect() as connection:
        migrate.require_current(connection)
        connection.execute("delete from pgqueue.migration where version = %s", [len(migrations())])
        with pytest.raises(errors.SchemaTooOld) as behind:
            migrate.require_current(connection)
    with empty_db.connect() as connection, pytest.raises(errors.NotInstalled):
        migrate.require_current(connection)

    assert "pgqueue upgrade" in behind.value.hint


def test_a_schema_of_the_same_name_that_is_not_ours_is_left_alone(empty_db):
    empty_db.execute("create schema pgqueue create table precious (x int)")

    with empty_db.connect() as connection:
        for action in (migrate.install, migrate.uninstall):
            with pytest.raises(errors.SchemaOccupied):
                action(connection)

    assert empty_db.fetch_value("select count(*) from pgqueue.precious") == 0


def test_a_server_too_old_is_refused_before_anything_is_done(empty_db, monkeypatch):
    monkeypatch.setattr(facts, "OLDEST_SERVER", 99)

    with empty_db.connect() as connection, pytest.raises(errors.ServerTooOld, match="needs 99") as refused:
        migrate.install(connection)

    assert refused.value.hint
    assert empty_db.fetch_value("select to_regnamespace('pgqueue')") is None


def test_a_standby_is_refused(fresh_db):
    embedded = fresh_db.server.embedded
    embedded.stop()
    (embedded.data_dir / "standby.signal").touch()
    embedded.start()

    with psycopg.connect(fresh_db.dsn, autocommit=True) as connection, pytest.raises(errors.ServerInRecovery):
        migrate.install(connection)

    embedded.stop()
    (embedded.data_dir / "standby.signal").unlink()
    embedded.start()


def test_a_role_that_lacks_privileges_is_told_exactly_which(fresh_db):
    fresh_db.create_role("installer", enrolled=False)
    before = what_is_there(fresh_db)

    granted = install_granting_what_is_asked(fresh_db, "installer", expect_unchanged=before)

    assert any("createrole" in grant for grant in granted)
    assert any("create on database" in grant for grant in granted)
    assert granted.index("create schema dblink") < granted.index("create extension dblink schema dblink")
    assert any("usage on schema dblink" in grant for grant in granted)
    assert any("foreign data wrapper dblink_fdw" in grant for grant in granted)


def test_a_second_installer_role_is_told_what_it_needs_of_the_first(fresh_db):
    server = fresh_db.server
    for name in ("one", "two"):
        fresh_db.create_role(name, enrolled=False)
    install_granting_what_is_asked(fresh_db, "one")
    with contextlib.closing(Database(server, installed=False)) as second:
        install_granting_what_is_asked(second, "two")

        assert second.fetch_value("select max(version) from pgqueue.migration") == EVERYTHING[-1]


def test_what_a_role_without_superuser_installed_works(fresh_db):
    fresh_db.create_role("installer", enrolled=False)
    install_granting_what_is_asked(fresh_db, "installer")
    fresh_db.create_role("bob", enrolled=False)
    fresh_db.connect("installer").execute("select pgqueue.enroll('bob')")

    handle = fresh_db.connect("bob").execute("select id from pgqueue.launch('select 1')").fetchone()

    assert handle[0] > 0


def test_a_first_installation_whose_loopback_cannot_log_in_is_taken_back(fresh_db):
    embedded = fresh_db.server.embedded
    hba = embedded.data_dir / "pg_hba.conf"
    hba.write_text(hba.read_text().replace("scram-sha-256", "reject", 1))
    fresh_db.execute("select pg_reload_conf()")
    before = what_is_there(fresh_db)

    with fresh_db.connect() as connection, pytest.raises(errors.LoopbackUnreachable) as refused:
        eventually(lambda: installs_or_raises(connection))

    assert "pg_hba.conf" in refused.value.hint
    assert what_is_there(fresh_db) == before


def test_uninstalling_leaves_nothing_behind(fresh_db):
    before = what_is_there(fresh_db)
    with fresh_db.connect() as connection:
        migrate.install(connection)
        fresh_db.create_role("bob")
        fresh_db.connect("bob").execute("select pgqueue.launch('select 1')")

        remaining = migrate.uninstall(connection)

    assert remaining == ()
    fresh_db.execute("drop role bob")
    assert what_is_there(fresh_db) == before


def test_uninstalling_keeps_the_roles_that_another_database_uses(fresh_db):
    with contextlib.closing(Database(fresh_db.server, installed=False)) as other:
        for database in (fresh_db, other):
            with database.connect() as connection:
                migrate.install(connection)

        with fresh_db.connect() as connection:
            kept = migrate.uninstall(connection)
        with other.connect() as connection:
            still_whole = migrate.status(connection).pending == ()
            in_the_end = migrate.uninstall(connection)

    assert list(kept) == GROUP_ROLES
    assert still_whole
    assert in_the_end == ()


def test_uninstalling_takes_the_triggers_of_tables_along_but_not_the_tables(db):
    db.execute("create table t (x int)")
    db.execute("create trigger t after insert on t for each row execute function pgqueue.enqueue_trigger('select 1')")

    with db.connect() as connection:
        migrate.uninstall(connection, cascade=True)

    assert db.execute("insert into t values (1) returning x") == [(1,)]


def test_uninstalling_names_what_others_have_made_on_it_and_drops_nothing(db):
    db.execute("create table t (x int, h pgqueue.handle, at int default pgqueue.pause('x')::int)")
    db.execute(
        "create trigger t after insert on t for each row execute function pgqueue.enqueue_trigger('sql', 'select 1')"
    )
    db.execute("create view failed as select * from pgqueue.jobs where state = 'failed'")
    db.execute(
        "create function stop(id bigint) returns boolean language sql begin atomic select pgqueue.cancel(id); end"
    )
    db.execute("select pgqueue.install_compat('2.0')")
    db.execute("create view infos as select pg_background_stats_v2()")

    with db.connect() as connection, pytest.raises(errors.HasDependents) as refused:
        migrate.uninstall(connection)

    assert refused.value.detail.splitlines() == [
        "column h of table public.t",
        "default value for column at of table public.t",
        "function public.stop(bigint)",
        "trigger t on table public.t",
        "view public.failed",
        "view public.infos",
    ]
    assert "--cascade" in refused.value.hint
    assert db.fetch_value("select count(*) from pgqueue.migration")


def test_what_pgqueue_has_made_itself_does_not_keep_it_from_being_uninstalled(db):
    db.create_role("alice")
    db.connect("alice").execute("select pgqueue.launch('select 1')")
    db.execute("select pgqueue.install_compat('1.8')")

    with db.connect() as connection:
        migrate.uninstall(connection)

    assert db.fetch_value("select to_regnamespace('pgqueue')") is None


def test_only_the_owner_may_uninstall(db):
    db.create_role("mallory", enrolled=False)

    with db.connect("mallory") as connection, pytest.raises(errors.MissingPrivilege, match="owner"):
        migrate.uninstall(connection)


def test_uninstalling_under_a_worker_names_it_and_drops_nothing(db, start_worker):
    worker = start_worker(db)

    with db.connect() as connection, pytest.raises(errors.DatabaseInUse, match=worker.name):
        migrate.uninstall(connection)

    assert db.fetch_value("select count(*) from pgqueue.migration")


def test_uninstalling_while_it_is_in_use_drops_nothing(db, monkeypatch):
    monkeypatch.setattr(uninstall, "DROP_LOCK_TIMEOUT", "50ms")
    busy = db.connect(autocommit=False)
    busy.execute("select * from pgqueue.message")

    with db.connect() as connection, pytest.raises(errors.DatabaseInUse):
        migrate.uninstall(connection)

    busy.rollback()
    with db.connect() as connection:
        migrate.require_current(connection)


def test_installing_inside_a_transaction_is_refused(db):
    with db.connect(autocommit=False) as connection, pytest.raises(ValueError, match="autocommit"):
        migrate.install(connection)


def test_objects_in_public_cannot_slip_into_an_installation(empty_db):
    empty_db.execute(
        """
        create function public.format(text, text) returns text language sql
          as $f$ select pg_catalog.format('create role hijacked') $f$
        """
    )
    empty_db.execute(f"alter database {empty_db.name} set search_path = public, pg_catalog")

    with empty_db.connect() as connection:
        migrate.install(connection)

    assert empty_db.fetch_value("select to_regrole('hijacked')") is None


def function_versions(db):
    return dict(
        db.execute(
            "select proname::text, max(xmin::text) from pg_proc where pronamespace = 'pgqueue'::regnamespace group by 1"
        )
    )


def is_waiting(db, connection):
    waits = "select wait_event_type = 'Lock' from pg_stat_activity where pid = %s"
    return db.fetch_value(waits, [connection.info.backend_pid])


def installs_or_raises(connection):
    migrate.install(connection)
    migrate.uninstall(connection)
    return False


def install_granting_what_is_asked(db, role, *, expect_unchanged=None):
    """Install as a role, doing as a superuser what each refusal asks for. Returns what it asked for."""
    granted = []
    while (asked := refusal(db, role)) is not None:
        assert asked != granted[-len(asked) :], f"still refused after {granted}"
        if expect_unchanged is not None and not granted:
            assert what_is_there(db) == expect_unchanged
        for statement in asked:
            db.execute(statement)
        granted += asked
    return granted


def refusal(db, role):
    try:
        with psycopg.connect(db.dsn_for(role), autocommit=True) as connection:
            migrate.install(connection)
    except errors.MissingPrivilege as refused:
        return refused.hint.removeprefix("Let a superuser run: ").split("; ")
    return None
