"""Many small tests, each in a transaction of its own that is rolled back."""

from decimal import Decimal

import pytest

from pgqueue.testing import all_enqueued, drain


@pytest.fixture
def product(pgqueue_atomic):
    from shop.models import Product

    return Product.objects.create(sku="tea", price="4.50", stock=1000)


@pytest.mark.parametrize("quantity", range(1, 41))
def test_an_invoice_has_the_sum(product, quantity):
    from shop.orders import place_order

    order = place_order("tea", quantity, "ann@example.com")
    drain(queues=["invoices"])
    order.refresh_from_db()
    assert order.invoice == f"{quantity} x tea: {quantity * Decimal('4.50')}"


@pytest.mark.parametrize("quantity", range(1, 31))
def test_sales_are_the_sum_of_the_orders(product, quantity):
    from shop.models import Sales
    from shop.orders import place_order

    place_order("tea", quantity, "ann@example.com")
    place_order("tea", 1, "bob@example.com")
    drain(queues=["reports"])
    assert Sales.objects.get().quantity == quantity + 1
    assert all_enqueued(queue="reports") == []
