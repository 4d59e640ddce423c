"""Runs jobs one by one, each in a session that is logged in as its submitter."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg

from ..errors import ClaimLost
from .claimed_job import Ending, Outcome
from .credentials import LoginRefused
from .log import get_logger
from .running.error_fields import ConnectionLost, SqlstateError, fields_of, is_of_used_session
from .running.job_transaction import JobTransaction, NotToBegin

if TYPE_CHECKING:
    from .claimed_job import ClaimedJob
    from .context import WorkerContext
    from .submitter_session import SubmitterSession
    from .watched_run import WatchedRun

logger = get_logger(__name__)


class TopLevelRunner:
    """Runs the jobs of one executor that cannot run inside the server."""

    def __init__(self, context: WorkerContext, kept: SubmitterSession) -> None:
        self._context = context
        self._kept = kept

    def run(self, watched: WatchedRun) -> Outcome:
        """Run a job to its end, or give it back; return how it ended. `leave` the session after that.

        Raises:
            psycopg.Error: its end could not be reported, though the server is there.
        """
        job, guard, kept, completer = watched.job, watched.guard, self._kept, self._context.completer
        was_kept = kept.is_open_for(job.submitter)
        try:
            session = kept.enter(job, watched.hear)
        except LoginRefused as refusal:
            return completer.defer(job, str(refusal), refusal.seconds)
        except (psycopg.OperationalError, ConnectionLost) as error:
            return self._put_back(job, error)
        except psycopg.Error as error:
            return completer.fail(job, fields_of(error), None, None)
        kept.needs_reset = True
        watched.begin(session)
        run = JobTransaction(session, job, guard, watched.notices, watched.flush, watched.application_name)
        try:
            summary = run.run()
            # A cancel may still be on its way: then another round trip takes it upon itself.
            kept.needs_reset = guard.close() is not None or not run.has_cleaned_up
            return Outcome(run.ending, summary)
        except ClaimLost:
            session.roll_back()
            return Outcome(Ending.GONE, "the claim is lost")
        except NotToBegin as ended:
            session.roll_back()
            return Outcome(ended.ending) if ended.ending else completer.end_unbegun(job)
        except ConnectionLost as lost:
            if not run.has_begun and lost.has_last_word:
                # The server had ended the kept session meanwhile.
                return self.run(watched) if was_kept else self._put_back(job, lost)
            return watched.settle_lost(kept, session, lost, has_begun=run.has_begun)
        except Exception as error:
            if not isinstance(error, (SqlstateError, psycopg.Error, OSError)):
                logger.exception("job %s could not be run", job.id)
            if isinstance(error, psycopg.errors.InsufficientPrivilege) and not run.has_begun:
                note = self._context.credentials.find_unenrolled(job.submitter)
                if note is not None:
                    kept.close()
                    guard.close()
                    return completer.defer(job, note)
            fields = fields_of(error)
            if was_kept and is_of_used_session(fields):
                kept.close()
                watched.notices.forget()
                return self.run(watched)
            return watched.fail(kept, session, fields, guard.close(), has_begun=run.has_begun)

    def _put_back(self, job: ClaimedJob, error: Exception) -> Outcome:
        """Give back a job that did not begin: at once if the server is away, else after a delay.

        Then the sessions of the job's role end early, which is recorded for the role.
        """
        completer, credentials = self._context.completer, self._context.credentials
        try:
            return completer.defer(job, credentials.blame(job.submitter, error))
        except psycopg.OperationalError:
            return completer.release(job, f"the server is away: {error}", is_undelivered=True)
