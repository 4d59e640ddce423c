"""The blocking client and the one of asyncio have the same public names, parameters and promises."""

from __future__ import annotations

import inspect
import re
from typing import Any

import pytest

import pgqueue
import pgqueue.aio

#: In annotations: what the one of asyncio calls the same thing.
_ASYNC_NAMES = {
    "AsyncCallerConnection": "CallerConnection",
    "AsyncIterator": "Iterator",
    "AsyncJob": "Job",
    "AsyncClient": "Client",
}


def public_names(kind: type) -> set[str]:
    return {name for name in dir(kind) if not name.startswith("_")}


def plain(annotation: object) -> str:
    return re.sub("|".join(_ASYNC_NAMES), lambda found: _ASYNC_NAMES[found[0]], str(annotation))


def parameters(member: Any) -> list[tuple[str, object, object, str]]:
    listed = inspect.signature(member).parameters.values()
    return [(one.name, one.kind, one.default, plain(one.annotation)) for one in listed]


PAIRS = [(pgqueue.Client, pgqueue.aio.AsyncClient), (pgqueue.Job, pgqueue.aio.AsyncJob)]
METHODS = [
    pytest.param(getattr(blocking, name), getattr(other, name, None), id=f"{blocking.__name__}.{name}")
    for blocking, other in PAIRS
    for name in sorted(public_names(blocking))
]


@pytest.mark.parametrize(("blocking", "other"), PAIRS, ids=["client", "job"])
def test_both_have_the_same_public_names(blocking: type, other: type) -> None:
    assert public_names(blocking) == public_names(other)


@pytest.mark.parametrize(("blocking", "other"), METHODS)
def test_a_method_has_the_same_signature_and_is_awaited(blocking: Any, other: Any) -> None:
    if isinstance(blocking, property):
        assert isinstance(other, property)
        return
    assert parameters(blocking) == parameters(other)
    assert plain(inspect.signature(blocking).return_annotation) == plain(inspect.signature(other).return_annotation)
    assert inspect.iscoroutinefunction(other) or inspect.isasyncgenfunction(other)


@pytest.mark.parametrize(("blocking", "other"), METHODS)
def test_a_method_promises_the_same(blocking: Any, other: Any) -> None:
    # They accept other connections.
    said, also_said = (
        re.sub(r"Args:\n.*?(?=Raises|\Z)", "", inspect.getdoc(one) or "", flags=re.S) for one in (blocking, other)
    )

    assert also_said == said
