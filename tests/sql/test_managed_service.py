"""What differs where pgqueue was installed by a role that is no superuser; see docs/how-to/managed-servers.md."""

import psycopg
import pytest

from tests.harness.managed import PASSWORD
from tests.harness.people import fetch_value, refused


@pytest.fixture(autouse=True)
def _managed(server):
    if not server.is_managed:
        pytest.skip("for servers like those of managed services: pytest --managed")


def enroll(owner, role):
    """Enroll a role as the owner of pgqueue; return what was noticed."""
    said = []
    owner.add_notice_handler(lambda notice: said.append((notice.message_primary, notice.message_hint)))
    owner.execute("select pgqueue.enroll(quote_ident(%s)::regrole)", [role])
    return said


def is_run_in_batches(db, role, worker):
    db.connect(role).execute("select pgqueue.submit('select 1')")
    claim = worker.claim_one()
    if claim.lane == "batch":  # its runner's number
        return True
    assert worker.run(claim) == "succeeded"
    return False


def test_the_installer_is_no_superuser_and_nobody_comes_in_without_a_password(db, alice):
    assert db.fetch_value("select rolsuper from pg_roles where rolname = current_user") is False
    for role in ("alice", "postgres", "keeper"):
        with pytest.raises(psycopg.OperationalError, match="password"):
            db.connect(role, password="wrong")


def test_a_role_that_the_installer_made_runs_in_batches_and_the_installer_does_not_stay_in_it(db, owner, worker):
    db.create_role("carol", enrolled=False)

    assert enroll(owner, "carol") == []
    assert is_run_in_batches(db, "carol", worker)
    assert fetch_value(owner, "select pg_has_role('carol', 'usage')") is False
    assert refused(owner, "set role carol").sqlstate == "42501"


def test_a_role_that_somebody_else_made_is_enrolled_and_said_to_need_a_login_of_the_worker(
    db, owner, superuser, worker
):
    db.create_role("carol", enrolled=False)
    superuser.execute("drop role carol")
    superuser.execute(f"create role carol login password '{PASSWORD}'")

    said = enroll(owner, "carol")

    if db.server.major < 16:  # whoever may create roles may give them away
        assert said == []
        assert is_run_in_batches(db, "carol", worker)
        return
    ((message, hint),) = said
    assert message == "jobs of role carol run only where a worker can log in as it"
    assert "grant carol to keeper" in hint
    assert not is_run_in_batches(db, "carol", worker)
    superuser.execute("grant carol to keeper")
    assert all("run only where" not in message for message, _ in enroll(owner, "carol"))
    assert is_run_in_batches(db, "carol", worker)


def test_a_setting_of_workers_is_set_by_whoever_was_given_the_right(db, owner, superuser, worker):
    if db.server.major < 15:
        pytest.skip("before PostgreSQL 15 nobody but a superuser is")
    change = f"alter database {db.name} set pgqueue.naptime = '250 ms'"
    assert refused(owner, change).sqlstate == "42501"

    superuser.execute('grant set on parameter "pgqueue.naptime" to keeper')
    try:
        owner.execute(change)
        assert worker.tick()[0] == 0.25
    finally:
        superuser.execute('revoke set on parameter "pgqueue.naptime" from keeper')
