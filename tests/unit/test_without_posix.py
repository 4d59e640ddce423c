"""The client can be imported where Python has no POSIX, as on Windows: tried here without what is missing there."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

MODULES = ["fcntl", "grp", "pwd", "resource", "termios"]
NAMES = [("os", "register_at_fork"), ("os", "fork"), ("os", "geteuid"), ("os", "killpg"), ("select", "poll")]


def run_without_posix(statements: str) -> subprocess.CompletedProcess[str]:
    lack = f"""
import os, select, sys
sys.modules.update(dict.fromkeys({MODULES!r}))
for module, name in {NAMES!r}:
    delattr(sys.modules[module], name)
"""
    return subprocess.run([sys.executable, "-c", lack + statements], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "statement", ["import pgqueue; pgqueue.connect; pgqueue.in_transaction", "import pgqueue.broker"]
)
def test_the_client_can_be_imported_where_no_process_is_forked(statement: str) -> None:
    done = run_without_posix(statement)

    assert done.returncode == 0, done.stderr


def test_an_idle_session_is_seen_to_be_quiet_without_poll() -> None:
    done = run_without_posix(
        """
import socket
from pgqueue.db.connect import is_quiet
class Session:
    closed = False
    def __init__(self, end): self.fileno = end.fileno
here, there = socket.socketpair()
assert is_quiet(Session(here))
there.send(b"the news of its end")
assert not is_quiet(Session(here))
"""
    )

    assert done.returncode == 0, done.stderr
