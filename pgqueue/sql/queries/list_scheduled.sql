select queue, eta, priority, message::text from pgqueue._list_scheduled(%(queues)s, %(max_count)s)
