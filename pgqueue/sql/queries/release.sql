select pgqueue._release(%(ids)s::bigint[], %(tokens)s::bigint[], %(undelivered)s);
