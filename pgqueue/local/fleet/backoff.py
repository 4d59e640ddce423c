"""When a process of a fleet that has died is started again."""

from __future__ import annotations

_LONGEST_SECONDS = 300.0
#: The unit that is doubled where the first restart comes at once.
_LEAST_UNIT_SECONDS = 0.5
#: A process that has lived for so long starts the count anew.
_WELL_SECONDS = 60.0


class Backoff:
    """Remembers how often one process has died since it last lived for a minute."""

    def __init__(self) -> None:
        self._deaths = 0

    def next_delay(self, restart_after: float, lived: float) -> float:
        """Record a death after `lived` seconds; return the seconds until the next start.

        The first delay is `restart_after`, each further one the double of the one before, up to 5 min or
        `restart_after`, whichever is longer.
        """
        self._deaths = 1 if lived >= _WELL_SECONDS else self._deaths + 1
        if self._deaths == 1:
            return restart_after
        unit = max(restart_after, _LEAST_UNIT_SECONDS)
        # The exponent is bounded, because a process may die for months.
        return min(max(_LONGEST_SECONDS, restart_after), unit * 2.0 ** min(self._deaths - 1, 30))

    def forget(self) -> None:
        """Begin anew."""
        self._deaths = 0
