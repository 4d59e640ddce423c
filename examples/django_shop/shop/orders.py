"""Placing and canceling orders. Everything that follows an order is queued in its transaction."""

from datetime import timedelta

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from pgqueue.django import client

from .models import Order, Product
from .tasks import send_confirmation, write_invoice

COUNT_SALES = """
    insert into shop_sales (product_id, quantity)
    select o.product_id, sum(o.quantity) from shop_order o
    where o.product_id = $1 and o.canceled_at is null group by o.product_id
    on conflict (product_id) do update set quantity = excluded.quantity
"""
EXPIRE_ORDER = "update shop_order set canceled_at = now() where id = $1 and confirmed_at is null"
_EXPIRES_AFTER = timedelta(days=2)


class OutOfStock(Exception):
    """There are not as many as were ordered."""


@transaction.atomic
def place_order(sku: str, quantity: int, email: str) -> Order:
    """Place an order. If anything of it fails, nothing is queued."""
    order = Order.objects.create(product=Product.objects.get(sku=sku), quantity=quantity, email=email)
    send_confirmation.delay(order.pk)
    write_invoice.enqueue(order.pk)
    count_sales(order.product_id)
    client().enqueue(EXPIRE_ORDER, order.pk, delay=_EXPIRES_AFTER, label=f"order {order.pk}")
    # Last, so that an order that cannot be filled shows what a rollback takes back.
    taken = Product.objects.filter(pk=order.product_id, stock__gte=quantity)
    if not taken.update(stock=F("stock") - quantity):
        raise OutOfStock(sku)
    return order


@transaction.atomic
def cancel_order(order: Order) -> None:
    """Cancel an order, give the goods back, and count the sales anew."""
    Order.objects.filter(pk=order.pk).update(canceled_at=timezone.now())
    product = Product.objects.select_for_update().get(pk=order.product_id)
    product.stock += order.quantity
    product.save(update_fields=["stock"])
    count_sales(order.product_id)


def count_sales(product_id: int) -> None:
    """Let the database count what was sold of a product: once, however many orders ask for it meanwhile."""
    client().enqueue(COUNT_SALES, product_id, queue="reports", unique_key=f"sales {product_id}")
