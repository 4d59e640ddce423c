-- Queries of `pgqueue exporter`, and of the readiness of a worker. None of them reads a table of messages whole, unless it is small.

-- name: set_statement_timeout
select set_config('statement_timeout', %(timeout)s, true)

-- name: metrics_messages
select queue, kind, state, messages, is_exact, extract(epoch from clock_timestamp() - oldest_at)::float8
from pgqueue._messages()

-- name: metrics_jobs
select t.queue, t.succeeded, t.failed, t.canceled, t.expired, t.wait_seconds, t.run_seconds, t.wait_counts, t.run_counts, pgqueue._duration_bounds()
from pgqueue._job_totals() t

-- name: metrics_queues
select queue, paused, consumers from pgqueue._used_queues()

-- name: metrics_workers
select w.status, count(*), coalesce(sum(w.executors), 0)::bigint, coalesce(sum(cardinality(w.running)), 0)::bigint,
       coalesce(max(extract(epoch from clock_timestamp() - w.last_seen_at)), 0)::float8
from pgqueue.workers w
group by w.status

-- name: metrics_schedules
select active, paused, failing, overdue, seconds from pgqueue._schedule_lateness()

-- name: metrics_upkeep
select part, extract(epoch from clock_timestamp() - failing_since)::float8 from pgqueue._failing_upkeep()

-- name: metrics_snapshot
-- Autovacuum's own snapshots hold back nobody.
select coalesce(max(held.seconds), 0)::float8, coalesce(max(held.transactions), 0)::bigint,
       (select s.n_dead_tup from pg_stat_user_tables s where s.relid = to_regclass('pgqueue.message'))
from (
    select extract(epoch from clock_timestamp() - coalesce(a.xact_start, a.backend_start)) as seconds, age(a.backend_xmin) as transactions
    from pg_stat_activity a
    where a.backend_xmin is not null and a.pid <> pg_backend_pid() and a.backend_type is distinct from 'autovacuum worker'
    union all
    select extract(epoch from clock_timestamp() - p.prepared), age(p.transaction)
    from pg_prepared_xacts p
    union all
    select null, greatest(age(r.xmin), age(r.catalog_xmin))
    from pg_replication_slots r
    where r.xmin is not null or r.catalog_xmin is not null
) held

-- name: worker_is_present
select pgqueue._is_present(%(worker_id)s)
