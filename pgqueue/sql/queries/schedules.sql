-- Schedules: planning by workers, and what the command line asks.

-- name: schedules_to_plan
select id, revision, cron, timezone, consumed_until, ends_at, is_all, seen_at from pgqueue._schedules_to_plan(%(max_count)s::int)

-- name: plan_schedules
select pgqueue._plan_schedules(%(plans)s::jsonb)

-- name: list_schedules
select name, schedule, timezone, next_at, last_at, last_job, last_state, enabled, error, owner
from pgqueue.schedules
order by owner, name

-- name: show_schedule
select s.name, s.schedule, s.timezone, s.next_at, s.last_at, s.last_job, s.last_state, s.enabled, s.error, s.owner, s.kind, s.runs, s.queue, s.priority, s.label,
       s.overlap, s.catch_up, s.jitter, s.starts_at, s.ends_at, s.cron, s.every, s.created_at, s.changed_at
from pgqueue.schedules s
where s.name = %(schedule_name)s and s.owner = coalesce(%(owner)s::text, current_user)

-- name: list_schedule_runs
select r.due_at, r.fired_at, r.late_by, r.outcome, r.missed, r.is_manual, r.job, r.task_id, r.state, r.error
from pgqueue.schedule_runs r
where r.name = %(schedule_name)s and r.owner = coalesce(%(owner)s::text, current_user)
order by r.id desc
limit %(limit)s

-- name: add_schedule
select pgqueue.schedule(%(schedule_name)s, %(schedule)s, %(sql)s, params => nullif(%(params)s::text[], '{}'), timezone => %(timezone)s, queue => coalesce(%(queue)s, 'default'),
                        priority => %(priority)s::int, timeout => %(timeout)s::interval, max_attempts => %(max_attempts)s::int, backoff => %(backoff)s::interval,
                        label => %(label)s, jitter => %(jitter)s::interval, starts_at => %(starts_at)s::timestamptz, ends_at => %(ends_at)s::timestamptz,
                        overlap => %(overlap)s, catch_up => %(catch_up)s)

-- name: add_own_schedule
-- As add_schedule, on a connection of the package's own: jobs inherit the settings that it had before the package changed them.
insert into pgqueue.schedule_order (act, name, expression, timezone, sql, params, settings, queue, priority, timeout, max_attempts, backoff, label,
                                    jitter, starts_at, ends_at, overlap, catch_up)
select 'put', %(schedule_name)s::text, %(schedule)s::text, %(timezone)s::text, coalesce(%(sql)s::text, ''), nullif(%(params)s::text[], '{}'),
       pgqueue._known_settings(%(backend_pid)s::int, %(settings)s::jsonb), coalesce(%(queue)s::text, 'default'), %(priority)s::int, %(timeout)s::interval,
       %(max_attempts)s::int, %(backoff)s::interval, %(label)s::text, %(jitter)s::interval, %(starts_at)s::timestamptz, %(ends_at)s::timestamptz,
       %(overlap)s::text, %(catch_up)s::text
returning id;

-- name: add_task_schedule
select pgqueue.schedule_task(%(schedule_name)s, %(schedule)s, %(task)s, %(args)s::jsonb, %(kwargs)s::jsonb, timezone => %(timezone)s, queue => coalesce(%(queue)s, 'celery'),
                             priority => %(priority)s::int, label => %(label)s, jitter => %(jitter)s::interval, starts_at => %(starts_at)s::timestamptz,
                             ends_at => %(ends_at)s::timestamptz, overlap => %(overlap)s, catch_up => %(catch_up)s,
                             headers => %(headers)s::jsonb, expires => %(expires)s::interval, ignore_result => %(ignore_result)s::boolean,
                             link => %(link)s, errback => %(errback)s)

-- name: alter_schedule
select pgqueue.alter_schedule(%(schedule_name)s, schedule => %(schedule)s, sql => %(sql)s, params => %(params)s::text[], args => %(args)s::jsonb, kwargs => %(kwargs)s::jsonb,
                              timezone => %(timezone)s, queue => %(queue)s, priority => %(priority)s::int, timeout => %(timeout)s::interval,
                              max_attempts => %(max_attempts)s::int, backoff => %(backoff)s::interval, label => %(label)s, jitter => %(jitter)s::interval,
                              starts_at => %(starts_at)s::timestamptz, ends_at => %(ends_at)s::timestamptz, overlap => %(overlap)s, catch_up => %(catch_up)s,
                              headers => %(headers)s::jsonb, expires => %(expires)s::interval, ignore_result => %(ignore_result)s::boolean,
                              link => %(link)s, errback => %(errback)s)

-- name: client_schedules
select name, schedule, timezone, next_at, last_at, last_job, last_state, enabled, error, owner, id, kind, runs, queue, priority, label, overlap, catch_up, jitter,
       starts_at, ends_at, cron, every, created_at, changed_at, source
from pgqueue.schedules
where name = %(schedule_name)s::text or %(schedule_name)s::text is null
order by owner, name

-- name: client_schedule_runs
select name, owner, due_at, fired_at, late_by, outcome, missed, is_manual, job, task_id, state, error
from pgqueue.schedule_runs
where name = %(schedule_name)s::text or %(schedule_name)s::text is null
order by id desc
limit %(limit)s

-- name: remove_schedule
select pgqueue.unschedule(%(schedule_name)s, quote_ident(%(owner)s)::regrole)

-- name: pause_schedule
select pgqueue.pause_schedule(%(schedule_name)s, quote_ident(%(owner)s)::regrole)

-- name: resume_schedule
select pgqueue.resume_schedule(%(schedule_name)s, quote_ident(%(owner)s)::regrole)

-- name: run_schedule
select pgqueue.run_schedule(%(schedule_name)s, quote_ident(%(owner)s)::regrole)

-- name: doctor_schedules
-- Those that are in error, and how many wait for a worker that can work out their next instants.
select array(select concat(s.owner, '.', s.name, ': ', s.error) from pgqueue.schedules s where s.error is not null order by 1),
       array(select concat(s.owner, '.', s.name) from pgqueue.schedules s
             where s.enabled and s.error is null and s.next_at is null and s.cron is not null and s.changed_at < clock_timestamp() - interval '1 min'
               and (s.ends_at is null or s.ends_at > clock_timestamp()) and s.last_at is null order by 1),
       (select count(*) from pgqueue.schedules)::int

-- name: import_schedules
select name, outcome, problem, hint from pgqueue._import_schedules(%(source)s, %(entries)s::jsonb, %(is_dry)s::boolean)

-- name: tick_schedules
select seconds_to_next_schedule, has_schedules_to_plan from pgqueue._tick_schedules();

-- name: copy_schedules
select pgqueue._copy_schedules(%(entries)s::jsonb, %(kept)s)

-- name: import_place
select pg_catalog.current_database(), pg_catalog.current_setting('port'), current_user::text

-- name: pg_cron_place
-- Which kind of relation cron.job is; NULL: there is none. In which zone pg_cron evaluates its jobs.
select (select c.relkind::text from pg_catalog.pg_class c where c.oid = pg_catalog.to_regclass('cron.job')), pg_catalog.current_setting('cron.timezone', true)

-- name: pg_cron_jobs
-- As JSON, since columns came with its versions.
select pg_catalog.to_jsonb(j) from cron.job j order by j.jobid
