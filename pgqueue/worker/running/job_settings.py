"""The settings that a job inherits from its launcher, and when its session takes which of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..claimed_job import ClaimedJob

QUOTING = "standard_conforming_strings"
READ_ONLY = "default_transaction_read_only"
#: Settings that must be known before the transaction begins, or before its text is sent. Inside the server, where the
#: transaction of the job has begun, a job cannot have them.
SET_BEFORE = ("default_transaction_isolation", READ_ONLY, "default_transaction_deferrable", "client_encoding")
#: Settings that apply only after pgqueue's own queries at the beginning of the transaction have run.
_TIMEOUTS = ("statement_timeout", "lock_timeout", "transaction_timeout", "idle_in_transaction_session_timeout")


class JobSettings:
    """The settings of a job that runs in a transaction.

    Args:
        job: the job.
        application_name: how the server shows its session.
        modes: the modes of the transaction, if the first statement of the job sets them.
    """

    def __init__(self, job: ClaimedJob, application_name: str, modes: Mapping[str, str]) -> None:
        inherited = {**job.settings, **modes}
        #: Those that apply before the transaction begins.
        self.before = {name: inherited.pop(name) for name in SET_BEFORE if name in inherited}
        # Timeouts come last, because they apply to the job's statements only.
        timeouts = {name: inherited.pop(name) for name in list(inherited) if name in _TIMEOUTS}
        #: Those that apply at its beginning, in this order.
        self.inside = {"application_name": application_name, "pgqueue.job_id": str(job.id), **inherited, **timeouts}


def settings_outside(job: ClaimedJob, application_name: str) -> dict[str, str]:
    """Return the settings of a job whose one statement runs outside of a transaction block."""
    return {"application_name": application_name, "pgqueue.job_id": str(job.id), **job.settings}
