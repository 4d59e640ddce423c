select pgqueue.set_durability(%(queue)s, %(durability)s)
