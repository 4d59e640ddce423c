select unnest(pgqueue._release_waiting(%(ids)s, %(tokens)s))
