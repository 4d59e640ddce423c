-- Queries of `pgqueue doctor`.

-- name: doctor_server
select current_setting('server_version'), current_setting('server_version_num')::int, current_user::text

-- name: doctor_clock
select extract(epoch from clock_timestamp())::float8

-- name: doctor_home
select pgqueue._is_at_home()

-- name: doctor_administers
select pg_has_role(current_user, n.nspowner, 'member') or pg_has_role(current_user, 'pgqueue_admin', 'member')
from pg_namespace n
where n.nspname = 'pgqueue'

-- name: doctor_sees_all
select pg_has_role(current_user, 'pg_read_all_stats', 'usage'),
       pg_has_role(current_user, 'pgqueue_monitor', 'member') or pg_has_role(current_user, 'pgqueue_admin', 'member')

-- name: doctor_connections
-- pg_stat_activity hides the kind of other roles' sessions from most roles.
select sum(numbackends)::int, current_setting('max_connections')::int
from pg_stat_database

-- name: doctor_executors
select f.problem, f.hint, array(select r from pgqueue._changed_runners() r)
from pgqueue._executor_fault() f

-- name: doctor_logins
select array(select r from pgqueue._roles_without_runner() r),
       (select n.nspowner::regrole::text from pg_catalog.pg_namespace n where n.nspname = 'pgqueue')

-- name: doctor_silent_workers
select worker, extract(epoch from clock_timestamp() - last_seen_at)::float8
from pgqueue.workers
where status = 'online' and last_seen_at < clock_timestamp() - interval '1 minute'
order by last_seen_at

-- name: doctor_jobs_without_workers
-- A relay without --jobs and a plain Celery worker consume a queue and run no SQL jobs of it.
select j.queue, count(*)
from pgqueue.jobs j
where j.state = 'queued' and j.worker is null and coalesce(j.eta, '-infinity') <= clock_timestamp()
  and j.queue not in (select q.queue from pgqueue.queues q where q.paused)
group by j.queue
having not pgqueue._has_takers(j.queue)
order by j.queue

-- name: doctor_tasks_without_workers
-- A worker with --no-tasks consumes a queue and leaves the tasks in it.
select q.queue, t.count
from pgqueue.queues q
cross join lateral (select count(*) from pgqueue.tasks t where t.queue = q.queue and t.state in ('PENDING', 'RETRY')) t (count)
where q.ready > 0 and not q.paused and not pgqueue._has_task_takers(q.queue) and t.count > 0
order by q.queue

-- name: doctor_waiting_roles
select submitter::text, count(*), min(error)
from pgqueue.jobs
where state = 'queued' and sqlstate = '28000'
group by submitter
order by submitter

-- name: doctor_stuck_jobs
select count(*), min(id), min(error)
from pgqueue.jobs
where state = 'queued' and error is not null and sqlstate is distinct from '28000'

-- name: doctor_overdue
select count(*), max(extract(epoch from clock_timestamp() - eta))::float8
from pgqueue.jobs
where state = 'queued' and eta < clock_timestamp() - interval '1 minute'

-- name: doctor_quotas
select role, over_quota, messages, max_messages, delayed, max_delayed, megabytes, max_megabytes, queues, max_queues, exchanges, max_exchanges, bindings, max_bindings
from pgqueue.quotas
order by role

-- name: doctor_upkeep
select part, failing_since, message
from pgqueue._failing_upkeep()

-- name: doctor_partitions
select parent, to_regclass('pgqueue.' || parent || to_char((now() at time zone 'UTC') + interval '1 day', '_YYYYMMDD')) is not null
from unnest(array['history', 'result']) parent

-- name: doctor_dead_rows
select n_live_tup, n_dead_tup, last_autovacuum
from pg_stat_user_tables
where relid = to_regclass('pgqueue.message')

-- name: doctor_oldest_snapshot
select holder, held_seconds, transactions
from (
    select case when usename is null then concat(coalesce(backend_type, 'process'), ' ', pid)
                else concat('session ', pid, ' of ', usename, ' (', coalesce(nullif(application_name, ''), 'unnamed'), ')') end as holder,
           extract(epoch from clock_timestamp() - coalesce(xact_start, backend_start))::float8 as held_seconds,
           age(backend_xmin) as transactions
    from pg_stat_activity
    where backend_xmin is not null and pid <> pg_backend_pid()
    union all
    select concat('prepared transaction ', gid, ' of ', owner),
           extract(epoch from clock_timestamp() - prepared)::float8,
           age(transaction)
    from pg_prepared_xacts
    union all
    select concat('replication slot ', slot_name), null, age(coalesce(xmin, catalog_xmin))
    from pg_replication_slots
    where xmin is not null or catalog_xmin is not null
) held
order by transactions desc
limit 1

-- name: faulty_settings
select fault from pgqueue._faulty_settings() f (fault)
