"""Ask the kernel (Linux) for a signal when the parent process dies, in whatever way."""

from __future__ import annotations

import ctypes
import errno
import os
import signal

_PR_SET_PDEATHSIG = 1
# The library is loaded in advance, because nothing may be loaded between fork and exec.
_libc = ctypes.CDLL(None, use_errno=True)


def signal_me_when_parent_dies(number: signal.Signals, parent_pid: int) -> None:
    """Ask for `number`.

    Raises:
        ProcessLookupError: the parent has died already, so no signal would come.
        OSError: the kernel refused.
    """
    if _libc.prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    if os.getppid() != parent_pid:
        raise ProcessLookupError(errno.ESRCH, "the parent process has died")
