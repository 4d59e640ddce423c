#!/bin/sh
# cronsim 2.8: a field of minutes or hours that begins with * loses instants on days of a clock change.
#
# Guess: `*/15 9 * * *` and `0,15,30,45 9 * * *` name the same instants, on every day and in every time zone.
# Seen: on Lord Howe, whose clock changes by 30 min, the first two instants of the hour 09 are missing on both days of a
# change with the first form. In Cairo, on the Friday whose midnight does not exist, the whole hour 01 is missing, and the
# next instant comes a week later. The second form has all of them.
#
# The script installs the pinned package in a temporary folder, needs Python 3.9 or newer, and fails if this changes.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --disable-pip-version-check cronsim==2.8 tzdata==2025.2
"$place/venv/bin/python" - <<'PYTHON'
from datetime import datetime
from zoneinfo import ZoneInfo

from cronsim import CronSim

CASES = [
    ("Australia/Lord_Howe", "2026-10-04T00:00", "9 * * *", "2026-10-04T09:30", "2026-10-04T09:00"),
    ("Australia/Lord_Howe", "2026-04-05T00:00", "9 * * *", "2026-04-05T09:30", "2026-04-05T09:00"),
    ("Africa/Cairo", "2026-04-20T00:00", "1 * * FRI", "2026-05-01T01:00", "2026-04-24T01:00"),
]

for zone, start, rest, with_star, with_list in CASES:
    begin = datetime.fromisoformat(start).replace(tzinfo=ZoneInfo(zone))
    for minutes, expected in (("*/15", with_star), ("0,15,30,45", with_list)):
        found = next(CronSim(f"{minutes} {rest}", begin)).strftime("%Y-%m-%dT%H:%M")
        print(f"{zone}: '{minutes} {rest}' after {start}: {found}")
        assert found == expected, f"expected {expected}: the behaviour has changed"
print("as described: cronsim 2.8")
PYTHON
