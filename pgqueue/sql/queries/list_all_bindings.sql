select distinct exchange, routing_key, queue
from pgqueue.own_binding
order by exchange, queue, routing_key
