import subprocess
import sys

import pytest

from pgqueue.schema import migrate
from pgqueue.sql import migrations

pytestmark = pytest.mark.slow


def run_installer(db, *arguments, **options):
    return subprocess.Popen(
        [sys.executable, "-m", "pgqueue", "install", "--dsn", db.dsn, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **options,
    )


def assert_whole(db):
    with db.connect() as connection:
        migrate.require_current(connection)
        connection.execute("select pgqueue._repair_loopback()")
    applied = db.execute("select version from pgqueue.migration order by 1")
    assert applied == [(step.version,) for step in migrations()]


def test_twenty_installer_commands_at_once_all_succeed(empty_db):
    installers = [run_installer(empty_db) for _ in range(20)]

    said = [installer.communicate()[0] for installer in installers]

    assert [installer.returncode for installer in installers] == [0] * 20, said
    assert sum("applied" in text for text in said) == 1
    assert_whole(empty_db)


def test_installer_commands_killed_at_any_instant_leave_nothing_half_made(empty_db):
    for delay in (0.0, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6):
        installer = run_installer(empty_db)
        try:
            installer.communicate(timeout=delay)
        except subprocess.TimeoutExpired:
            installer.kill()
            installer.communicate()
        with empty_db.connect() as connection:
            # Its session may still be busy: installing waits for it.
            connection.execute("select pg_advisory_lock(hashtextextended('pgqueue installation', 0))")
            assert migrate.status(connection).installed in (0, len(migrations()))

    last = run_installer(empty_db)

    last.communicate()
    assert last.returncode == 0
    assert_whole(empty_db)


def test_an_installer_without_privileges_says_in_one_line_what_to_grant(empty_db):
    empty_db.create_role("nobody_much", enrolled=False)
    dsn = empty_db.dsn_for("nobody_much")

    refused = subprocess.run(
        [sys.executable, "-m", "pgqueue", "install", "--dsn", dsn],
        capture_output=True,
        text=True,
        check=False,
    )

    lines = refused.stderr.strip().splitlines()
    assert refused.returncode == 1
    assert len(lines) == 2
    assert "createrole" in lines[1]
    assert "Traceback" not in refused.stderr
