"""A real PgBouncer in transaction mode in front of a test's database, as Debian ships it."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from pgqueue.local.embedded.account import account_for
from tests.harness.database import WORKER, Database
from tests.harness.eventually import eventually
from tests.harness.ports import free_port

PROGRAM = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")

_CONFIG = """
[databases]
{name} = host={host} port={port} dbname={name}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen_port}
unix_socket_dir =
auth_type = trust
auth_file = {users}
pool_mode = transaction
default_pool_size = {pool_size}
max_client_conn = 200
"""


@contextlib.contextmanager
def pooled(db: Database, *, pool_size: int = 4) -> Iterator[str]:
    """Pool the sessions of a database; yield the conninfo that leads through the pooler."""
    assert PROGRAM is not None
    server, listen_port = conninfo_to_dict(db.dsn), free_port()
    account = account_for(db.server.embedded.data_dir)
    with tempfile.TemporaryDirectory(prefix="pgqueue-pgbouncer-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # the pooler runs as the server's account, which may use its socket
        users, config, log = folder / "users.txt", folder / "pgbouncer.ini", folder / "log"
        users.write_text(f'"postgres" ""\n"{WORKER}" ""\n')
        config.write_text(
            _CONFIG.format(
                name=db.name,
                host=server["host"],
                port=server["port"],
                listen_port=listen_port,
                users=users,
                pool_size=pool_size,
            )
        )
        with log.open("wb") as output:
            process = subprocess.Popen(
                [PROGRAM, str(config)], stdout=output, stderr=output, **account.subprocess_options()
            )
        try:
            dsn = make_conninfo(host="127.0.0.1", port=listen_port, dbname=db.name, user="postgres")
            eventually(lambda: _answers(dsn, process, log), what="PgBouncer answers")
            yield dsn
        finally:
            process.terminate()
            process.wait(20)
            print(log.read_text()[-4000:])


def _answers(dsn: str, process: subprocess.Popen[bytes], log: Path) -> bool:
    assert process.poll() is None, log.read_text()
    with contextlib.suppress(psycopg.OperationalError), psycopg.connect(dsn):
        return True
    return False
