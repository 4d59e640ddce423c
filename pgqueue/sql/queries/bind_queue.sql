select pgqueue._bind(%(queue)s, %(exchange)s, %(routing_key)s);
