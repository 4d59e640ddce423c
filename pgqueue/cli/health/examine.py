"""Which checks `pgqueue doctor` runs, and in which order."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ...db.client_session import ANSWER_SECONDS, ClientSession
from ...errors import PgQueueError
from . import installation, queues, server
from .finding import Finding, Level

Check = Callable[[ClientSession], Finding]


def examine(dsn: str | None) -> Iterator[Finding]:
    """Run the checks one after the other; stop early if the remaining ones would make no sense."""
    with ClientSession(dsn, application_name="pgqueue doctor", answer_seconds=ANSWER_SECONDS) as session:
        first: tuple[Check, ...] = (installation.check_server, installation.check_schema)
        for check in first:
            finding = _run(check, session)
            yield finding
            if finding.level is Level.FAIL:
                return
        for check in _CHECKS:
            if check not in _OF_PRIMARY or not session.is_standby:
                yield _run(check, session)


def _run(check: Check, session: ClientSession) -> Finding:
    try:
        return check(session)
    except PgQueueError as failure:
        subject = check.__name__.removeprefix("check_").replace("_", " ")
        return Finding(subject, Level.FAIL, str(failure), failure.hint)


_CHECKS: tuple[Check, ...] = (
    installation.check_catalog,
    installation.check_home,
    installation.check_privileges,
    installation.check_enrolment,
    installation.check_settings,
    server.check_clock,
    server.check_connections,
    server.check_dead_rows,
    server.check_oldest_snapshot,
    queues.check_waiting_jobs,
    queues.check_dead_letters,
    queues.check_workers,
    queues.check_paused_queues,
    queues.check_schedules,
    queues.check_overdue_jobs,
    queues.check_waiting_roles,
    queues.check_quotas,
    queues.check_stuck_jobs,
    installation.check_executors,
    installation.check_logins,
    server.check_partitions,
    server.check_upkeep,
    installation.check_loopback,
)
#: A standby cannot answer these checks: it accepts no jobs, and does not see the sessions of the primary.
_OF_PRIMARY = frozenset({installation.check_loopback, queues.check_workers})
