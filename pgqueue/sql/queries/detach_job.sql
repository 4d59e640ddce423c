select pgqueue.detach(row(%(id)s::bigint, %(cookie)s::bigint)::pgqueue.handle)
