select id, terminate_at, seconds_left from pgqueue._cancel_requests(%(ids)s, %(tokens)s)
