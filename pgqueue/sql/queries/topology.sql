-- Exchanges, queues and bindings, as a kombu channel asks for them.

-- name: declare_exchange
select pgqueue._declare_exchange(%(exchange)s, %(type)s, %(durable)s, %(auto_delete)s, %(arguments)s::jsonb);

-- name: exchange_exists
select pgqueue._exchange_exists(%(exchange)s);

-- name: delete_exchange
select pgqueue._delete_exchange(%(exchange)s);

-- name: declare_queue
with declared as materialized (
  select pgqueue._declare_queue(%(queue)s, %(durable)s, %(exclusive)s, %(auto_delete)s, %(arguments)s::jsonb)
)
select pgqueue._queue_size(%(queue)s), pgqueue._queue_consumers(%(queue)s) from declared;

-- name: queue_exists
select pgqueue._queue_exists(%(queue)s);

-- name: queue_size
select pgqueue._queue_size(%(queue)s);

-- name: purge_queue
select pgqueue._purge(%(queue)s);

-- name: delete_queue
select pgqueue._delete_queue(%(queue)s, %(if_unused)s, %(if_empty)s);

-- name: bind_queue
select pgqueue._bind(%(queue)s, %(exchange)s, %(routing_key)s);

-- name: unbind_queue
select pgqueue._unbind(%(queue)s, %(exchange)s, %(routing_key)s);

-- name: list_bindings
select routing_key, pattern, queue
from pgqueue._bindings(%(exchange)s);

-- name: list_all_bindings
select distinct exchange, routing_key, queue
from pgqueue.own_binding
order by exchange, queue, routing_key
