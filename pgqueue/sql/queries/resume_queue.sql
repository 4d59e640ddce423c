select pgqueue.resume(%(queue)s)
