select pgqueue._has_takers(%(queue)s)
