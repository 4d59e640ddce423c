insert into greeting (order_id, line) values (%(order_id)s, %(line)s)
