"""libpq's options in the broker's URL, each against a server for which it makes the difference."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from kombu import Connection
from psycopg.conninfo import conninfo_to_dict

from pgqueue.broker.worker_session import WorkerSession
from pgqueue.local.embedded.account import account_for
from tests.harness import Database
from tests.harness.ports import free_port
from tests.harness.servers import TestServer, temporary_server
from tests.harness.standby import conninfo_of_both, synchronous_standby

pytestmark = pytest.mark.slow


#: Debian's server speaks TLS, the one of the wheel does not.
DEBIANS = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))


@pytest.fixture(scope="module")
def tcp_server() -> Iterator[TestServer]:
    with temporary_server(port=free_port()) as server:
        yield server


@pytest.fixture
def place(tcp_server: TestServer) -> Iterator[dict[str, Any]]:
    """Where a database is over TCP: port, password, name."""
    yield from _place_on(tcp_server)


def _place_on(server: TestServer) -> Iterator[dict[str, Any]]:
    db = Database(server)
    tcp = conninfo_to_dict(str(server.embedded.tcp_dsn))
    yield {"port": tcp["port"], "password": quote(str(tcp["password"]), safe=""), "name": db.name}
    db.close()


@pytest.fixture
def certificate() -> Iterator[Path]:
    """A folder with a certificate for 127.0.0.1 and its key, for the account that runs the server."""
    with tempfile.TemporaryDirectory(prefix="pgqueue-tls-", dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        request = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1"
        made = ["-keyout", str(folder / "key"), "-out", str(folder / "crt")]
        subprocess.run(["openssl", *request.split(), *made], check=True, capture_output=True)
        (folder / "key").chmod(0o600)
        account_for(folder / "nothing").own(folder / "key")
        yield folder


@pytest.fixture
def tls_place(certificate: Path) -> Iterator[dict[str, Any]]:
    """The same on a server that speaks TLS."""
    with temporary_server(
        str(DEBIANS[-1].parent),
        port=free_port(),
        ssl="on",
        ssl_cert_file=str(certificate / "crt"),
        ssl_key_file=str(certificate / "key"),
    ) as server:
        yield from _place_on(server)


def roundtrip(url: str) -> list[tuple[Any, ...]]:
    """Publish and consume at a URL; return what the server says of the sessions that this took."""
    with Connection(url) as connection:
        queue = connection.SimpleQueue("q")
        queue.put("there and back", serializer="json")
        assert queue.get(timeout=60).payload == "there and back"
        queue.close()
        with connection.transport.database.session() as session:
            told = session.execute(
                "select a.application_name, s.ssl from pg_stat_activity a join pg_stat_ssl s using (pid)"
                " where a.application_name like 'pgqueue%'"
            ).fetchall()
        connection.transport.database.close()
    WorkerSession.close_all()
    return told


def test_sslmode_is_obeyed(place: dict[str, Any]) -> None:
    url = f"pgqueue://postgres:{place['password']}@127.0.0.1:{place['port']}/{place['name']}"

    assert {ssl for _name, ssl in roundtrip(f"{url}?sslmode=prefer")} == {False}
    with pytest.raises(psycopg.OperationalError, match="SSL"):
        Connection(f"{url}?sslmode=require").connect()


@pytest.mark.skipif(not DEBIANS, reason="no server with TLS here (Debian: apt-get install postgresql)")
def test_the_server_is_verified(tls_place: dict[str, Any], certificate: Path, tmp_path: Path) -> None:
    url = f"pgqueue://postgres:{tls_place['password']}@127.0.0.1:{tls_place['port']}/{tls_place['name']}"

    assert {ssl for _name, ssl in roundtrip(f"{url}?sslmode=verify-full&sslrootcert={certificate / 'crt'}")} == {True}
    with pytest.raises(psycopg.OperationalError):
        Connection(f"{url}?sslmode=verify-full&sslrootcert={tmp_path / 'none'}").connect()


def test_a_password_file_can_be_named(place: dict[str, Any], tmp_path: Path) -> None:
    passfile = tmp_path / "pass"
    passfile.write_text(f"127.0.0.1:{place['port']}:*:postgres:{place['password']}\n")
    passfile.chmod(0o600)

    assert roundtrip(f"pgqueue://postgres@127.0.0.1:{place['port']}/{place['name']}?passfile={passfile}")


def test_a_service_can_be_named(place: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    services = tmp_path / "services"
    services.write_text(
        f"[shop]\nhost=127.0.0.1\nport={place['port']}\ndbname={place['name']}\nuser=postgres\npassword={place['password']}\n"
    )
    monkeypatch.setenv("PGSERVICEFILE", str(services))

    assert roundtrip("pgqueue:///?service=shop")


def test_the_first_of_several_hosts_that_answers_is_taken(place: dict[str, Any]) -> None:
    url = f"pgqueue://postgres:{place['password']}@127.0.0.1:{free_port()},127.0.0.1:{place['port']}/{place['name']}"

    assert roundtrip(url)


def test_the_host_that_accepts_writes_is_taken(own_server_db: Database) -> None:
    primary = own_server_db.server
    with synchronous_standby(primary) as standby:
        hosts = conninfo_to_dict(conninfo_of_both(standby, primary, own_server_db.name))
        where = f"host={quote(str(hosts['host']), safe='')}&port={hosts['port']}"
        assert roundtrip(f"pgqueue://postgres@/{own_server_db.name}?{where}&target_session_attrs=read-write")
