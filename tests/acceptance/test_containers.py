"""What docker-compose.yml does, without containers: the same scripts, logins and commands on an embedded server."""

import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from tests.harness import Database

pytestmark = pytest.mark.slow

DOCKER = Path(__file__).parents[2] / "docker"
PASSWORDS = {"WORKER_PASSWORD": "w':\\ x", "FLOWER_LOGIN_PASSWORD": "f", "APP_PASSWORD": 'a"$:1'}


@pytest.fixture
def deployed(own_server, tmp_path, monkeypatch):
    """A database as the services postgres and migrate leave it, and the worker's password file."""
    hba = own_server.embedded.data_dir / "pg_hba.conf"
    hba.write_text("local all postgres trust\nlocal all all scram-sha-256\n")
    database = Database(own_server, installed=False)
    database.execute("select pg_reload_conf()")
    secrets = {}
    for name, password in PASSWORDS.items():
        secrets[f"{name}_FILE"] = str(tmp_path / name)
        (tmp_path / name).write_text(f"{password}\n")
    run_script("create_roles.sh", database, POSTGRES_USER="postgres", POSTGRES_DB=database.name, **secrets)
    for arguments in (["install"], ["enroll", "app"], ["enroll", "flower"]):
        subprocess.run([sys.executable, "-m", "pgqueue", *arguments, "--dsn", database.dsn], check=True)
    monkeypatch.setenv("PGPASSFILE", str(tmp_path / "pgpass"))
    files = f"worker={secrets['WORKER_PASSWORD_FILE']} app={secrets['APP_PASSWORD_FILE']}"
    run_script("entrypoint.sh", database, "true", PGQUEUE_PASSWORD_FILES=files)
    yield database
    database.close()


def run_script(name, database, *arguments, **environment):
    path = f"{database.server.embedded.bin_dir}:{os.environ['PATH']}"
    address = {"PGHOST": str(database.server.embedded.data_dir)}
    subprocess.run(
        ["sh", DOCKER / name, *arguments], env={**os.environ, **address, **environment, "PATH": path}, check=True
    )


def test_the_worker_of_the_composition_runs_the_applications_jobs(deployed, start_worker):
    start_worker(deployed, role="worker")

    with psycopg.connect(deployed.dsn_for("app"), autocommit=True) as app:
        ran_as = app.execute(
            "select * from pgqueue.result(pgqueue.launch('select session_user::text')) as (who text)"
        ).fetchone()

    assert ran_as == ("app",)


def test_flower_logs_in_as_itself_and_as_no_submitter(deployed, tmp_path):
    run_script("entrypoint.sh", deployed, "true", PGQUEUE_PASSWORD_FILES=f"flower={tmp_path / 'FLOWER_LOGIN_PASSWORD'}")

    with psycopg.connect(deployed.dsn_for("flower")) as flower:
        assert flower.execute("select current_user").fetchone() == ("flower",)
    with pytest.raises(psycopg.OperationalError, match="no password supplied"):
        psycopg.connect(deployed.dsn_for("app"))


def test_nobody_gets_in_without_a_password(deployed, monkeypatch):
    monkeypatch.setenv("PGPASSFILE", "/nowhere")

    with pytest.raises(psycopg.OperationalError, match="no password supplied"):
        psycopg.connect(deployed.dsn_for("app"))
