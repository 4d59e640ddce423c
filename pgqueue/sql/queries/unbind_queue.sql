select pgqueue._unbind(%(queue)s, %(exchange)s, %(routing_key)s);
