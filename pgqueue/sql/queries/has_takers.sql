select exists (
    select
    from pgqueue.workers w
    where w.status <> 'lost' and w.executors > 0 and %(queue)s = any (w.queues)
)
