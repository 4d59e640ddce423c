select pgqueue._set_loopback(%(host)s, %(port)s)
