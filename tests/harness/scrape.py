"""Metrics as a test reads them: a page that was fetched, and its series."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

# The environment may name a proxy, but this machine is not behind it.
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def fetch(port: int, path: str, *, method: str = "GET", timeout: float = 10.0) -> tuple[int, str]:
    """Return the status and the body of a page of 127.0.0.1."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", method=method)
    try:
        with _direct.open(request, timeout=timeout) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, refused.read().decode()


def probe(port: int, path: str) -> tuple[int, str]:
    """Return the status of a probe, and its reason; 0 while nobody answers."""
    try:
        status, body = fetch(port, path)
    except OSError as away:
        return 0, str(away)
    return status, json.loads(body)["reason"]


class Scrape:
    """The series of one page of metrics."""

    def __init__(self, text: str) -> None:
        self.families = list(text_string_to_metric_families(text))
        #: By name and labels.
        self.series: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
        for family in self.families:
            for sample in family.samples:
                key = (sample.name, frozenset(sample.labels.items()))
                assert key not in self.series, key
                self.series[key] = sample.value

    @classmethod
    def of(cls, port: int) -> Scrape:
        """Scrape a program of 127.0.0.1."""
        status, text = fetch(port, "/metrics")
        assert status == 200, text
        return cls(text)

    def __getitem__(self, name: str) -> float:
        """Return the value of a metric without labels."""
        return self.series[name, frozenset()]

    def value(self, name: str, **labels: str) -> float | None:
        """Return the value of a series, None if there is none."""
        return self.series.get((name, frozenset(labels.items())))

    def labels(self, name: str) -> set[str]:
        """Return the names of the labels of a metric."""
        return {label for (named, labels) in self.series if named == name for label, _ in labels}

    def label_values(self, label: str) -> set[str]:
        """Return all values of a label."""
        return {value for _, labels in self.series for name, value in labels if name == label}

    @property
    def names(self) -> set[str]:
        """The names of all series."""
        return {name for name, _ in self.series}


def exporter_arguments(dsn: str, port: int, *more: str) -> list[Any]:
    """Return the command of an exporter on a port of 127.0.0.1."""
    return ["-m", "pgqueue", "exporter", f"--listen=127.0.0.1:{port}", f"--dsn={dsn}", *more]
