select pgqueue._queue_exists(%(queue)s);
