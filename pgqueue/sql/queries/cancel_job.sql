select pgqueue.cancel(row(%(id)s::bigint, %(cookie)s::bigint)::pgqueue.handle, %(grace)s::interval)
