"""The service of examples/comparison on SQL jobs, tested as an application tests itself."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from types import ModuleType

import pytest

from examples.comparison.variants import HERE
from pgqueue.testing import QueueDatabase, TemporaryServer, assert_enqueued, drain, refute_enqueued
from pgqueue.testing.target import using
from tests.harness import TestServer


@pytest.fixture
def shop(server: TestServer) -> Iterator[QueueDatabase]:
    kit = TemporaryServer(server.conninfo("postgres"), "kit_app")
    try:
        with kit.database() as database, using(database):
            database.execute((HERE / "shop.sql").read_text())
            yield database
    finally:
        kit.close()


@pytest.fixture
def service(shop: QueueDatabase, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setenv("SHOP_DSN", shop.dsn)
    path = HERE / "with_pgqueue" / "service.py"
    spec = importlib.util.spec_from_file_location("comparison_service", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_an_order_gets_its_receipt(shop: QueueDatabase, service: ModuleType) -> None:
    service.place_order(7)

    assert_enqueued(service.SEND_RECEIPT, params=[7])
    assert [each.state for each in drain()] == ["succeeded"]
    assert shop.execute("select number, total = 9.99 from receipts") == [(7, True)]


def test_an_order_that_fails_has_no_job(shop: QueueDatabase, service: ModuleType) -> None:
    shop.execute("insert into orders (number) values (7)")

    with pytest.raises(Exception, match="orders_pkey"):
        service.place_order(7)

    refute_enqueued(service.SEND_RECEIPT)


def test_a_refused_charge_is_tried_three_times(shop: QueueDatabase, service: ModuleType) -> None:
    from datetime import timedelta

    service.charge_order(7)

    assert [each.state for each in drain(until=timedelta(minutes=1))][-1] == "failed"
    assert shop.execute("select last_value from charges") == [(3,)]


def test_orders_are_counted_by_the_clock(shop: QueueDatabase, service: ModuleType) -> None:
    shop.execute("insert into orders (number) values (1), (2)")

    service.install()
    with shop.client() as client:
        client.run_schedule("count orders")
    drain()

    assert shop.execute("select orders from order_counts") == [(2,)]
