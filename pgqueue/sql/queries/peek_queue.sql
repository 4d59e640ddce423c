select id, kind, name, state, submitter, priority, launched_at, eta, deliveries
from pgqueue._peek(%(queue)s, %(limit)s)
