import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pgqueue.local.child_process import ChildProcess

pytestmark = pytest.mark.slow


@pytest.fixture
def child(tmp_path: Path) -> ChildProcess:
    return ChildProcess("helper", ["--version"], {"PGQUEUE_EXAMPLE": "1"}, tmp_path / "helper.log")


def test_a_child_that_was_not_started_has_nothing_to_tell(child: ChildProcess) -> None:
    assert child.pid is None
    assert child.exit_code() is None
    assert child.last_lines() == ""
    child.stop(patience=0)


def test_a_child_writes_its_output_to_its_log_and_reports_its_exit_code(child: ChildProcess) -> None:
    child.start()
    os.waitid(os.P_PID, child.pid or 0, os.WEXITED | os.WNOWAIT)

    assert child.exit_code() == 0
    assert child.describe_exit() == "exit code 0"
    assert child.last_lines().startswith("pgqueue")


@pytest.mark.slow
def test_a_process_that_asked_for_it_dies_with_its_parent(tmp_path: Path) -> None:
    grandchild = (
        "import signal; from pgqueue.local.child_process import die_with_parent\n"
        "die_with_parent(); print(1, flush=True); signal.pause()\n"
    )
    parent = (
        "import os, signal, subprocess, sys\n"
        "environment = os.environ | {'PGQUEUE_PARENT_PID': str(os.getpid())}\n"
        f"helper = subprocess.Popen([sys.executable, '-c', {grandchild!r}], env=environment, stdout=subprocess.PIPE)\n"
        "helper.stdout.readline()\n"
        "print(helper.pid, flush=True)\n"
        "signal.pause()\n"
    )
    process = subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2])
    assert process.stdout is not None
    with process.stdout:
        helper = os.pidfd_open(int(process.stdout.readline()))
        process.send_signal(signal.SIGKILL)
        process.wait()
    try:
        # A pidfd becomes readable when its process has ended.
        ended, _, _ = select.select([helper], [], [], 20)
        assert ended
    finally:
        os.close(helper)
