"""Databases that need little done to them after they were copied: at home, and with the usual roles enrolled.

A copy of a database with pgqueue has to be repaired (its home, its executors' login), and then roles are enrolled in it.
That takes longer than the copy, and the tests make thousands. So the test's database has always the same number, and its
templates were repaired for that: one for each set of the usual roles. It has a name of its own, because Python code
keeps connections by their addresses.

These roles stay on the server from test to test, so before each it is looked whether they are as they were. If one is
not, they are dropped with their templates, and made anew when they are needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import psycopg
from psycopg import sql

#: The roles that most tests take part as, each an enrolled login without other rights.
USUAL_ROLES = ("alice", "bob")
#: No database has it otherwise: numbers are given out from 16384.
NUMBER = 1_000_000_000

#: The login in which jobs run in a database of that number.
_EXECUTOR = f"pgqueue_executor_{NUMBER}"

#: What a server has of a role outside its databases: what a test may change of it, and what outlives the test.
_STATE = """select array_agg(x.what order by x.what) from (
  select concat_ws(' ', 'role', r.oid, r.*) from pg_authid r where r.rolname = %(role)s
  union all select concat_ws(' ', 'membership', m.*) from pg_auth_members m join pg_authid r on r.oid in (m.roleid, m.member) where r.rolname = %(role)s
  union all select concat_ws(' ', 'setting', s.*) from pg_db_role_setting s join pg_authid r on r.oid = s.setrole where r.rolname = %(role)s
  union all select concat_ws(' ', 'right', d.*) from pg_shdepend d join pg_authid r on r.oid = d.refobjid and d.refclassid = 'pg_authid'::regclass
            where d.dbid = 0 and r.rolname = %(role)s
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
        #: The roles that are on the server, as they were made.
        self._made: dict[str, list[str] | None] = {}

    def create_database(self, name: str, template: str, roles: Iterable[str]) -> None:
        """Make the database of a test, with these roles enrolled. There is no other one with that number."""
        changed = {role for role in self._made if not self.is_as_made(role)}
        usual = [role for role in USUAL_ROLES if role in self._made]
        if changed & set(usual) or 0 < len(usual) < len(USUAL_ROLES):
            changed |= set(usual)  # All together, so that their numbers always have the order of their names.
        for role in changed:
            self.forget(role)
        self._copy(name, self._template_with(tuple(sorted(roles)), template), number=NUMBER)

    def has(self, role: str) -> bool:
        """Whether it is one of the roles that stay on the server."""
        return role in self._made

    def is_as_made(self, role: str) -> bool:
        """Whether no test has changed what one of these roles is, or dropped it."""
        return self._read_state(role) == self._made[role]

    def forget(self, role: str) -> None:
        """Drop one of these roles, and the templates in which it has a part."""
        del self._made[role]
        for roles in [roles for roles in self._templates if role in (*roles, _EXECUTOR)]:
            self._admin().execute(f"drop database {self._templates.pop(roles)} with (force)")
        if self._read_state(role) is not None:
            self._admin().execute(sql.SQL("drop owned by {}").format(sql.Identifier(role)))
            self._admin().execute(sql.SQL("drop role {}").format(sql.Identifier(role)))

    def _template_with(self, roles: tuple[str, ...], plain: str) -> str:
        if roles not in self._templates:
            # A database of that number is repaired once, since the password of the executors' login is in it.
            self._copy("unprepared", self._template_with((), plain) if roles else plain, number=NUMBER)
            try:
                with psycopg.connect(self._conninfo("unprepared"), autocommit=True) as owner:
                    self._enroll(owner, roles) if roles else self._repair(owner)
                name = "_".join(["prepared", *roles])
                self._copy(name, "unprepared")
            finally:
                self._admin().execute("drop database unprepared with (force)")
            self._templates[roles] = name
        return self._templates[roles]

    def _repair(self, owner: psycopg.Connection[Any]) -> None:
        owner.execute("select pgqueue._repair_home()")
        self._made[_EXECUTOR] = self._read_state(_EXECUTOR)

    def _enroll(self, owner: psycopg.Connection[Any], roles: Iterable[str]) -> None:
        for role in USUAL_ROLES:
            if role not in self._made:
                owner.execute(sql.SQL("create role {} login in role pgqueue_user").format(sql.Identifier(role)))
                self._made[role] = self._read_state(role)
        for role in roles:
            owner.execute("select pgqueue.enroll(quote_ident(%s)::regrole)", [role])

    def _read_state(self, role: str) -> list[str] | None:
        state: list[str] | None = self._admin().execute(_STATE, {"role": role}).fetchall()[0][0]
        return state
