select pgqueue.statement(row(%(id)s::bigint, %(cookie)s::bigint)::pgqueue.handle)
