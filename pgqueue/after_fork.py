"""The parent's state that a forked child drops, in one hook and in one order: sessions, locks, the worker's name.

Windows forks no process and has no `os.register_at_fork`. There, nothing is registered, and the client can be
imported.
"""

from __future__ import annotations

import enum
import os
from collections import defaultdict
from contextlib import ExitStack
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Turn(enum.IntEnum):
    """When something is forgotten."""

    #: First the descriptors, so that nothing below can write into a session of the parent or end it.
    SESSIONS = 1
    #: Then who the process is, and the objects that each process has one of.
    PROCESS = 2
    #: Last what held sessions: it finds them closed.
    WAITS = 3


_forgets: defaultdict[Turn, list[Callable[[], object]]] = defaultdict(list)


def call_in_forked_child(turn: Turn, forget: Callable[[], object]) -> None:
    """Call `forget` in each child that this process forks from now on, before anything else of the child runs."""
    _forgets[turn].append(forget)


def _forget_parent() -> None:
    # Each is called, also after one that fails.
    with ExitStack() as later:
        for turn in sorted(_forgets, reverse=True):
            for forget in reversed(_forgets[turn]):
                later.callback(forget)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_parent)
