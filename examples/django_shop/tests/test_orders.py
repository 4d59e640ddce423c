"""Orders, in Django's TestCase: what they queue is seen and run inside the test's own transaction."""

from datetime import timedelta

import pytest
from django.core import mail
from django.db import transaction
from django.test import TestCase, TransactionTestCase

from pgqueue.django import client
from pgqueue.errors import NotTestable
from pgqueue.testing import (
    all_enqueued,
    assert_enqueued,
    assert_task_sent,
    clear,
    drain,
    inline,
    refute_enqueued,
    refute_task_sent,
)

CONFIRM = "shop.tasks.send_confirmation"
INVOICE = "pgqueue.django.run_task"


def make_product(sku="tea", price="4.50", stock=10):
    from shop.models import Product

    return Product.objects.create(sku=sku, price=price, stock=stock)


class PlacingTests(TestCase):
    def setUp(self):
        from shop.orders import place_order

        self.product = make_product()
        self.order = place_order("tea", 2, "ann@example.com")

    def test_an_order_takes_from_the_stock(self):
        self.product.refresh_from_db()
        self.assertEqual(self.product.stock, 8)

    def test_an_order_queues_a_mail(self):
        assert_task_sent(CONFIRM, [self.order.pk], queue="celery")

    def test_an_order_queues_an_invoice(self):
        assert_task_sent(INVOICE, queue="invoices")

    def test_an_order_queues_a_count_of_the_sales(self):
        from shop.orders import COUNT_SALES

        assert_enqueued(COUNT_SALES, params=[self.product.pk], queue="reports")

    def test_an_order_expires_later(self):
        job = assert_enqueued(label=f"order {self.order.pk}")
        self.assertEqual(job.state, "delayed")

    def test_the_failure_of_an_assertion_lists_what_is_queued(self):
        with pytest.raises(AssertionError, match="insert into shop_sales"):
            assert_enqueued(queue="no such queue")

    def test_nothing_is_sent_before_it_runs(self):
        self.assertEqual(mail.outbox, [])

    def test_what_is_queued_runs(self):
        outcomes = drain()
        self.assertEqual([str(each) for each in outcomes if not each.has_succeeded], [])
        self.assertEqual(len(outcomes), 3)

    def test_the_mail_names_the_product(self):
        drain(queues=["celery"])
        self.assertEqual(mail.outbox[0].subject, "Your order of 2 tea")

    def test_the_customer_gets_the_mail(self):
        drain(queues=["celery"])
        self.assertEqual(mail.outbox[0].to, ["ann@example.com"])

    def test_the_order_is_confirmed_by_the_mail(self):
        drain(queues=["celery"])
        self.order.refresh_from_db()
        self.assertIsNotNone(self.order.confirmed_at)

    def test_only_the_queues_that_are_named_are_drained(self):
        drain(queues=["reports"])
        assert_task_sent(CONFIRM)

    def test_the_invoice_has_the_sum(self):
        drain(queues=["invoices"])
        self.order.refresh_from_db()
        self.assertEqual(self.order.invoice, "2 x tea: 9.00")

    def test_the_sales_are_counted(self):
        from shop.models import Sales

        drain(queues=["reports"])
        self.assertEqual(Sales.objects.get(product=self.product).quantity, 2)

    def test_a_confirmed_order_does_not_expire(self):
        drain(until=timedelta(days=3))
        self.order.refresh_from_db()
        self.assertIsNone(self.order.canceled_at)

    def test_an_order_that_nobody_confirms_expires(self):
        drain(queues=["default"], until=timedelta(days=3))
        self.order.refresh_from_db()
        self.assertIsNotNone(self.order.canceled_at)

    def test_an_order_does_not_expire_after_a_day(self):
        drain(queues=["default"], until=timedelta(days=1))
        self.order.refresh_from_db()
        self.assertIsNone(self.order.canceled_at)

    def test_many_orders_count_the_sales_once(self):
        from shop.orders import place_order

        place_order("tea", 1, "bob@example.com")
        self.assertEqual(len(all_enqueued(queue="reports")), 1)

    def test_a_canceled_order_has_no_invoice(self):
        from shop.orders import cancel_order

        cancel_order(self.order)
        [outcome] = drain(queues=["invoices"])
        self.assertTrue(outcome.has_succeeded)
        self.order.refresh_from_db()
        self.assertEqual(self.order.invoice, "")

    def test_the_error_of_an_invoice_is_kept(self):
        from shop.orders import cancel_order

        from pgqueue.django.models import TaskRecord

        cancel_order(self.order)
        drain(queues=["invoices"])
        record = TaskRecord.objects.get()
        self.assertEqual(record.status, "FAILED")
        self.assertIn("is canceled", record.errors[0]["traceback"])

    def test_a_canceled_order_gives_the_goods_back(self):
        from shop.orders import cancel_order

        cancel_order(self.order)
        self.product.refresh_from_db()
        self.assertEqual(self.product.stock, 10)


class RefusedOrderTests(TestCase):
    def test_an_order_that_cannot_be_filled_queues_nothing(self):
        from shop.orders import OutOfStock, place_order

        make_product(stock=1)
        with self.assertRaises(OutOfStock):
            place_order("tea", 2, "ann@example.com")
        refute_enqueued()
        refute_task_sent()

    def test_no_test_sees_what_another_has_queued(self):
        self.assertEqual(all_enqueued(), [])


class PageTests(TestCase):
    def test_a_request_places_an_order(self):
        make_product()
        answer = self.client.post("/orders/", {"sku": "tea", "quantity": 1, "email": "a@example.com"})
        self.assertEqual(answer.status_code, 201)
        assert_task_sent(CONFIRM, [answer.json()["id"]])

    def test_a_request_for_too_many_is_refused(self):
        make_product(stock=0)
        answer = self.client.post("/orders/", {"sku": "tea", "quantity": 1, "email": "a@example.com"})
        self.assertEqual(answer.status_code, 409)
        refute_task_sent(CONFIRM)

    def test_inline_mode_confirms_at_once(self):
        make_product()
        with inline():
            answer = self.client.post("/orders/", {"sku": "tea", "quantity": 1, "email": "a@example.com"})
        self.assertTrue(self.client.get(f"/orders/{answer.json()['id']}/").json()["confirmed"])


class SavepointTests(TestCase):
    def test_a_savepoint_takes_its_tasks_with_it(self):
        from shop.tasks import send_confirmation

        with pytest.raises(RuntimeError), transaction.atomic():
            send_confirmation.delay(1)
            raise RuntimeError
        refute_task_sent(CONFIRM)

    def test_a_launched_job_is_refused(self):
        with inline(), pytest.raises(NotTestable, match="apart from"):
            client().launch("select 1")


class CommittedTests(TransactionTestCase):
    def tearDown(self):
        clear()

    def test_outside_of_transactions_all_is_committed(self):
        from shop.orders import place_order

        make_product()
        order = place_order("tea", 1, "ann@example.com")
        self.assertTrue(all(each.has_succeeded for each in drain()))
        order.refresh_from_db()
        self.assertIsNotNone(order.confirmed_at)

    def test_a_launched_job_runs(self):
        job = client().launch("select count(*) from shop_order")
        drain()
        self.assertEqual(job.result(timeout=10), [(0,)])
