"""Who may call the names, and how they come to it."""

import pytest

from tests.compat.names import NAMES, sqlstate_and_message
from tests.harness.people import fetch_value, refused


def test_nothing_is_public_and_the_helpers_are_nobodys(stage):
    for names in NAMES.values():
        rows = stage.db.execute(
            """select p.proname, coalesce(array_agg(a.grantee::regrole::text order by 1) filter (where a.grantee <> p.proowner), '{}')
               from pg_proc p left join lateral aclexplode(p.proacl) a on true
               where p.pronamespace = %s::regnamespace and p.proname ~ 'pg_background' group by p.oid, p.proname""",
            [names.schema],
        )
        assert len(rows) > 15
        for name, grantees in rows:
            assert grantees == (
                [] if name.startswith(("grant_", "revoke_")) or name.endswith("_privileges") else ["pgbackground_role"]
            ), name
    assert stage.db.execute("select rolcanlogin, rolsuper from pg_roles where rolname = 'pgbackground_role'") == [
        (False, False)
    ]


@pytest.mark.parametrize("version", list(NAMES))
def test_without_the_grant_every_call_is_refused(stage, connect, version):
    stage.db.create_role("compat_stranger", enrolled=True)
    try:
        stranger = connect(version, "compat_stranger")
        for call in ("launch", "submit"):
            assert stranger.refusal(call, "select 1").sqlstate == "42501"
        for call in ("cancel", "detach", "wait", "get_progress"):
            assert stranger.refusal(call, 1, 1).sqlstate == "42501"
        assert stranger.refusal("stats").sqlstate == "42501"
    finally:
        stranger.session.close()
        stage.db.execute("select pgqueue.unenroll('compat_stranger'); drop role compat_stranger")


@pytest.mark.parametrize("version", list(NAMES))
def test_the_helpers_grant_and_revoke_and_print(stage, connect, version):
    grant, revoke = {
        "1.8": ("grant_pg_background_privileges", "revoke_pg_background_privileges"),
        "2.0": ("pg_background_grant_privileges", "pg_background_revoke_privileges"),
    }[version]
    # A name of its own each time: an executor keeps its session of a role for a while, by name.
    role = stage.db.create_role(f"compat_guest_{version[0]}", enrolled=False)
    try:
        admin = connect(version, "postgres")
        assert admin.value(f"select {grant}('{role}', true)") is True
        assert [notice[::2] for notice in admin.notices] == [("INFO", f"grant pgbackground_role to {role}", None)]
        guest = connect(version, role)
        assert guest.result(guest.launch("select 1"), "n int") == [(1,)]

        assert admin.value(f"select {revoke}('{role}')") is True
        assert guest.refusal("launch", "select 1").sqlstate == "42501"
        assert admin.value(f"select {grant}('nobody here')") is False
        assert admin.notices[-1].message == 'role "nobody here" does not exist'
    finally:
        guest.session.close()
        stage.db.execute(f"drop role {role}")


def test_granting_the_role_is_enough_also_through_another_role(stage, connect):
    stage.db.create_role("compat_team", enrolled=False, options="nologin")
    stage.db.create_role("compat_member", enrolled=False)
    stage.db.execute("grant pgbackground_role to compat_team; grant compat_team to compat_member")
    try:
        member = connect("2.0", "compat_member")
        member.execute("begin read only")
        handle = member.launch("select current_user::text")
        member.execute("rollback")
        assert member.result(handle, "name text") == [("compat_member",)]
    finally:
        member.session.close()
        stage.db.execute("drop role compat_member, compat_team")


def test_a_superuser_is_enrolled_on_purpose_only(owner, superuser):
    owner.execute("select pgqueue.install_compat()")

    error = refused(superuser, "select pg_background_launch('select 1')")
    assert sqlstate_and_message(error) == ("42501", 'role "postgres" is not enrolled in pgqueue')

    superuser.execute("grant pgbackground_role to postgres")
    assert refused(superuser, "select pg_background_launch('select 1')").sqlstate == "42501"
    superuser.execute("revoke pgbackground_role from postgres")
    assert fetch_value(superuser, "select pg_background_grant_privileges('postgres')") is True
    assert fetch_value(superuser, "select (pg_background_launch('select 1')).pid") == 1
    superuser.execute("revoke pgbackground_role from postgres; revoke pgqueue_user from postgres")


def test_the_loopback_enrolls_members_only(alice, db, owner):
    owner.execute("select pgqueue.install_compat()")
    db.create_role("outsider", enrolled=False)

    def ask(role):
        return fetch_value(
            alice,
            "select pgqueue._over_loopback('enroll_member', %s::regrole, 0, '{}', '')",
            [role],
        )

    assert ask("outsider") is False
    assert ask("postgres") is False
    assert (
        fetch_value(
            owner, "select count(*) from pgqueue.role_key where role in ('outsider'::regrole, 'postgres'::regrole)"
        )
        == 0
    )
