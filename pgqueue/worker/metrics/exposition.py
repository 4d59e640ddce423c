"""Prometheus' text from numbers that are read anew at each scrape."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from ...version import __version__
from .http_server import Answer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from prometheus_client import Metric
    from prometheus_client.registry import Collector


def page_of(registry: CollectorRegistry) -> Answer:
    """Return the metrics of a registry as a page."""
    return Answer(200, generate_latest(registry), CONTENT_TYPE_PLAIN_0_0_4)


def gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    """Return a gauge without labels."""
    return GaugeMetricFamily(name, text, value=value)


def counter(name: str, text: str, value: float) -> CounterMetricFamily:
    """Return a counter without labels; its name in the text ends in _total."""
    return CounterMetricFamily(name, text, value=value)


def build_info() -> GaugeMetricFamily:
    """Return the version of this program, as the label of a gauge that is 1."""
    family = GaugeMetricFamily("pgqueue_build_info", "The version of pgqueue that answers", labels=["version"])
    family.add_metric([__version__], 1)
    return family


class Collected:
    """A collector of prometheus_client: calls a function at each scrape."""

    def __init__(self, collect: Callable[[], Iterable[Metric]]) -> None:
        self._collect = collect

    def describe(self) -> Iterable[Metric]:
        """Return nothing, so that a registry does not collect when the collector is registered."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Yield the families of now."""
        yield from self._collect()


def registry_of(*collectors: Collector | Collected) -> CollectorRegistry:
    """Return a registry with these collectors only."""
    registry = CollectorRegistry(auto_describe=False)
    for collector in collectors:
        registry.register(collector)
    return registry
