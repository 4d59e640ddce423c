select id, cookie from pgqueue._handle(%(id)s::bigint)
