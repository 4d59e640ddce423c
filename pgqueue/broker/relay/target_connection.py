"""The connection of a relay to a target: after a loss it is opened again, with pauses that grow."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .target import Target, TargetLost

logger = logging.getLogger(__name__)

_RECONNECT_FROM, _RECONNECT_TO = 0.2, 10.0


class TargetConnection:
    """For one thread. All instants are monotonic seconds."""

    def __init__(self, target: Target) -> None:
        self.is_open = False
        #: When it is to be opened again.
        self.open_at = -math.inf
        self._target = target
        self._backoff = 0.0

    def open(self) -> None:
        """Connect.

        Raises:
            TargetLost: that was not possible. Call `lose`.
        """
        self._target.connect()
        self.is_open, self._backoff = True, 0.0
        logger.info("connected to %s", self._target.name)

    def lose(self, loss: TargetLost, now: float) -> bool:
        """Record a loss, or that it could not be opened; return whether it was open."""
        if self.is_open:
            logger.warning("lost the connection to %s: %s", self._target.name, loss)
        elif self._backoff == 0.0:
            logger.warning("cannot connect to %s: %s", self._target.name, loss)
        was_open = self.is_open
        self.close()
        self._backoff = min(max(self._backoff * 2, _RECONNECT_FROM), _RECONNECT_TO)
        self.open_at = now + self._backoff
        return was_open

    def close(self) -> None:
        """End it."""
        self.is_open = False
        self._target.close()
