"""The parent's state that a forked child drops: sessions, locks, the worker's name.

Windows forks no process and has no `os.register_at_fork`. There, nothing is registered, and the client can be
imported.
"""

from __future__ import annotations

import os
from collections.abc import Callable


def call_in_forked_child(forget: Callable[[], object]) -> None:
    """Call `forget` in each child that this process forks from now on, before anything else of the child runs."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=forget)
