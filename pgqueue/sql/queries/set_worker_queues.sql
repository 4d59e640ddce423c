select pgqueue._set_worker_queues(%(worker_id)s, %(queues)s::text[]);
