"""The checks of the server: clock, connections, dead rows, old snapshots, and pgqueue's own upkeep."""

from __future__ import annotations

import time

from ...db.client_session import ClientSession
from .finding import Finding, Level

_MANY_DEAD_ROWS = 20_000
_LONG_SNAPSHOT_SECONDS = 600
_MANY_TRANSACTIONS = 1_000_000
_CLOCK_TOLERANCE_SECONDS = 1.0
_CROWDED = 0.85


def check_clock(session: ClientSession) -> Finding:
    """Check that the clocks of the server and of this machine agree."""
    before = time.time()
    server = session.fetch("doctor_clock")[0][0]
    after = time.time()
    difference = server - (before + after) / 2
    found = f"the server's clock differs by {difference:+.3f} s"
    if abs(difference) > _CLOCK_TOLERANCE_SECONDS + (after - before):
        return Finding("clock", Level.WARN, found, "Let both machines keep time by NTP: delays and expiries use both.")
    return Finding("clock", Level.OK, found)


def check_dead_rows(session: ClientSession) -> Finding:
    """Check that vacuum keeps up with the messages."""
    live, dead, last_vacuum = session.fetch("doctor_dead_rows")[0]
    found = f"{dead} dead rows in pgqueue.message beside {live} live ones"
    if dead > _MANY_DEAD_ROWS and dead > 5 * live:
        when = "never" if last_vacuum is None else last_vacuum.isoformat(sep=" ", timespec="seconds")
        hint = f"Look for what holds an old snapshot; autovacuum last came by: {when}."
        return Finding("dead rows", Level.WARN, found, hint)
    return Finding("dead rows", Level.OK, found)


def check_oldest_snapshot(session: ClientSession) -> Finding:
    """Check that no session holds back vacuum."""
    rows = session.fetch("doctor_oldest_snapshot")
    sees_all = session.fetch("doctor_sees_all")[0][0]
    if not rows:
        text = "no session holds one" if sees_all else "none that this role may see: a member of pg_monitor sees all"
        return Finding("oldest snapshot", Level.OK, text)
    holder, seconds, transactions = rows[0]
    since = "" if seconds is None else f" for {seconds:.0f} s"
    found = f"{holder} holds back vacuum{since}, by {transactions} transactions"
    if not sees_all:
        found += "; a member of pg_monitor sees all"
    if transactions > _MANY_TRANSACTIONS or (seconds or 0) > _LONG_SNAPSHOT_SECONDS:
        return Finding("oldest snapshot", Level.WARN, found, "End it, or dead rows pile up in every table.")
    return Finding("oldest snapshot", Level.OK, found)


def check_partitions(session: ClientSession) -> Finding:
    """Check that the partitions of tomorrow are there."""
    missing = [parent for parent, is_there in session.fetch("doctor_partitions") if not is_there]
    if missing:
        hint = "A running worker makes them; until then rows go to the default partition, and nothing is lost."
        return Finding("partitions", Level.WARN, f"none for tomorrow yet: {', '.join(missing)}", hint)
    return Finding("partitions", Level.OK, "made ahead")


def check_connections(session: ClientSession) -> Finding:
    """Check that connections are left."""
    used, limit = session.fetch("doctor_connections")[0]
    found = f"{used} of {limit} in use"
    if used > _CROWDED * limit:
        hint = "A session that launches takes a second connection: raise max_connections, or use a pooler."
        return Finding("connections", Level.WARN, found, hint)
    return Finding("connections", Level.OK, found)


def check_upkeep(session: ClientSession) -> Finding:
    """Check that no part of the upkeep fails."""
    failing = [
        f"{part} (since {since.isoformat(sep=' ', timespec='seconds')}): {text}"
        for part, since, text in session.fetch("doctor_upkeep")
    ]
    if failing:
        hint = "Workers try again at each naptime. Mend what the message names; the other parts of the upkeep go on."
        return Finding("upkeep", Level.WARN, "; ".join(failing), hint)
    return Finding("upkeep", Level.OK, "nothing fails")
