-- Queries and switches for operators.

-- name: list_queues
select queue, ready, delayed, claimed, oldest_ready_at, paused, consumers, durability, group_commit, waiting
from pgqueue.queues
order by queue

-- name: list_workers
select worker, started_at, last_seen_at, status, items_processed, last_run_at, executors, running, wanted_executors, relays_to
from pgqueue.workers
order by worker

-- name: list_totals
select submitter::text, queue, workers_launched as launched, workers_completed as completed, workers_failed as failed,
       workers_canceled as canceled, workers_active as active, avg_execution_ms, max_workers
from pgqueue.stats_total
order by submitter, queue

-- name: list_jobs
select id, state::text, queue, priority, label, statement, submitter::text, launched_at, eta, started_at, ended_at,
       duration_ms, attempts, max_attempts, worker, backend_pid, progress_pct, progress_msg, rows,
       command_tag, sqlstate, error, error_detail, error_hint, error_context,
       retried_from, parents, snoozes, (handle).cookie as cookie
from pgqueue.jobs
where (%(states)s::text[] is null or state::text = any (%(states)s::text[]))
  and (%(queue)s::text is null or queue = %(queue)s::text)
  and (%(label)s::text is null or label like %(label)s::text)
order by id desc
limit %(limit)s

-- name: inspect_queue
select pgqueue._queue_exists(%(queue)s), pgqueue._queue_size(%(queue)s), pgqueue._queue_consumers(%(queue)s);

-- name: peek_queue
select id, kind, name, state, submitter, priority, launched_at, eta, deliveries
from pgqueue._peek(%(queue)s, %(limit)s)

-- name: knows_queue
select pgqueue._knows_queue(%(queue)s)

-- name: has_takers
select pgqueue._has_takers(%(queue)s)

-- name: is_paused
select exists (select from pgqueue.queues q where q.queue = %(queue)s and q.paused)

-- name: pause_queue
select pgqueue.pause(%(queue)s)

-- name: resume_queue
select pgqueue.resume(%(queue)s)

-- name: set_durability
select pgqueue.set_durability(%(queue)s, %(durability)s)

-- name: redrive_queue
select pgqueue.redrive(%(queue)s)

-- name: order_jobs
insert into pgqueue.job_order (act, id, queue, label, state, sqlstate, error, since, until, max_count, is_dry_run)
values (%(act)s, %(id)s::bigint, %(queue)s, %(label)s, %(state)s, %(sqlstate)s, %(error)s, %(since)s::timestamptz, %(until)s::timestamptz,
        %(max_count)s::int, %(is_dry_run)s::boolean)
returning count

-- name: rehearse_job_order
-- It makes the checks of discard_job and retry_job, and changes nothing. The cookie of a number: as in retry_job.
insert into pgqueue.job_order (act, id, cookie, is_dry_run)
values (%(act)s, %(id)s::bigint, coalesce(%(cookie)s::bigint, (select (j.handle).cookie from pgqueue.jobs j where j.id = %(id)s::bigint)), true)
returning count

-- name: discard_job
-- The cookie of a number: as in retry_job.
insert into pgqueue.job_order (act, id, cookie)
values ('discard', %(id)s::bigint, coalesce(%(cookie)s::bigint, (select (j.handle).cookie from pgqueue.jobs j where j.id = %(id)s::bigint)))
returning count

-- name: server_now
select clock_timestamp()

-- name: purge_whole_queue
select pgqueue.purge(%(queue)s)

-- name: queue_left
-- The second column is that of pgqueue.queues: whether the role sees the messages of all roles.
select coalesce(sum(ready + delayed + claimed + waiting), 0)::bigint,
       pg_has_role('pgqueue_monitor', 'member') or pg_has_role('pgqueue_worker', 'member') or pg_has_role('pgqueue_admin', 'member')
from pgqueue.queues
where queue = %(queue)s

-- name: jobs_left
-- After a purge, the remaining messages are jobs.
select ready + delayed + waiting
from pgqueue.queues
where queue = %(queue)s

-- name: why_queued
select case
           when j.state = 'waiting' then coalesce('the end of job ' || array_to_string(j.parents[1:5], ', ') || case when cardinality(j.parents) > 5 then ', ...' else '' end, 'upkeep')
           when j.sqlstate = '28000' then 'a login: ' || j.error
           when j.eta > clock_timestamp() and j.error is not null then 'its next attempt, at ' || date_trunc('second', j.eta) || ': ' || j.error
           when j.eta > clock_timestamp() then 'its time, ' || date_trunc('second', j.eta)
           when exists (select from pgqueue.queues q where q.queue = j.queue and q.paused) then 'the end of the pause of queue ' || j.queue
           when not pgqueue._has_takers(j.queue) then 'a worker: no live one takes from queue ' || j.queue
           when j.worker is not null then 'other jobs that worker ' || j.worker || ' runs first'
           else 'a free executor'
       end as waits_for
from pgqueue.jobs j
where j.id = %(id)s and j.state in ('queued', 'waiting')

-- name: configure
select pgqueue.configure(%(setting)s, %(value)s, %(queue)s)

-- name: list_configuration
select setting, queue, value, role, source
from pgqueue.configuration
order by queue nulls first, setting, role nulls first

-- name: get_configuration
-- No row: there is no such setting.
select coalesce(c.value, d.value, k.fallback) as value, coalesce(c.source, d.source, 'default') as source
from pgqueue._known_setting() k
left join lateral (
  select q.value, q.source from pgqueue.configuration q
  where q.setting = k.setting and q.queue = %(queue)s and (q.role is null or q.role = current_user) and q.source = 'queue'
  order by q.role nulls first limit 1) c on true
left join pgqueue.configuration d on d.setting = k.setting and d.queue is null and d.role is null
where k.setting = %(setting)s

-- name: set_limit
-- As pgqueue.set_limit; it returns what was computed.
insert into pgqueue.limiting (queue, max_running, per_key, rate, period, burst)
values (%(queue)s, %(max_running)s::int, %(per_key)s::int, %(rate)s::int, coalesce(%(period)s::interval, interval '1 min'), %(burst)s::int)
returning max_running, per_key, rate, period::text, burst, had_limits

-- name: list_limits
select queue, limit_key, running, waiting, max_running, per_key, rate, period::text, burst, role
from pgqueue.limits
where %(queue)s::text is null or queue = %(queue)s
order by queue, limit_key nulls first, role nulls first

-- name: scale_workers
select pgqueue.scale(worker => %(worker)s::text, executors => %(executors)s::int, queue => %(queue)s::text)

-- name: slow_jobs
select queue, submitter::text, label, fingerprint, statement, calls, mean_ms, p95_ms, max_ms, total_ms, last_run_at, failures
from pgqueue.slow_jobs(%(since)s::interval, %(queue)s::text)
order by p95_ms desc, total_ms desc
limit %(limit)s
