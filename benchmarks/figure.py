"""One measured figure: what pgqueue did, what the reference did in the same run, and what we want."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Figure:
    """A line of the table.

    Args:
        ours, reference: in `unit`; the reference is None where nothing is compared.
        ratio: what `target` speaks of; None when the target is about `ours` itself.
        target: in words, with the sign that decides: `>= 1.0`, `<= 25`.
        runs: what each repetition gave, for --json.
    """

    what: str
    ours: float
    unit: str
    target: str = ""
    reference: float | None = None
    reference_name: str = ""
    ratio: float | None = None
    runs: dict[str, Any] = field(default_factory=dict)

    @property
    def is_reached(self) -> bool | None:
        """Whether the target is kept; None when there is none."""
        if not self.target:
            return None
        sign, _, bound = self.target.partition(" ")
        value = self.ours if self.ratio is None else self.ratio
        return value >= float(bound) if sign == ">=" else value <= float(bound)

    def as_dict(self) -> dict[str, Any]:
        """Return it for --json."""
        return asdict(self) | {"is_reached": self.is_reached}


def median(values: Sequence[float]) -> float:
    """Return the median."""
    return statistics.median(values)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which that share lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def compare(
    what: str, unit: str, ours: Sequence[float], reference: Sequence[float], reference_name: str, target: str = ""
) -> Figure:
    """Compare the medians of repetitions that were measured in turn."""
    mine, other = median(ours), median(reference)
    return Figure(
        what,
        mine,
        unit,
        target,
        other,
        reference_name,
        mine / other,
        {"ours": list(ours), "reference": list(reference)},
    )
