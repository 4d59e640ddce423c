import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

TOP = Path(__file__).parents[2]
TEXT = (TOP / "docker-compose.yml").read_text()
COMPOSE = yaml.safe_load(TEXT)
SERVICES = COMPOSE["services"]
LONG_RUNNING = [name for name, service in SERVICES.items() if service.get("restart") == "unless-stopped"]
VARIABLES = re.compile(r"\$\{(?P<name>\w+)(?P<rest>[^}]*)\}")


@pytest.mark.slow
def test_the_file_fits_the_compose_specification():
    checked = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", "docker-compose.yml"],
        cwd=TOP,
        capture_output=True,
        text=True,
        check=False,
    )

    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_no_password_has_a_default():
    passwords = [found for found in VARIABLES.finditer(TEXT) if "PASSWORD" in found["name"]]

    assert passwords
    assert all(found["rest"].startswith(":?") for found in passwords)


def test_every_variable_without_a_default_is_in_the_example():
    required = {found["name"] for found in VARIABLES.finditer(TEXT) if found["rest"].startswith(":?")}
    example = dict(
        line.split("=", 1) for line in (TOP / ".env.example").read_text().splitlines() if "=" in line and line[0] != "#"
    )

    assert set(example) == required
    assert not any(example.values())


def test_everything_but_the_migration_keeps_running_and_is_watched():
    assert sorted(LONG_RUNNING) == ["flower", "postgres", "worker"]
    assert set(SERVICES) - set(LONG_RUNNING) == {"migrate"}
    assert all("healthcheck" in SERVICES[name] for name in LONG_RUNNING)


def test_the_migration_runs_once_the_database_answers_and_before_the_rest():
    assert SERVICES["migrate"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    for name in ("worker", "flower"):
        assert SERVICES[name]["depends_on"] == {"migrate": {"condition": "service_completed_successfully"}}


def test_workers_can_be_scaled():
    assert "container_name" not in SERVICES["worker"]
    assert "ports" not in SERVICES["worker"]


def test_ports_are_open_to_this_machine_only():
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]

    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_the_data_are_in_a_named_volume():
    assert "data" in COMPOSE["volumes"]
    assert "data:/var/lib/postgresql" in SERVICES["postgres"]["volumes"]


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_files_that_a_service_mounts_or_builds_from_exist(name):
    mounted = [volume.split(":")[0] for volume in SERVICES[name].get("volumes", []) if volume.startswith("./")]
    built = ["Dockerfile", "docker/entrypoint.sh"] if "build" in SERVICES[name] else []

    assert all((TOP / path).is_file() for path in mounted + built)


def test_the_entrypoint_writes_a_private_password_file_and_runs_the_command(tmp_path):
    passfile = tmp_path / "pgpass"

    ran = subprocess.run(
        ["sh", TOP / "docker" / "entrypoint.sh", "sh", "-c", 'echo "ran ${PGQUEUE_PASSWORDS-without them}"'],
        env={"PATH": "/usr/bin:/bin", "PGPASSFILE": str(passfile), "PGQUEUE_PASSWORDS": "app:a:b\\c:\n\nworker: w \n"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert ran.stdout == "ran without them\n"
    assert passfile.read_text() == "*:*:*:app:a\\:b\\\\c\\:\n*:*:*:worker: w \n"
    assert passfile.stat().st_mode & 0o077 == 0
