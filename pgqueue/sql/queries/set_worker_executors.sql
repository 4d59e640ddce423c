select pgqueue._set_worker_executors(%(worker_id)s, %(executors)s);
