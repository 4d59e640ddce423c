select pgqueue.wait(row(%(id)s::bigint, %(cookie)s::bigint)::pgqueue.handle, %(timeout)s::interval)
