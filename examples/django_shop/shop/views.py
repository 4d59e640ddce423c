"""The pages of the shop, as JSON."""

from django.http import HttpRequest, JsonResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST

from .models import Order
from .orders import OutOfStock, place_order


@csrf_exempt
@require_POST
def place(request: HttpRequest) -> JsonResponse:
    """Place an order."""
    try:
        order = place_order(request.POST["sku"], int(request.POST["quantity"]), request.POST["email"])
    except OutOfStock as refusal:
        return JsonResponse({"error": f"out of stock: {refusal}"}, status=409)
    return JsonResponse({"id": order.pk}, status=201)


@require_GET
def show(request: HttpRequest, order_id: int) -> JsonResponse:
    """Show an order."""
    order = get_object_or_404(Order, pk=order_id)
    return JsonResponse({"confirmed": order.confirmed_at is not None, "invoice": order.invoice})
