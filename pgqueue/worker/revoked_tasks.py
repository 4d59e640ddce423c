"""Let Celery's `revoke` cancel the jobs of SQL tasks: Celery itself knows only tasks that are in its workers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
from celery.worker import control
from kombu.utils.functional import maybe_list

from .log import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..db.database import Database

logger = get_logger(__name__)

#: A worker may submit the job of a task at the moment of the request: then the job is found a moment later.
_AGAIN_SECONDS = 1.0
_celerys_revoke: Callable[..., Any] = control.revoke
_databases: dict[str, Database] = {}


def revoke_sql_tasks(database: Database) -> None:
    """Make `revoke` act on the SQL jobs in this database as well. Harmless to repeat."""
    _databases[database.conninfo] = database
    control.control_command(name="revoke", variadic="task_id", signature="[id1 [id2 [... [idN]]]]")(revoke)


def revoke(state: Any, task_id: Any, terminate: bool = False, signal: Any = None, **options: Any) -> Any:
    """Revoke tasks: SQL that has not begun does not run, and with `terminate` SQL that runs is canceled."""
    answer = _celerys_revoke(state, task_id, terminate=terminate, signal=signal, **options)
    task_ids = [str(each) for each in maybe_list(task_id) or []]
    _cancel_jobs(task_ids, bool(terminate))
    timer = getattr(state.consumer, "timer", None)
    if timer is not None:
        timer.call_after(_AGAIN_SECONDS, _cancel_jobs, (task_ids, bool(terminate)))
    return answer


def _cancel_jobs(task_ids: list[str], terminate: bool) -> None:
    try:
        for database in list(_databases.values()):
            database.fetch("revoke_sql_tasks", task_ids=task_ids, terminate=terminate)
    except psycopg.Error as failure:
        logger.warning("revoked SQL tasks could not be canceled: %s", failure)
