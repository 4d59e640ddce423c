"""The units for systemd: valid, and of the kind that the notifications are for."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

UNITS = Path(__file__).parents[2] / "deploy" / "systemd"
NAMES = ("pgqueue-worker@.service", "pgqueue-fleet.service")


def read(name: str) -> configparser.ConfigParser:
    unit = configparser.ConfigParser(interpolation=None, strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(UNITS / name)
    return unit


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
@pytest.mark.parametrize("name", NAMES)
def test_systemd_finds_no_fault(name: str, tmp_path: Path) -> None:
    # The program that the unit names is not installed here.
    text = (UNITS / name).read_text().replace("/opt/pgqueue/bin/pgqueue", sys.executable)
    copy = tmp_path / name.replace("@.", "@1.")
    copy.write_text(text)

    verified = subprocess.run(
        ["systemd-analyze", "verify", "--recursive-errors=no", copy], capture_output=True, text=True, check=False
    )

    assert [line for line in verified.stderr.splitlines() if "pgqueue" in line] == []
    assert verified.returncode == 0, verified.stderr


@pytest.mark.parametrize("name", NAMES)
def test_a_service_notifies_is_watched_and_stops_in_order(name: str) -> None:
    service = read(name)["Service"]

    assert service["Type"] == "notify"
    assert service["NotifyAccess"] == "main"
    assert service["TimeoutStartSec"] == "infinity"
    assert int(service["WatchdogSec"]) >= 60
    assert service["KillMode"] == "mixed"
    assert service["Restart"] == "always"
    assert {"MemoryMax", "TasksMax", "LimitNOFILE", "NoNewPrivileges", "ProtectSystem"} <= set(service)


@pytest.mark.parametrize("name", NAMES)
def test_passwords_come_from_a_credential_and_stand_in_no_unit(name: str) -> None:
    service = read(name)["Service"]

    assert service["LoadCredential"] == "pgpass:/etc/pgqueue/pgpass"
    assert service["Environment"] == "PGPASSFILE=%d/pgpass"
    assert not re.search(r"password\s*=|://\w+:", (UNITS / name).read_text())
