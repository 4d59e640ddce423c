select pgqueue._unregister_worker(%(worker_id)s, %(begun)s::bigint[]);
