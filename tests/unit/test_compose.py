import re
import subprocess
import sys
from pathlib import Path

import pytest
import tomllib
import yaml
from packaging.requirements import Requirement

from pgqueue import __version__

TOP = Path(__file__).parents[2]
TEXT = (TOP / "docker-compose.yml").read_text()
COMPOSE = yaml.safe_load(TEXT)
SERVICES = COMPOSE["services"]
SECRETS = COMPOSE["secrets"]
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


def test_passwords_are_files_of_secrets_and_no_variable_holds_one():
    assert not [found for found in VARIABLES.finditer(TEXT) if "PASSWORD" in found["name"]]
    for name, service in SERVICES.items():
        environment = service.get("environment", {})
        assert all(key.endswith(("_FILE", "_FILES")) for key in environment if "PASSWORD" in key), name
        read = set(re.findall(r"/run/secrets/(\w+)", yaml.safe_dump(service)))
        assert read == set(service.get("secrets", [])), name
        assert read <= set(SECRETS), name


def test_every_secret_is_in_the_example_and_has_no_default():
    example = dict(
        line.split("=", 1) for line in (TOP / ".env.example").read_text().splitlines() if "=" in line and line[0] != "#"
    )

    assert set(example) == {secret["environment"] for secret in SECRETS.values()}
    assert not any(example.values())


def test_flower_has_a_login_of_its_own_and_no_password_of_a_submitter():
    flower, worker = SERVICES["flower"]["environment"], SERVICES["worker"]["environment"]

    assert "user=flower" in flower["PGQUEUE_DSN"]
    assert "app=" in worker["PGQUEUE_PASSWORD_FILES"]
    assert re.findall(r"(\w+)=", flower["PGQUEUE_PASSWORD_FILES"]) == ["flower"]


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_every_service_has_limits_and_a_pinned_image(name):
    service = SERVICES[name]

    assert {"mem_limit", "cpus", "pids_limit"} <= set(service)
    # A tag of three numbers, or that of this version.
    assert re.search(r":(\d+\.\d+(\.\d+)?-\w+|\$\{PGQUEUE_VERSION:-\d+\.\d+\.\d+\})$", service["image"])
    if "build" in service:
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]


def test_the_image_is_built_from_a_pinned_base_with_pinned_packages_for_a_user_without_rights():
    dockerfile = (TOP / "Dockerfile").read_text()

    bases = re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE)
    assert len(bases) == 2
    assert len({base.split(" ")[0] for base in bases}) == 1
    assert all(re.fullmatch(r"python:\d+\.\d+\.\d+-slim-\w+", base) for base in bases)
    assert "--constraint /constraints.txt" in dockerfile
    assert re.search(r"^USER 10001", dockerfile, re.MULTILINE)
    assert f"VERSION={__version__}" in dockerfile
    assert f"PGQUEUE_VERSION:-{__version__}" in TEXT


def test_the_constraints_pin_what_the_package_needs():
    pins = dict(
        line.split("==") for line in (TOP / "docker" / "constraints.txt").read_text().splitlines() if line[0] != "#"
    )
    project = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    needed = [Requirement(each) for each in (*project["dependencies"], *extras["worker"], *extras["flower"])]

    for each in needed:
        if each.name != "celery-pgqueue":
            assert each.specifier.contains(
                pins[each.name.replace("-", "_")] if each.name not in pins else pins[each.name]
            )


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


def run_entrypoint(tmp_path, **environment):
    return subprocess.run(
        ["sh", TOP / "docker" / "entrypoint.sh", "sh", "-c", 'echo "${FLOWER_BASIC_AUTH-none}"'],
        env={"PATH": "/usr/bin:/bin", "PGPASSFILE": str(tmp_path / "pgpass"), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_entrypoint_reads_passwords_from_files(tmp_path):
    (tmp_path / "worker").write_text("w:\\ x\n")
    (tmp_path / "app").write_text("a b")

    ran = run_entrypoint(
        tmp_path,
        PGQUEUE_PASSWORD_FILES=f"worker={tmp_path / 'worker'} app={tmp_path / 'app'}",
        FLOWER_PASSWORD_FILE=str(tmp_path / "app"),
        FLOWER_USER="boss",
    )

    assert (ran.returncode, ran.stdout) == (0, "boss:a b\n")
    assert (tmp_path / "pgpass").read_text() == "*:*:*:worker:w\\:\\\\ x\n*:*:*:app:a b\n"
    assert (tmp_path / "pgpass").stat().st_mode & 0o077 == 0


def test_the_entrypoint_starts_nothing_without_a_password_file_that_is_named(tmp_path):
    ran = run_entrypoint(tmp_path, PGQUEUE_PASSWORD_FILES="worker=/nowhere/worker")

    assert ran.returncode != 0
    assert ran.stdout == ""
    assert "/nowhere/worker" in ran.stderr


def test_the_entrypoint_without_passwords_only_runs_the_command(tmp_path):
    ran = run_entrypoint(tmp_path)

    assert (ran.returncode, ran.stdout) == (0, "none\n")
    assert not (tmp_path / "pgpass").exists()
