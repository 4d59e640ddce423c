"""Products, orders, and what is known of them."""

from django.db import models


class Product(models.Model):
    """What can be ordered."""

    sku = models.CharField(max_length=40, unique=True)
    price = models.DecimalField(max_digits=10, decimal_places=2)
    stock = models.PositiveIntegerField(default=0)


class Order(models.Model):
    """An order of one product."""

    product = models.ForeignKey(Product, on_delete=models.PROTECT)
    quantity = models.PositiveIntegerField()
    email = models.EmailField()
    placed_at = models.DateTimeField(auto_now_add=True)
    confirmed_at = models.DateTimeField(null=True)
    canceled_at = models.DateTimeField(null=True)
    invoice = models.TextField(blank=True)


class Sales(models.Model):
    """How many of a product were sold: computed by an SQL job."""

    product = models.OneToOneField(Product, on_delete=models.CASCADE, primary_key=True)
    quantity = models.PositiveIntegerField()
