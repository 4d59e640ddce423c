"""`pgqueue doctor` names what a database has otherwise than the release makes it."""

from __future__ import annotations

import json

import pytest

from pgqueue.cli.commands import run
from pgqueue.db.client_session import ClientSession
from pgqueue.schema import migrate
from pgqueue.schema.catalog import find_differences
from tests.harness import Database, eventually
from tests.harness.claimant import Claimant
from tests.harness.schema_dump import CATALOG, dump_catalog

pytestmark = pytest.mark.every_server

CHANGES = {
    "drop index pgqueue.message_claimed": ["index pgqueue.message_claimed is missing"],
    "create index sneaky on pgqueue.message (label)": ["index pgqueue.sneaky is not of the release"],
    "alter table pgqueue.message add column note text": ["column pgqueue.message.note is not of the release"],
    "alter table pgqueue.migration alter column name type varchar": [
        "column pgqueue.migration.name differs from the release's"
    ],
    "alter table pgqueue.migration alter column applied_at drop default": [
        "column pgqueue.migration.applied_at differs from the release's"
    ],
    "alter table pgqueue.compat drop constraint compat_version_is_known": [
        "constraint compat_version_is_known of pgqueue.compat is missing"
    ],
    "alter table pgqueue.notice disable trigger notice_is_sent": [
        "trigger notice_is_sent of pgqueue.notice differs from the release's"
    ],
    "alter table pgqueue.role_key disable row level security": ["table pgqueue.role_key differs from the release's"],
    "alter function pgqueue._random_bigint() security definer": [
        "function pgqueue._random_bigint() differs from the release's"
    ],
    "create or replace function pgqueue._session_id() returns bigint language sql volatile begin atomic select 7::bigint; end": [
        "function pgqueue._session_id() differs from the release's"
    ],
    "create function pgqueue.helper() returns int language sql return 1; revoke all on function pgqueue.helper() from public": [
        "function pgqueue.helper() is not of the release"
    ],
    "alter view pgqueue.workers set (security_barrier = false)": ["view pgqueue.workers differs from the release's"],
    "alter type pgqueue.job_state add value 'lost'": ["type pgqueue.job_state differs from the release's"],
    "revoke select on pgqueue.queues from pgqueue_monitor": [
        "grant SELECT on view pgqueue.queues to pgqueue_monitor is missing"
    ],
    "grant select on pgqueue.role_key to public": ["grant SELECT on table pgqueue.role_key to PUBLIC is not of the release"],
    "drop policy everybody_may_read on pgqueue.migration": [
        "policy everybody_may_read of pgqueue.migration is missing"
    ],
}  # fmt: skip


def differences(db: Database, capsys: pytest.CaptureFixture[str], *, fails: bool) -> str:
    """What doctor says about the catalog, and that it exits with 1 where it found something."""
    capsys.readouterr()
    assert run(["doctor", "--json", "--dsn", db.dsn]) == int(fails)
    [found] = [each for each in json.loads(capsys.readouterr().out) if each["check"] == "catalog"]
    assert found["level"] == ("fail" if fails else "ok")
    return str(found["text"])


def test_an_installation_makes_the_catalog_that_is_shipped(db: Database) -> None:
    made = dump_catalog(db.server, db.name)

    different = set(made.splitlines()) ^ set(CATALOG.read_text().splitlines())
    assert not different, f"if this is meant, run `make schema` and commit {CATALOG.name}: {sorted(different)[:20]}"


@pytest.mark.parametrize(("statement", "named"), CHANGES.items(), ids=list(CHANGES))
def test_a_difference_is_named(
    db: Database, capsys: pytest.CaptureFixture[str], statement: str, named: list[str]
) -> None:
    db.execute(statement)

    assert differences(db, capsys, fails=True).split("; ") == named


def test_all_differences_are_named(db: Database, capsys: pytest.CaptureFixture[str]) -> None:
    db.execute("drop index pgqueue.message_claimed")
    db.execute("alter table pgqueue.message add column note text")
    db.execute("revoke select on pgqueue.queues from pgqueue_monitor")

    assert len(differences(db, capsys, fails=True).split("; ")) == 3


def test_what_use_makes_is_no_difference(db: Database, capsys: pytest.CaptureFixture[str]) -> None:
    alice = db.create_role()
    db.create_role("idle", enrolled=False)
    db.execute("grant pgqueue_monitor to idle")
    db.execute("select pgqueue.install_compat()")
    db.execute("select pgqueue._make_partitions()")
    worker = Claimant(db)
    with worker.serving():
        db.connect(alice).execute("select pgqueue.enqueue('select 1')")
        eventually(lambda: db.fetch_value("select count(*) from pgqueue.history") == 1)
    db.execute("select * from pgqueue._make_worker_login()")
    db.execute("select pgqueue.unenroll('alice')")

    assert "as this release makes them" in differences(db, capsys, fails=False)


def test_the_hint_brings_functions_views_and_grants_back(db: Database, capsys: pytest.CaptureFixture[str]) -> None:
    db.execute("create or replace function pgqueue._random_bigint() returns bigint language sql return 7")
    db.execute("revoke select on pgqueue.queues from pgqueue_monitor")
    db.execute("grant select on pgqueue.jobs to public")
    differences(db, capsys, fails=True)

    db.execute("delete from pgqueue.function_file")
    with db.connect() as connection:
        migrate.upgrade(connection)

    differences(db, capsys, fails=False)


def test_any_role_may_compare(db: Database) -> None:
    nobody = db.create_role("nobody", enrolled=False)
    db.execute("drop index pgqueue.message_claimed")

    with ClientSession(db.dsn_for(nobody), application_name="test") as session:
        assert [str(each) for each in find_differences(session)] == ["index pgqueue.message_claimed is missing"]
