-- Publishing messages and sending tasks.

-- name: publish
select pgqueue._publish(
  %(exchange)s, %(routing_key)s, %(message)s::json, %(priority)s::int, %(eta)s::timestamptz,
  clock_timestamp() + make_interval(secs => %(ttl_seconds)s::float8), %(limit_key)s);

-- name: publish_keyed
select k.reached, k.task_id
from pgqueue._publish_keyed(
  %(exchange)s, %(routing_key)s, %(message)s::json, %(priority)s::int, %(eta)s::timestamptz,
  clock_timestamp() + make_interval(secs => %(ttl_seconds)s::float8), %(limit_key)s,
  %(unique_key)s, make_interval(secs => %(unique_for)s::float8), %(on_conflict)s, %(dependence)s::jsonb) k;

-- name: publish_many
select coalesce(sum(pgqueue._publish(
  m.exchange, m.routing_key, m.message::json, m.priority, m.eta, clock_timestamp() + make_interval(secs => m.ttl_seconds), m.limit_key)), 0)
from (
  select *
  from unnest(%(exchange)s::text[], %(routing_key)s::text[], %(message)s::text[], %(priority)s::int[], %(eta)s::timestamptz[],
              %(ttl_seconds)s::float8[], %(limit_key)s::text[])
    with ordinality l (exchange, routing_key, message, priority, eta, ttl_seconds, limit_key, place)
  order by l.place
) m;

-- name: publish_transient
-- A crash of the server may lose the message, so its commit need not wait for the disk.
with hurried as materialized (select set_config('synchronous_commit', 'off', true))
select pgqueue._publish(
  %(exchange)s, %(routing_key)s, %(message)s::json, %(priority)s::int, %(eta)s::timestamptz,
  clock_timestamp() + make_interval(secs => %(ttl_seconds)s::float8), %(limit_key)s)
from hurried;

-- name: send_task
select pgqueue.send_task(
    task => %(task)s,
    args => %(args)s::jsonb,
    kwargs => %(kwargs)s::jsonb,
    queue => %(queue)s,
    priority => %(priority)s::int,
    delay => %(delay)s::interval,
    eta => %(eta)s::timestamptz,
    expires => %(expires)s::timestamptz,
    task_id => %(task_id)s,
    headers => %(headers)s::jsonb,
    ignore_result => %(ignore_result)s::boolean,
    link => %(link)s,
    errback => %(errback)s,
    limit_key => %(limit_key)s,
    unique_key => %(unique_key)s,
    unique_for => %(unique_for)s::interval,
    on_conflict => %(on_conflict)s,
    after => (select array_agg((h.id, h.cookie)::pgqueue.handle) from jsonb_to_recordset(%(after)s::jsonb) h (id bigint, cookie bigint)),
    on_parent_failure => %(on_parent_failure)s,
    batch => %(batch)s::bigint
)

-- name: list_scheduled
select queue, eta, priority, message::text as document from pgqueue._list_scheduled(%(queues)s, %(max_count)s)

-- name: set_traceparent
-- For what the rest of the transaction submits, by triggers too.
select pg_catalog.set_config('pgqueue.traceparent', %(traceparent)s, true)
