select pgqueue.pause(%(queue)s)
