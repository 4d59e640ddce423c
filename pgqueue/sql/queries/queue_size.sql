select pgqueue._queue_size(%(queue)s);
