"""Making the names, in any schema, and taking exactly those away; who may call them."""

import json

import pytest

from pgqueue.cli.commands import run
from pgqueue.schema import migrate
from tests.compat.names import NAMES, Caller, sqlstate_and_message
from tests.harness import Database
from tests.harness.claimant import Claimant
from tests.harness.people import fetch_value, refused
from tests.harness.servers import TestServer

EVERYTHING = """
  select 'function', oid::regprocedure::text, proacl::text from pg_proc where oid >= 16384
  union all select 'relation', oid::regclass::text, relacl::text from pg_class where oid >= 16384 and relkind in ('r', 'v', 'c', 'S', 'p')
  union all select 'type', oid::regtype::text, typacl::text from pg_type where oid >= 16384
  union all select 'schema', nspname, coalesce(nspacl, acldefault('n', nspowner))::text from pg_namespace where nspname !~ '^pg_'
  union all select 'role', rolname, rolconfig::text from pg_roles
  union all select 'setting', setrole::text, setconfig::text from pg_db_role_setting
  union all select 'comment', objoid::text, description from pg_description where objoid >= 16384
  union all select 'member', roleid::regrole::text, member::regrole::text from pg_auth_members
  order by 1, 2, 3"""


def everything(session):
    return set(session.execute(EVERYTHING).fetchall())


@pytest.fixture
def fresh(own_server: TestServer):
    """A cluster in which pgqueue was installed by a role that is no superuser."""
    database = Database(own_server, installed=False)
    if not own_server.is_managed:
        database.create_role("keeper", enrolled=False, options="login createrole createdb")
        database.execute("create extension dblink")
        database.execute("grant usage on foreign data wrapper dblink_fdw to keeper")
        database.execute(f'alter database "{database.name}" owner to keeper')
    keeper = database.connect("keeper")
    migrate.install(keeper)
    try:
        yield database, keeper
    finally:
        database.close()


@pytest.mark.slow
def test_a_role_without_superuser_makes_both_versions_and_removes_exactly_them(fresh):
    database, keeper = fresh
    keeper.execute('create schema "Old one"; create function pg_background_mine() returns int language sql return 1')
    keeper.execute("create function pg_background_launch(int) returns int language sql return 2")
    before = everything(keeper)
    said = []
    keeper.add_notice_handler(lambda notice: said.append(f"{notice.message_primary} {notice.message_hint}"))

    keeper.execute("select pgqueue.install_compat('1.8')")
    keeper.execute("select pgqueue.install_compat('2.0', 'Old one')")

    # Settings that the server does not know are a superuser's to set for a database.
    assert len(said) == 2
    assert all("let a superuser run: alter database" in text for text in said)
    database.create_role("app", enrolled=False)
    assert fetch_value(keeper, "select grant_pg_background_privileges('app')") is True
    worker = Claimant(database)
    with worker.serving():
        for names in NAMES.values():
            app = Caller(database.connect("app"), names)
            app.execute(
                'set search_path = public, "Old one"' if names.version == "1.8" else 'set search_path = "Old one"'
            )
            assert app.result(app.launch("select current_user::text"), "name text") == [("app",)]
            assert app.value("show pg_background.max_workers") == "16"
    assert fetch_value(keeper, "select revoke_pg_background_privileges('app')") is True
    database.server.admin.execute("drop role app")
    assert fetch_value(keeper, "select pg_background_mine() + pg_background_launch(1)") == 3

    keeper.execute("select pgqueue.uninstall_compat()")
    keeper.execute("select pgqueue.uninstall_compat('Old one')")

    worker.unregister()
    rest = {row for row in everything(keeper) ^ before if row[1] not in ("test_worker", "pgqueue_worker")}
    assert rest == set()


def test_a_superuser_sets_the_defaults_for_every_session_and_uninstalling_leaves_what_others_set(db, superuser):
    superuser.execute(f'alter database "{db.name}" set pg_background.max_workers = 99')
    superuser.execute("select pgqueue.install_compat()")

    other = db.connect()
    shown = [
        fetch_value(other, f"show pg_background.{name}")
        for name in ("max_workers", "default_queue_size", "worker_timeout")
    ]
    superuser.execute("select pgqueue.uninstall_compat()")

    assert shown == ["99", "64kB", "0"]
    settings = fetch_value(
        superuser,
        "select setconfig from pg_db_role_setting where setdatabase = (select oid from pg_database where datname = current_database())",
    )
    assert settings == ["pg_background.max_workers=99"]


def test_installing_again_is_harmless_and_another_version_is_refused(owner):
    owner.execute("select pgqueue.install_compat(version => '2.0', schema => 'public')")
    before = everything(owner)

    owner.execute("select pgqueue.install_compat(version => '2.0', schema => 'public')")

    assert everything(owner) == before
    error = refused(owner, "select pgqueue.install_compat('1.8', 'public')")
    assert sqlstate_and_message(error) == ("42710", 'schema "public" has the names of pg_background 2.0')
    assert error.diag.message_hint == "select pgqueue.uninstall_compat(schema => 'public')"


@pytest.mark.parametrize(
    ("arguments", "sqlstate", "message"),
    [
        ("'1.7'", "22023", 'version "1.7" of pg_background is not known'),
        ("null", "22023", 'version "NULL" of pg_background is not known'),
        ("'2.0', 'nowhere'", "3F000", 'schema "nowhere" does not exist'),
        ("'2.0', 'pgqueue'", "22023", "the schema pgqueue is pgqueue's own"),
    ],
)
def test_what_cannot_be_installed_is_refused(owner, arguments, sqlstate, message):
    before = everything(owner)

    assert sqlstate_and_message(refused(owner, f"select pgqueue.install_compat({arguments})")) == (sqlstate, message)

    assert everything(owner) == before


def test_a_schema_that_has_the_extension_is_left_alone(owner):
    owner.execute("create type pg_background_handle as (pid int, cookie bigint)")
    before = everything(owner)

    error = refused(owner, "select pgqueue.install_compat()")

    assert sqlstate_and_message(error) == ("42710", 'schema "public" has a pg_background already')
    assert everything(owner) == before
    assert refused(owner, "select pgqueue.uninstall_compat()").sqlstate == "42704"


def test_what_the_users_objects_depend_on_is_not_removed(owner):
    owner.execute("select pgqueue.install_compat()")
    owner.execute("create table mine (handle pg_background_handle)")
    before = everything(owner)

    assert refused(owner, "select pgqueue.uninstall_compat()").sqlstate == "2BP01"

    assert everything(owner) == before


def test_uninstalling_what_is_not_there_says_where_it_is(owner):
    assert refused(owner, "select pgqueue.uninstall_compat()").diag.message_hint == "Nothing is to be removed."
    owner.execute("create schema elsewhere; select pgqueue.install_compat(schema => 'elsewhere')")

    error = refused(owner, "select pgqueue.uninstall_compat()")

    assert sqlstate_and_message(error) == ("42704", 'schema "public" has no names of pg_background that pgqueue made')
    assert error.diag.message_hint == "They are in elsewhere."


def test_only_who_owns_the_schema_may_make_names(alice):
    for call in ("install_compat", "uninstall_compat"):
        assert refused(alice, f"select pgqueue.{call}()").sqlstate == "42501"


def test_uninstalling_pgqueue_takes_the_names_along(db, owner):
    owner.execute("select pgqueue.install_compat('1.8')")
    owner.execute("create schema other; select pgqueue.install_compat('2.0', 'other')")

    migrate.uninstall(owner)

    names = "select count(*) from pg_class c full join pg_proc p on false where coalesce(relname, proname) ~ 'pg_background'"
    assert fetch_value(owner, names) == 0


def test_the_command_line_makes_and_removes_the_names(db, owner, monkeypatch, capsys):
    monkeypatch.setenv("PGQUEUE_DSN", db.dsn)
    owner.execute("create schema old")

    assert run(["install-compat"]) == 0
    assert run(["install-compat", "--version", "1.8", "--schema", "old", "--json"]) == 0

    first = capsys.readouterr().out.splitlines()[0]
    assert first == "the names of pg_background 2.0 are in schema public"
    assert owner.execute("select schema_name, version from pgqueue.compat order by 1").fetchall() == [
        ("old", "1.8"),
        ("public", "2.0"),
    ]

    assert run(["uninstall-compat", "--schema", "old", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"schema": "old", "uninstalled": True}
    assert run(["uninstall-compat"]) == 0
    assert capsys.readouterr().out == "the names of pg_background are gone from schema public\n"
    assert run(["uninstall-compat"]) == 1
    assert "Nothing is to be removed." in capsys.readouterr().err
    assert run(["install-compat", "--version", "1.7"]) == 2
