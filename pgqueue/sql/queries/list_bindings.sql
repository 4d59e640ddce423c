select routing_key, pattern, queue
from pgqueue._bindings(%(exchange)s);
