-- The queries of `pgqueue relay`.

-- name: list_relays
select queue, target, exchange, routing_key
from pgqueue.relays
order by queue

-- name: relay_queues
select pgqueue._relay_queues()

-- name: has_ready_job
select pgqueue._has_ready_job(%(queue)s)

-- name: set_worker_targets
select pgqueue._set_worker_targets(%(worker_id)s, %(targets)s::text[], %(has_jobs)s)

-- name: kept_jobs
select id, priority from pgqueue._kept_jobs(%(ids)s::bigint[], %(tokens)s::bigint[])

-- name: take_over_job
select id, token, message, lane from pgqueue._take_over_job(%(worker_id)s, %(job_id)s, %(claim)s)

-- name: run_ending
select pgqueue._run_ending(%(job_id)s)

-- name: take_in
-- A message without an id is always new. The sub-select keeps the order of the source.
with received as materialized (
  select r as id from pgqueue._note_receipts(%(source)s, %(ids)s::text[]) r
)
select coalesce(sum(pgqueue._publish(
  '', %(queue)s, m.message::json, m.priority, m.eta, clock_timestamp() + make_interval(secs => m.ttl_seconds), m.limit_key)), 0)
from (
  select l.*
  from (
    select *, row_number() over (partition by u.id order by u.place) as copy
    from unnest(%(ids)s::text[], %(messages)s::text[], %(priorities)s::int[], %(etas)s::timestamptz[], %(ttls)s::float8[], %(limit_keys)s::text[])
      with ordinality u (id, message, priority, eta, ttl_seconds, limit_key, place)
  ) l
  where l.id is null or l.copy = 1 and l.id in (select r.id from received r)
  order by l.place
) m
