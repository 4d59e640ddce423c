"""The timeout of one run of a job: for each of its statements, the time that is left."""

from __future__ import annotations

from time import monotonic

from .error_fields import timed_out
from .pipeline_call import PipelineCall


class Deadline:
    """When a run has to have ended. It begins when this is made.

    Args:
        timeout_ms: None: never.
    """

    def __init__(self, timeout_ms: int | None) -> None:
        self._at = None if timeout_ms is None else monotonic() + timeout_ms / 1000

    def arm(self, *, is_local: bool) -> list[PipelineCall]:
        """Return the call that lets the server stop what follows at the deadline; empty: there is none.

        Args:
            is_local: for the rest of the transaction, not of the session.

        Raises:
            SqlstateError: it has passed.
        """
        if self._at is None:
            return []
        remaining_ms = int((self._at - monotonic()) * 1000)
        if remaining_ms <= 0:
            raise timed_out()
        return [PipelineCall.named("arm_timeout", remaining_ms=remaining_ms, is_local=is_local)]

    def require(self) -> None:
        """Pass if it has not passed: a job may have caught the error by which the server stopped it.

        Raises:
            SqlstateError: it has.
        """
        if self._at is not None and monotonic() > self._at:
            raise timed_out()
