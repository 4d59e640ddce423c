"""What Prometheus would make of scrapes: the expressions of the alerts, evaluated.

Only what they use; all else is refused.
"""

from __future__ import annotations

import operator
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import promql_parser as promql
import yaml

from tests.harness.scrape import Scrape

RULES = Path(__file__).parents[2] / "deploy" / "prometheus" / "pgqueue.rules.yml"
#: The series that an expression gives, each by its labels.
Vector = dict[frozenset[tuple[str, str]], float]
#: Scrapes in the order of their times, in seconds.
History = Sequence[tuple[float, Scrape]]

#: Prometheus takes a series for gone after this long without a sample.
_LOOKBACK_SECONDS = 300.0
_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "==": operator.eq, "!=": operator.ne, ">": operator.gt, "<": operator.lt, ">=": operator.ge, "<=": operator.le,
}  # fmt: skip
_ARITHMETIC: dict[str, Callable[[float, float], float]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul,
    "/": lambda left, right: left / right if right else float("nan"),
}  # fmt: skip
_AGGREGATES: dict[str, Callable[[list[float]], float]] = {"max": max, "min": min, "sum": sum}


def alerts() -> list[dict[str, Any]]:
    """Return the rules of the alerts that the project gives."""
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def evaluate(expression: str, history: History, at: float) -> Vector:
    """Return what an expression gives at a time; an alert fires where it gives anything.

    `rate` divides the increase between the first and the last sample of its range by the time between them: Prometheus
    extrapolates to the ends of the range, which changes how much it is, never whether it is zero.

    Raises:
        NotImplementedError: the expression has a part that no alert of ours uses.
    """
    return _vector(promql.parse(expression), [(time, scrape) for time, scrape in history if time <= at], at)


def _vector(node: promql.Expr, history: History, at: float) -> Vector:
    if isinstance(node, promql.ParenExpr):
        return _vector(node.expr, history, at)
    if isinstance(node, promql.VectorSelector):
        recent = [scrape for time, scrape in history if time > at - _LOOKBACK_SECONDS]
        return _select(node, recent[-1]) if recent else {}
    if isinstance(node, promql.AggregateExpr):
        return _aggregate(node, _vector(node.expr, history, at))
    if isinstance(node, promql.Call) and node.func.name == "rate":
        return _rate(node.args[0], history, at)
    if isinstance(node, promql.Call) and node.func.name == "absent":
        return {} if _vector(node.args[0], history, at) else {frozenset(): 1.0}
    if isinstance(node, promql.BinaryExpr):
        return _binary(node, history, at)
    raise NotImplementedError(str(node))


def _select(selector: promql.VectorSelector, scrape: Scrape) -> Vector:
    return {
        labels: value
        for (name, labels), value in scrape.series.items()
        if name == selector.name and selects(selector, dict(labels))
    }


def selects(selector: promql.VectorSelector, labels: dict[str, str]) -> bool:
    """Return whether a series is one that a selector selects."""
    operations: dict[str, Callable[[str, str], bool]] = {
        "Equal": operator.eq,
        "NotEqual": operator.ne,
        "Re": lambda value, wanted: re.fullmatch(wanted, value) is not None,
        "NotRe": lambda value, wanted: re.fullmatch(wanted, value) is None,
    }
    return all(
        operations[str(matcher.op).rpartition(".")[2]](labels.get(matcher.name, ""), matcher.value)
        for matcher in selector.matchers.matchers
    )


def _rate(matrix: promql.MatrixSelector, history: History, at: float) -> Vector:
    begin = at - matrix.range.total_seconds()
    samples: defaultdict[frozenset[tuple[str, str]], list[tuple[float, float]]] = defaultdict(list)
    for time, scrape in history:
        if time > begin:
            for labels, value in _select(matrix.vector_selector, scrape).items():
                samples[labels].append((time, value))
    return {
        labels: sum(max(after - before, 0.0) for (_, before), (_, after) in pairwise(points))
        / (points[-1][0] - points[0][0])
        for labels, points in samples.items()
        if len(points) > 1
    }


def _aggregate(node: promql.AggregateExpr, of: Vector) -> Vector:
    if node.modifier is not None and node.modifier.type is not promql.AggModifierType.By:
        raise NotImplementedError(str(node))
    kept = set(node.modifier.labels) if node.modifier is not None else set()
    groups: defaultdict[frozenset[tuple[str, str]], list[float]] = defaultdict(list)
    for labels, value in of.items():
        groups[frozenset(pair for pair in labels if pair[0] in kept)].append(value)
    return {labels: _AGGREGATES[str(node.op)](values) for labels, values in groups.items()}


def _binary(node: promql.BinaryExpr, history: History, at: float) -> Vector:
    operation = str(node.op)
    left = _vector(node.lhs, history, at)
    if isinstance(node.rhs, promql.NumberLiteral):
        number = node.rhs.val
        if operation in _COMPARISONS:
            return {labels: value for labels, value in left.items() if _COMPARISONS[operation](value, number)}
        return {labels: _ARITHMETIC[operation](value, number) for labels, value in left.items()}
    right = _vector(node.rhs, history, at)
    on = None if node.modifier is None or node.modifier.matching is None else set(node.modifier.matching.labels)

    def key(labels: frozenset[tuple[str, str]]) -> frozenset[tuple[str, str]]:
        return frozenset(pair for pair in labels if on is None or pair[0] in on)

    others = {key(labels): value for labels, value in right.items()}
    if operation == "and":
        return {labels: value for labels, value in left.items() if key(labels) in others}
    if operation == "unless":
        return {labels: value for labels, value in left.items() if key(labels) not in others}
    if operation == "or":
        known = {key(labels) for labels in left}
        return {**left, **{labels: value for labels, value in right.items() if key(labels) not in known}}
    return {
        key(labels): _ARITHMETIC[operation](value, others[key(labels)])
        for labels, value in left.items()
        if key(labels) in others
    }
