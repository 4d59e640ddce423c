select line from greeting where order_id = 42
