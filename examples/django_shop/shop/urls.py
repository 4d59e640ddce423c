"""The pages of the shop."""

from django.contrib import admin
from django.urls import path

from . import views

urlpatterns = [
    path("admin/", admin.site.urls),
    path("orders/", views.place, name="place"),
    path("orders/<int:order_id>/", views.show, name="show"),
]
