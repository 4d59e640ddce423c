select exists (select from pgqueue.queues q where q.queue = %(queue)s and q.paused)
