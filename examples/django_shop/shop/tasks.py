"""What happens after an order: one task of Celery, one of Django."""

from celery import shared_task
from django.core.mail import send_mail
from django.utils import timezone

from .models import Order

try:
    from django.tasks import task
except ImportError:  # before Django 6.0
    from django_tasks import task


@shared_task(autoretry_for=(ConnectionError,), max_retries=3, default_retry_delay=60)
def send_confirmation(order_id: int) -> str:
    """Mail the customer that the order was placed."""
    order = Order.objects.select_related("product").get(pk=order_id)
    subject = f"Your order of {order.quantity} {order.product.sku}"
    send_mail(subject, "Thank you.", "shop@example.com", [order.email])
    Order.objects.filter(pk=order_id).update(confirmed_at=timezone.now())
    return subject


@task(queue_name="invoices")
def write_invoice(order_id: int) -> str:
    """Write the invoice of an order, and return it."""
    order = Order.objects.select_related("product").get(pk=order_id)
    if order.canceled_at is not None:
        raise ValueError(f"order {order_id} is canceled")
    order.invoice = f"{order.quantity} x {order.product.sku}: {order.quantity * order.product.price}"
    order.save(update_fields=["invoice"])
    return order.invoice
