"""What the server really did for each statement inside a function, as auto_explain tells it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg

from tests.harness.database import Connection, Database

_SETTINGS = """
load 'auto_explain';
set auto_explain.log_min_duration = 0;
set auto_explain.log_analyze = on;
set auto_explain.log_buffers = on;
set auto_explain.log_timing = off;
set auto_explain.log_nested_statements = on;
set auto_explain.log_format = json;
set auto_explain.log_level = notice;
set client_min_messages = notice;
"""


@dataclass(frozen=True)
class Plan:
    """One statement that ran."""

    statement: str
    root: dict[str, Any]

    def nodes(self) -> Iterator[dict[str, Any]]:
        """All nodes."""
        return _nodes(self.root)

    @property
    def indexes(self) -> set[str]:
        """Names of the indexes that it used."""
        return {node["Index Name"] for node in self.nodes() if "Index Name" in node}

    @property
    def scanned(self) -> set[str]:
        """Names of the tables that it read from one end to the other."""
        return {node["Relation Name"] for node in self.nodes() if node["Node Type"] == "Seq Scan"}

    @property
    def buffers(self) -> int:
        """Pages that it touched."""
        return int(self.root["Shared Hit Blocks"] + self.root["Shared Read Blocks"])


class Explained:
    """A superuser's session that says how it did each statement."""

    def __init__(self, db: Database) -> None:
        self.session: Connection = db.connect(prepare_threshold=None)
        self.session.execute(_SETTINGS)
        self._plans: list[Plan] = []
        self.session.add_notice_handler(self._take)

    def run(self, statement: str, params: list[object] | None = None) -> tuple[list[tuple[Any, ...]], list[Plan]]:
        """Run a statement; return its rows and the plans of all that it did, the nested ones first."""
        self._plans = []
        # As a simple query: its own plan is told before it returns, and not with the next one.
        cursor = psycopg.ClientCursor(self.session)
        cursor.execute(statement, params)
        rows = cursor.fetchall() if cursor.description else []
        return rows, self._plans

    def _take(self, notice: Any) -> None:
        text = notice.message_primary or ""
        if "plan:" in text:
            told = json.loads(text.partition("plan:")[2])
            self._plans.append(Plan(" ".join(told["Query Text"].split()), told["Plan"]))


def plan_of(plans: list[Plan], beginning: str) -> Plan:
    """Return the plan of the statement that begins so; there has to be one."""
    found = [plan for plan in plans if plan.statement.startswith(beginning)]
    assert len(found) >= 1, [plan.statement[:80] for plan in plans]
    return max(found, key=lambda plan: plan.buffers)


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("Plans", []):
        yield from _nodes(child)
