"""Runs jobs that keep their results inside the server, one by one, in the session of the executors' login.

A job may turn out not to run there, for example because it sets a role. Nothing is left of it then, and it runs in a
session of its submitter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg

from ..errors import ClaimLost
from .claimed_job import Ending, Outcome
from .credentials import LoginRefused
from .log import get_logger
from .running.error_fields import ConnectionLost, SqlstateError, fields_of, is_of_used_session
from .running.job_transaction import NotToBegin
from .running.result_transaction import ResultTransaction, without_runner

if TYPE_CHECKING:
    from .context import WorkerContext
    from .executor_session import ExecutorSession
    from .running.error_fields import Fields
    from .running.runner_forms import RunnerForm
    from .watched_run import WatchedRun

logger = get_logger(__name__)


class ResultRunner:
    """Runs the jobs of one executor that keep their results."""

    def __init__(self, context: WorkerContext, kept: ExecutorSession) -> None:
        self._context = context
        self._kept = kept

    def run(self, watched: WatchedRun, form: RunnerForm) -> Outcome | None:
        """Run a job to its end, or give it back; return how it ended, or None: it has to run at the top level.

        Raises:
            psycopg.Error: its end could not be reported, though the server is there.
        """
        try:
            return self._run(watched, form)
        finally:
            self._kept.leave()

    def find_syntax_error(self, watched: WatchedRun, text: str) -> Fields | None:
        """Return the error of a text that the server cannot read; None: it can, or the server could not be asked."""
        try:
            error = self._kept.enter(watched.job, watched.hear).statements.find_syntax_error(text)
        except (LoginRefused, psycopg.Error, ConnectionLost) as failure:
            logger.info("job %s: its syntax was not checked: %s", watched.job.id, failure)
            return None
        finally:
            self._kept.leave()
        return None if error is None else fields_of(error)

    def _run(self, watched: WatchedRun, form: RunnerForm) -> Outcome | None:
        job, guard, kept, completer = watched.job, watched.guard, self._kept, self._context.completer
        was_kept = kept.is_open
        try:
            session = kept.enter(job, watched.hear)
        except LoginRefused as refusal:
            return None if job.may_log_in else completer.defer(job, str(refusal), refusal.seconds)
        except (psycopg.OperationalError, ConnectionLost) as error:
            return completer.release(job, f"the server is away: {error}", is_undelivered=True)
        except psycopg.Error as error:
            return None if job.may_log_in else completer.fail(job, fields_of(error), None, None)
        watched.begin(session)
        run = ResultTransaction(session, job, form, guard, watched.notices, watched.flush, watched.application_name)
        try:
            summary = run.run()
            if guard.close() is not None:
                # A cancel may still be on its way: the reset takes it upon itself.
                kept.empty()
            return Outcome(run.ending, summary)
        except ClaimLost:
            kept.clear()
            return Outcome(Ending.GONE, "the claim is lost")
        except NotToBegin:
            kept.clear()
            return completer.end_unbegun(job)
        except ConnectionLost as lost:
            if not run.has_begun and lost.has_last_word:
                # The server had ended the kept session meanwhile.
                return self._run(watched, form) if was_kept else completer.defer(job, str(lost))
            return watched.settle_lost(kept, session, lost, has_begun=run.has_begun)
        except Exception as error:
            if not isinstance(error, (SqlstateError, psycopg.Error, OSError)):
                logger.exception("job %s could not be run", job.id)
            fields = fields_of(error)
            if was_kept and is_of_used_session(fields):
                kept.close()
                watched.notices.forget()
                return self._run(watched, form)
            cause = guard.close()
            may_move = job.may_log_in or not run.has_begun
            if cause is None and may_move and completer.needs_top_level(job, fields):
                watched.notices.forget()
                kept.clear()
                return None
            return watched.fail(kept, session, without_runner(fields, job.sql), cause, has_begun=run.has_begun)
