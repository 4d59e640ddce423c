with declared as materialized (
  select pgqueue._declare_queue(%(queue)s, %(durable)s, %(exclusive)s, %(auto_delete)s, %(arguments)s::jsonb)
)
select pgqueue._queue_size(%(queue)s), pgqueue._queue_consumers(%(queue)s) from declared;
