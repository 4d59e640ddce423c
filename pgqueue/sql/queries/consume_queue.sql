select pgqueue._queue_channel(%(queue)s), pgqueue._set_worker_queues(%(worker_id)s, %(queues)s::text[]);
