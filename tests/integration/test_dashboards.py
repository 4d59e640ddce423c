"""The alerts and the dashboard in deploy/: they are loaded, and each expression is read as PromQL and finds its series in real scrapes."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from pgqueue.worker.metrics.exporter import Exporter
from pgqueue.worker.metrics.worker_metrics import WorkerMetrics, WorkerNumbers
from tests.harness.claimant import Claimant
from tests.harness.database import Database
from tests.harness.promql import RULES, alerts, evaluate, selects
from tests.harness.scrape import Scrape

DEPLOY = Path(__file__).parents[2] / "deploy"
DASHBOARD = DEPLOY / "grafana" / "pgqueue.json"
KEDA = Path(__file__).parents[2] / "docs" / "how-to" / "scale-with-keda.md"
GUIDE = KEDA.with_name("monitor.md")
#: What Grafana replaces before it asks Prometheus.
VARIABLES = {"$queue": ".*", "$__rate_interval": "5m"}
#: Prometheus adds these to what it scrapes.
ADDED = {"instance", "job"}


def targets() -> list[tuple[str, str]]:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return [(panel["title"], target["expr"]) for panel in panels for target in panel["targets"]]


def expressions() -> Iterator[tuple[str, str]]:
    for rule in alerts():
        yield rule["alert"], rule["expr"]
    for title, expression in targets():
        replaced = expression
        for variable, value in VARIABLES.items():
            replaced = replaced.replace(variable, value)
        assert "$" not in replaced
        yield title, replaced


@pytest.fixture(scope="module")
def scraped(servers, request) -> Iterator[list[Scrape]]:
    """A scrape of the exporter and one of a worker, after some work."""
    db = Database(servers.get(request.config.getoption("--pg-bin")))
    try:
        alice = db.connect(db.create_role("alice"))
        worker = Claimant(db)
        for statement in ("select 1", "select 1 / 0", "select 2"):
            alice.execute("select pgqueue.enqueue(%s)", [statement])
        worker.run_all()
        worker.tick()
        alice.execute("select pgqueue.enqueue('select 1')")
        alice.execute("select pgqueue.send_task('shop.place', queue => 'mail.dead')")
        numbers = WorkerNumbers(True, True, 0.0, 3, 1, 0, 0, 4, 1, 0)
        yield [
            Scrape(Exporter(db.dsn).metrics().body.decode()),
            Scrape(WorkerMetrics(lambda: numbers).page().body.decode()),
        ]
    finally:
        db.close()


def selectors(node: Any) -> Iterator[promql_parser.VectorSelector]:
    """Yield each selector of an expression."""
    if isinstance(node, promql_parser.VectorSelector):
        yield node
    elif isinstance(node, promql_parser.MatrixSelector):
        yield from selectors(node.vector_selector if hasattr(node, "vector_selector") else node.vs)
    else:
        for part in ("expr", "lhs", "rhs", "param"):
            if (child := getattr(node, part, None)) is not None:
                yield from selectors(child)
        for child in getattr(node, "args", None) or ():
            yield from selectors(child)


def groupings(node: Any) -> set[str]:
    """Return the labels that an expression names in by (...), on (...) and the like."""
    return {
        label for names in re.findall(r"\b(?:by|on)\s*\(([^)]*)\)", str(node)) for label in re.findall(r"\w+", names)
    }


@pytest.mark.parametrize(("title", "expression"), list(expressions()))
def test_each_expression_finds_its_series(scraped, title, expression):
    parsed = promql_parser.parse(expression)
    found = list(selectors(parsed))
    assert found

    known = set(ADDED)
    for selector in found:
        scrape = next((scrape for scrape in scraped if selector.name in scrape.names), None)
        assert scrape is not None, f"{selector.name} is in no scrape"
        known |= scrape.labels(selector.name)
        for matcher in selector.matchers.matchers:
            assert matcher.name in scrape.labels(selector.name), (selector.name, matcher.name)
        assert any(selects(selector, dict(labels)) for name, labels in scrape.series if name == selector.name), selector
    assert groupings(parsed) <= known


def fires(history: list[tuple[float, Scrape]], at: float) -> set[str]:
    return {rule["alert"] for rule in alerts() if evaluate(rule["expr"], history, at)}


def test_of_what_is_healthy_no_alert_fires(db):
    worker = Claimant(db)
    carol = db.connect(db.create_role("carol"))
    history = [(0.0, Scrape(Exporter(db.dsn).metrics().body.decode()))]
    carol.execute("select pgqueue.enqueue('select 1')")
    worker.run_all()
    worker.tick()
    history.append((60.0, Scrape(Exporter(db.dsn).metrics().body.decode())))

    assert fires(history, 60.0) == set()


def test_alerts_fire_for_what_they_name_and_fall_silent_when_it_is_mended(db):
    carol = db.connect(db.create_role("carol"))
    carol.execute("select pgqueue.enqueue('select 1 / 0')")
    history = [(0.0, Scrape(Exporter(db.dsn).metrics().body.decode()))]
    assert fires(history, 0.0) == {"PgqueueNoWorker", "PgqueueQueueWithoutWorker"}

    carol.execute("select pgqueue.send_task('shop.place', queue => 'mail.dead')")
    db.execute("update pgqueue.message set launched_at = now() - interval '10 min' where queue = 'default'")
    history.append((60.0, Scrape(Exporter(db.dsn).metrics().body.decode())))
    assert fires(history, 60.0) == {
        *("PgqueueNoWorker", "PgqueueQueueWithoutWorker", "PgqueueMessagesWait", "PgqueueDeadLetters"),
    }

    worker = Claimant(db)
    worker.run_all()
    worker.tick()
    db.execute("delete from pgqueue.message where queue = 'mail.dead'")
    history.append((120.0, Scrape(Exporter(db.dsn).metrics().body.decode())))
    assert fires(history, 120.0) == {"PgqueueJobsFail"}

    history.append((1200.0, Scrape(Exporter(db.dsn).metrics().body.decode())))
    assert fires(history, 1200.0) == set()


def test_alerts_say_what_is_wrong_and_what_to_do():
    names = [rule["alert"] for rule in alerts()]

    assert len(names) == len(set(names)) >= 10
    for rule in alerts():
        assert set(rule) == {"alert", "expr", "for", "labels", "annotations"}
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert set(rule["annotations"]) == {"summary", "description"}
        # A template may only name labels that the expression leaves.
        for label in re.findall(r"\$labels\.(\w+)", str(rule["annotations"])):
            assert re.search(rf"by \({label}\)", rule["expr"]), (rule["alert"], label)


def test_the_guide_has_a_row_for_each_alert():
    rows = re.findall(r"^\| `(Pgqueue\w+)` \|", GUIDE.read_text(), re.MULTILINE)

    assert sorted(rows) == sorted(rule["alert"] for rule in alerts())


def test_the_dashboard_is_whole():
    dashboard = json.loads(DASHBOARD.read_text())
    panels = dashboard["panels"]

    assert len({panel["id"] for panel in panels}) == len(panels)
    variables = {variable["name"] for variable in dashboard["templating"]["list"]}
    assert variables == {"datasource", "queue"}
    for panel in panels:
        assert panel["datasource"]["uid"] == "${datasource}"
        place = panel["gridPos"]
        assert 0 <= place["x"] <= 24 - place["w"]


def places(panel: dict[str, Any]) -> set[tuple[int, int]]:
    at = panel["gridPos"]
    return {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}


def test_no_panel_covers_another():
    taken: set[tuple[int, int]] = set()
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        assert not taken & places(panel), panel["title"]
        taken |= places(panel)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not on the PATH")
def test_promtool_accepts_the_alerts():
    subprocess.run(["promtool", "check", "rules", str(RULES)], check=True)


def test_the_manifest_for_keda_asks_for_a_backlog_that_is_a_number(db):
    [manifest] = re.findall(r"```yaml\n(.*?)```", KEDA.read_text(), re.DOTALL)
    documents = {each["kind"]: each for each in yaml.safe_load_all(manifest)}
    assert set(documents) == {"ScaledObject", "TriggerAuthentication"}

    scaled = documents["ScaledObject"]
    [trigger] = scaled["spec"]["triggers"]
    metadata = trigger["metadata"]

    assert scaled["apiVersion"] == documents["TriggerAuthentication"]["apiVersion"] == "keda.sh/v1alpha1"
    assert trigger["type"] == "postgresql"
    assert trigger["authenticationRef"]["name"] == documents["TriggerAuthentication"]["metadata"]["name"]
    # KEDA reads all of these as text.
    assert all(isinstance(value, str) for value in metadata.values())
    assert float(metadata["targetQueryValue"]) > 0
    assert db.fetch_value(metadata["query"]) == 0
