"""A streaming standby of a test's server, to be promoted."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from pgqueue.local.embedded import EmbeddedServer
from pgqueue.local.embedded.account import account_for
from tests.harness.eventually import eventually
from tests.harness.servers import TestServer, fast_place


@contextlib.contextmanager
def synchronous_standby(primary: TestServer) -> Iterator[TestServer]:
    """Run a copy of a server that has what the primary has committed: commits wait for it."""
    if primary.is_managed:
        pytest.skip("a managed service makes its standbys itself")
    account = account_for(primary.embedded.data_dir)
    copier = primary.embedded.bin_dir / "pg_basebackup"
    if not copier.exists():
        pytest.skip(f"these binaries have no {copier.name}")
    with tempfile.TemporaryDirectory(prefix="pgqueue-standby-", dir=fast_place()) as folder:
        place = Path(folder)
        account.own(place)
        place.chmod(0o711)
        with account.open_file(primary.embedded.data_dir / "pg_hba.conf", "ab") as rules:
            rules.write(b"local replication all trust\n")
        primary.admin.execute("select pg_reload_conf()")
        at = conninfo_to_dict(primary.embedded.dsn)
        subprocess.run(
            [
                *(
                    str(copier),
                    "--pgdata",
                    str(place / "data"),
                    "--write-recovery-conf",
                ),
                *(
                    "--checkpoint=fast",
                    "--host",
                    str(at["host"]),
                    "--port",
                    str(at["port"]),
                    "--username",
                    str(at["user"]),
                ),
            ],
            check=True,
            timeout=60,
            **account.subprocess_options(),
        )
        for copied in (place / "data").glob(".s.PGSQL.*"):
            copied.unlink()  # the primary's socket is in its data directory
        with EmbeddedServer(
            place / "data", pg_bin=primary.embedded.bin_dir, settings={"fsync": "off"}, dies_with_us=True
        ) as embedded:
            standby = TestServer(embedded)
            try:
                primary.admin.execute("alter system set synchronous_standby_names = '*'")
                primary.admin.execute("select pg_reload_conf()")
                eventually(
                    lambda: primary.admin.execute(
                        "select from pg_stat_replication where sync_state = 'sync'"
                    ).fetchall(),
                    what="commits wait for the standby",
                )
                yield standby
            finally:
                standby.close()
                # Whatever became of the primary, the test's end finds a server that waits for nobody.
                primary.embedded._settings["synchronous_standby_names"] = ""
                primary.embedded.restart()


def conninfo_of_both(first: TestServer, second: TestServer, database: str) -> str:
    """Return a conninfo that leads to whichever of two servers accepts writes."""
    places = [conninfo_to_dict(server.conninfo(database)) for server in (first, second)]
    hosts, ports = (",".join(str(place[name]) for place in places) for name in ("host", "port"))
    return f"host={hosts} port={ports} dbname={database} user=postgres target_session_attrs=read-write"
