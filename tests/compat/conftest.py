"""A database with the names of both versions and executors on it, shared by the tests of a server.

What a session tracks is its own, so each test opens its own sessions and disturbs no other.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import psycopg
import pytest

from tests.compat.names import NAMES, Caller, Names
from tests.harness import Database, TestServer
from tests.harness.executors import Executors
from tests.harness.people import alice, owner, superuser
from tests.harness.servers import Servers

__all__ = ["alice", "owner", "superuser"]

APP, OTHER = "compat_app", "compat_other"


class Stage:
    """The database, two roles that may call pg_background, and the executors."""

    def __init__(self, server: TestServer) -> None:
        self.db = Database(server)
        self.db.execute("create schema pgbg")
        self.db.execute("grant all on schema public, pgbg to public")
        for names in NAMES.values():
            self._install(names)
        for role in (APP, OTHER):
            self.db.create_role(role, enrolled=False)
            if server.is_managed:  # so that tests can make things that the role owns
                self.db.execute(f"grant {role} to current_user")
            assert self.db.fetch_value("select grant_pg_background_privileges(%s)", [role])
        self.executors = Executors(self.db, size=4)

    def _install(self, names: Names) -> None:
        with contextlib.closing(psycopg.connect(self.db.dsn, autocommit=True)) as installer:
            advice: list[str] = []
            installer.add_notice_handler(lambda notice: advice.append(notice.message_hint or ""))
            installer.execute("select pgqueue.install_compat(%s, %s)", [names.version, names.schema])
        # Where the installer is no superuser it says what one would have to do, for SHOW to work in every session.
        for hint in advice:
            with psycopg.connect(self.db.dsn_for("postgres"), autocommit=True) as superuser:
                superuser.execute(hint.partition(": ")[2])  # type: ignore[call-overload]

    def close(self) -> None:
        self.executors.stop()
        self.db.close()


@pytest.fixture(scope="session")
def stages(servers: Servers) -> Iterator[Callable[[TestServer], Stage]]:
    made: dict[int, Stage] = {}
    with contextlib.ExitStack() as closing:

        def find(server: TestServer) -> Stage:
            if id(server) not in made:
                made[id(server)] = Stage(server)
                closing.callback(made[id(server)].close)
            return made[id(server)]

        yield find


@pytest.fixture
def stage(server: TestServer, stages: Callable[[TestServer], Stage]) -> Iterator[Stage]:
    """What the tests of this server share."""
    shared = stages(server)
    shared.executors.awake.set()
    yield shared
    shared.executors.awake.clear()


@pytest.fixture(params=list(NAMES))
def names(request: pytest.FixtureRequest) -> Names:
    """The names of one version, then of the other."""
    return NAMES[request.param]


@pytest.fixture
def connect(stage: Stage) -> Iterator[Callable[..., Caller]]:
    """Open sessions of programs, closed at the end of the test."""
    with contextlib.ExitStack() as closing:

        def open_session(version: str = "2.0", role: str = APP) -> Caller:
            session = closing.enter_context(
                contextlib.closing(psycopg.connect(stage.db.dsn_for(role), autocommit=True))
            )
            return Caller(session, NAMES[version])

        yield open_session


@pytest.fixture
def caller(connect: Callable[..., Caller], names: Names) -> Caller:
    """A session that calls the names of the version under test."""
    return connect(names.version)


@pytest.fixture
def table(stage: Stage) -> Iterator[str]:
    """A table for all to write, empty."""
    stage.db.execute(
        f"create table public.effect (n int primary key, note text); alter table public.effect owner to {APP}; "
        "grant all on public.effect to public"
    )
    yield "public.effect"
    stage.db.execute("drop table public.effect")
