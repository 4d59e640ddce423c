select pgqueue._register_worker(%(name)s, %(executors)s);
