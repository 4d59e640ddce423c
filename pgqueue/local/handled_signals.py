"""Signals that a process handles itself while it keeps others running."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


@contextmanager
def handled_signals(numbers: Iterable[signal.Signals], handle: Callable[[signal.Signals], object]) -> Iterator[None]:
    """Call `handle` for each of these signals until the block ends, in the main thread.

    It takes no lock, which the interrupted code may hold.
    """
    before = {
        number: signal.signal(number, lambda received, _frame: handle(signal.Signals(received))) for number in numbers
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
