"""A small shop: orders, mails and invoices, all queued in the transaction of the order."""
