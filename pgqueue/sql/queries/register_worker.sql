select pgqueue._register_worker(%(name)s, %(executors)s, %(predecessor)s, %(ids)s, %(tokens)s, %(begun)s);
