import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import eventually

pytestmark = pytest.mark.slow

# A module of the standard library that runs a statement; this one forks, as a worker with a pool of processes does.
_STATEMENT = (
    "import os, signal; print(os.getpid() if os.fork() else os.getppid(), os.getpid(), flush=True); signal.pause()"
)
_TEST_RUN = (
    "import os, signal, sys\n"
    "from tests.harness import preloaded\n"
    "with open(sys.argv[1], 'ab') as log:\n"
    f"    started = preloaded.start('timeit', ['-n1', '-r1', {_STATEMENT!r}], os.environ, log)\n"
    "print(preloaded._parent()._process.pid, flush=True)\n"
    "signal.pause()\n"
)


class _TestRun:
    """A process that has started another one, as a test run starts workers."""

    def __init__(self, log: Path) -> None:
        root = Path(__file__).parents[2]
        self._process = subprocess.Popen([sys.executable, "-c", _TEST_RUN, log], stdout=subprocess.PIPE, cwd=root)
        assert self._process.stdout is not None
        with self._process.stdout:
            self.preloader = os.pidfd_open(int(self._process.stdout.readline()))
        eventually(lambda: log.read_text().count("\n") == 2)
        pids = sorted({int(pid) for line in log.read_text().splitlines() for pid in line.split()})
        self.started = [os.pidfd_open(pid) for pid in pids]

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        self.kill()
        for process in [self.preloader, *self.started]:
            if not _has_ended(process, 0):
                signal.pidfd_send_signal(process, signal.SIGKILL)
            os.close(process)


def _has_ended(process: int, seconds: float = 20) -> bool:
    # A pidfd becomes readable when its process has ended.
    return bool(select.select([process], [], [], seconds)[0])


@pytest.fixture
def test_run(tmp_path: Path) -> Iterator[_TestRun]:
    run = _TestRun(tmp_path / "log")
    yield run
    run.close()


def test_processes_and_their_children_die_with_a_test_run_that_is_killed(test_run: _TestRun) -> None:
    assert len(test_run.started) == 2

    test_run.kill()

    assert all(_has_ended(process) for process in [test_run.preloader, *test_run.started])


def test_processes_die_with_the_one_that_has_forked_them(test_run: _TestRun) -> None:
    signal.pidfd_send_signal(test_run.preloader, signal.SIGKILL)

    leader, _child = test_run.started
    assert _has_ended(leader)
