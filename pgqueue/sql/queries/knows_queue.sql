select pgqueue._knows_queue(%(queue)s)
