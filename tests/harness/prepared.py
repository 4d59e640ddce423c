"""Databases that need nothing done to them after they were copied: at home, and with the usual roles enrolled.

A copy of a database with pgqueue has to be repaired (its home, its loopback, its executors' login), and then roles are
enrolled in it. That takes twice as long as the copy, and the tests make thousands. So the test's database has always the
same name and number, and its templates were repaired for them: one for each set of the usual roles.

These roles stay on the server from test to test, so after each it is looked whether they are as they were. If not,
they and the templates are dropped, and made anew when they are needed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from typing import Any

import psycopg
from psycopg import sql

#: The roles that most tests take part as, each an enrolled login without other rights.
USUAL_ROLES = ("alice", "bob")
NAME = "test_0"
#: No database has it otherwise: numbers are given out from 16384.
NUMBER = 4_000_000_000

#: What a server has of roles outside its databases, and what a test may change of it.
_STATE = """select array_agg(x.what order by x.what) from (
  select concat_ws(' ', 'role', r.oid, r.*) from pg_authid r where r.rolname = any (%(roles)s)
  union all select concat_ws(' ', 'membership', m.*) from pg_auth_members m, pg_authid r where r.rolname = any (%(roles)s) and r.oid in (m.roleid, m.member)
  union all select concat_ws(' ', 'setting', s.*) from pg_db_role_setting s join pg_authid r on r.oid = s.setrole where r.rolname = any (%(roles)s)
  union all select concat_ws(' ', 'right', d.*) from pg_shdepend d join pg_authid r on r.oid = d.refobjid and d.refclassid = 'pg_authid'::regclass
            where d.dbid = 0 and r.rolname = any (%(roles)s)
) x (what)"""


class PreparedTemplates:
    """The templates of one server, made when they are first needed."""

    def __init__(
        self,
        admin: Callable[[], psycopg.Connection[Any]],
        conninfo: Callable[[str], str],
        copy: Callable[..., None],
    ) -> None:
        self._admin = admin
        self._conninfo = conninfo
        self._copy = copy
        self._templates: dict[tuple[str, ...], str] = {}
        self._state: list[str] | None = None

    @property
    def roles(self) -> set[str]:
        """The usual roles that are on the server now."""
        return {role for roles in self._templates for role in roles}

    def create_database(self, template: str, roles: Iterable[str]) -> None:
        """Make the database of a test, with these roles enrolled."""
        enrolled = tuple(sorted(roles))
        if enrolled not in self._templates:
            self._make(template, enrolled)
        self._copy(NAME, self._templates[enrolled], number=NUMBER)

    def look_after_roles(self) -> None:
        """Forget the templates if a test has changed what its roles are, or has dropped one. Its database is gone."""
        if self._templates and self._read_state() != self._state:
            self.drop()

    def drop(self) -> None:
        """Drop the templates and the roles, so that others with their names may be made."""
        names = [*self.roles, f"pgqueue_executor_{NUMBER}"]
        for template in self._templates.values():
            self._admin().execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(template)))
        self._templates.clear()
        for role in names:
            if self._exists(role):
                self._admin().execute(sql.SQL("drop owned by {}").format(sql.Identifier(role)))
                self._admin().execute(sql.SQL("drop role {}").format(sql.Identifier(role)))

    def _make(self, template: str, roles: tuple[str, ...]) -> None:
        # A database of that name and number is repaired, and copied to be the template.
        self._copy(NAME, template, number=NUMBER)
        with contextlib.ExitStack() as undo:
            undo.callback(self._admin().execute, f'drop database "{NAME}" with (force)')
            with psycopg.connect(self._conninfo(NAME), autocommit=True) as owner:
                owner.execute(f"alter server pgqueue_loopback options (set dbname '{NAME}')")
                owner.execute("select pgqueue._repair_home()")
                for role in roles:
                    if not self._exists(role):
                        owner.execute(sql.SQL("create role {} login").format(sql.Identifier(role)))
                    owner.execute("select pgqueue.enroll(quote_ident(%s)::regrole)", [role])
            name = "_".join(["pgqueue_template", "of", *roles])
            self._copy(name, NAME)
        self._templates[roles] = name
        self._state = self._read_state()

    def _exists(self, role: str) -> bool:
        return bool(self._admin().execute("select from pg_roles where rolname = %s", [role]).fetchall())

    def _read_state(self) -> list[str]:
        names = [*USUAL_ROLES, f"pgqueue_executor_{NUMBER}"]
        return self._admin().execute(_STATE, {"roles": names}).fetchall()[0][0]
