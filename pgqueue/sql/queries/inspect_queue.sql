select pgqueue._queue_exists(%(queue)s), pgqueue._queue_size(%(queue)s), pgqueue._queue_consumers(%(queue)s);
