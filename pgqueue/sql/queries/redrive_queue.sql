select pgqueue.redrive(%(queue)s)
