"""Fixtures: a server for the session, a database for each test, workers on it.

`--pg-bin DIR` runs everything on other binaries; `--also-pg-bin DIR` runs the tests that depend on the server's version
on those as well, and with `--only-also` on no others; `--managed` makes servers like those of managed services (tests/harness/managed.py).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from celery import _state

from pgqueue.local.embedded import find_binaries
from tests.harness import Database, TestServer, Worker
from tests.harness.managed import password_file
from tests.harness.place import place_of_this_run
from tests.harness.prepared import USUAL_ROLES
from tests.harness.servers import Servers, temporary_server
from tests.harness.whole_files import WholeFiles

# How long an example takes says nothing on a busy machine; the tests have time limits of their own.
hypothesis.settings.register_profile("pgqueue", deadline=None)
hypothesis.settings.load_profile("pgqueue")

#: Every fixture that starts a server, or finds one running, asks for one of these.
_SERVERS = {"server", "servers", "own_server"}
#: Every fixture that starts processes for one test. So such a test is slow, whether or not it has the mark.
_OWN_PROCESSES = {"own_server", "start_worker"}
#: The suites of which each test depends on the server's version. Elsewhere a test that does so has the mark `every_server`.
ON_EVERY_SERVER = ("sql", "security", "isolation", "compat")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--pg-bin", metavar="DIR", help="run on the PostgreSQL server binaries in DIR")
    parser.addoption(
        "--managed",
        action="store_true",
        help="passwords for all, TCP only, and pgqueue installed by a role that is no superuser",
    )
    parser.addoption(
        "--packaging",
        action="store_true",
        help="build and install the package as well, which fetches some hundred megabytes",
    )
    parser.addoption(
        "--also-pg-bin",
        metavar="DIR",
        action="append",
        default=[],
        help=f"run the suites {', '.join(ON_EVERY_SERVER)} and what is marked every_server on these binaries as well; may be repeated",
    )
    parser.addoption(
        "--only-also",
        action="store_true",
        help="run only what --also-pg-bin adds: on those binaries, and on no others",
    )


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):  # the process that starts those that run tests (pytest-xdist)
        place = contextlib.ExitStack()
        directory = place.enter_context(place_of_this_run())
        if config.getoption("--managed"):
            place.enter_context(password_file(directory))
        config.add_cleanup(place.close)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--only-also"):
        left_out = [item for item in items if not _is_on_another_server(item)]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if _is_on_another_server(item)]
    for item in items:
        if _SERVERS & set(getattr(item, "fixturenames", ())):
            item.add_marker("server")
        if _OWN_PROCESSES & set(getattr(item, "fixturenames", ())):
            item.add_marker("slow")
        as_superuser = item.get_closest_marker("needs_superuser")
        if as_superuser is not None and item.config.getoption("--managed"):
            item.add_marker(pytest.mark.skip(reason=f"needs a superuser: {as_superuser.args[0]}"))
        if item.path.name == "test_packaging.py" and not item.config.getoption("--packaging"):
            item.add_marker(pytest.mark.skip(reason="builds and installs the package: make test-packaging"))
    # The long ones first: then all processes end at about the same time.
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


def _is_on_another_server(item: pytest.Item) -> bool:
    call = getattr(item, "callspec", None)  # none without parameters
    given = call.params if call is not None else {}
    return not set(item.config.getoption("--also-pg-bin")).isdisjoint(
        given[fixture] for fixture in ("server", "own_server") if fixture in given
    )


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> WholeFiles:
    return WholeFiles(config, log)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    config = metafunc.config
    bins: list[str | None] = [config.getoption("--pg-bin")]
    suite = metafunc.definition.path.relative_to(Path(__file__).parent).parts[0]
    if suite in ON_EVERY_SERVER or metafunc.definition.get_closest_marker("every_server"):
        bins += config.getoption("--also-pg-bin")
    for fixture in {"server", "own_server"} & set(metafunc.fixturenames):
        # Two directories may hold the same version; a test needs an id of its own for each.
        majors = [f"pg{_find_major(pg_bin)}" for pg_bin in bins]
        ids = [major if majors.count(major) == 1 else f"{major}-{n}" for n, major in enumerate(majors)]
        metafunc.parametrize(fixture, bins, ids=ids, indirect=True)


@cache
def _find_major(pg_bin: str | None) -> int:
    return find_binaries(pg_bin).major


@pytest.fixture(autouse=True)
def current_app_stays() -> Iterator[None]:
    """Fail a test that leaves its Celery application as the current one: later tests would store results in its database."""
    before = _state._tls.current_app
    yield
    left = _state._tls.current_app
    _state._set_current_app(before)
    assert left is before, f"{left} is still the current application: make it with set_as_current=False"


@pytest.fixture(scope="session")
def servers(request: pytest.FixtureRequest) -> Iterator[Servers]:
    started = Servers(is_managed=request.config.getoption("--managed"))
    try:
        yield started
    finally:
        started.stop()


@pytest.fixture
def server(request: pytest.FixtureRequest, servers: Servers) -> Iterator[TestServer]:
    """The server that this test runs on, shared with the others; what it logged is shown when the test fails."""
    shared = servers.get(request.param)
    before = shared.log_size()
    yield shared
    print(shared.read_log(since=before))


@pytest.fixture
def db(request: pytest.FixtureRequest, server: TestServer) -> Iterator[Database]:
    """A database of the test's own with pgqueue installed, and with the usual roles that the test's fixtures make."""
    database = Database(server, usual_roles=set(USUAL_ROLES) & set(request.fixturenames))
    try:
        yield database
    finally:
        database.close()


@pytest.fixture
def empty_db(server: TestServer) -> Iterator[Database]:
    """A database of the test's own without pgqueue."""
    database = Database(server, installed=False)
    try:
        yield database
    finally:
        database.close()


@pytest.fixture
def own_server(request: pytest.FixtureRequest) -> Iterator[TestServer]:
    """A server of the test's own, to be restarted and crashed as it likes."""
    with temporary_server(request.param, is_managed=request.config.getoption("--managed")) as private:
        yield private
        print(private.embedded.read_log())


@pytest.fixture
def own_server_db(own_server: TestServer) -> Iterator[Database]:
    """A database with pgqueue on a server of the test's own."""
    database = Database(own_server)
    try:
        yield database
    finally:
        database.close()


@pytest.fixture
def start_worker(tmp_path: Path) -> Iterator[Callable[..., Worker]]:
    """Start a worker on a database and wait until it is online; it ends with the test, its log shown on failure."""
    started: list[Worker] = []

    def start(db: Database, *, wait: bool = True, **options: Any) -> Worker:
        options = {"name": f"w{len(started) + 1}", "preloaded": True, **options}
        worker = Worker(db, tmp_path / f"worker{len(started) + 1}.log", **options)
        started.append(worker)
        return worker.wait_online() if wait else worker

    yield start
    for worker in started:
        worker.end()
        print(f"--- {worker.name}, exit code {worker.exit_code}\n{worker.read_log()}")


@pytest.fixture
def in_background() -> Iterator[Callable[..., Future[Any]]]:
    """Run a call in a thread and return its future; the test ends when all of them have."""
    with ThreadPoolExecutor() as threads:
        yield threads.submit
