-- after: jobs, schedule_changes, schedule_sending
-- The functions with which roles schedule, and the views that show what they have.

create or replace function pgqueue.schedule(name text, schedule text, sql text, params text[] default null, timezone text default 'UTC', queue text default 'default',
                                 priority int default 0, timeout interval default null, max_attempts int default null, backoff interval default null,
                                 label text default null, jitter interval default null, starts_at timestamptz default null,
                                 ends_at timestamptz default null, overlap text default null, catch_up text default 'last')
  returns bigint
  language plpgsql volatile
as $$
#variable_conflict use_variable
declare
  settings pg_catalog.jsonb;
  made pg_catalog.int8;
begin
  -- No SET clause here: it would hide the search_path that the jobs inherit.
  select s.settings into settings from pgqueue.own_settings s;
  insert into pgqueue.schedule_order (act, name, expression, timezone, sql, params, settings, queue, priority, timeout, max_attempts, backoff, label, jitter,
                                      starts_at, ends_at, overlap, catch_up)
  values ('put', name, schedule, timezone, coalesce(sql, ''), params, coalesce(settings, pgqueue._settings()), queue, priority, timeout, max_attempts, backoff, label, jitter,
          starts_at, ends_at, overlap, catch_up)
  returning schedule_order.id into made;
  return made;
end
$$;
comment on function pgqueue.schedule(text, text, text, text[], text, text, int, interval, int, interval, text, interval, timestamptz, timestamptz, text, text) is
  'Runs SQL by the clock, as pgqueue.enqueue runs it once. A schedule of that name is replaced. Returns its number';
grant execute on function pgqueue.schedule(text, text, text, text[], text, text, int, interval, int, interval, text, interval, timestamptz, timestamptz, text, text) to pgqueue_user;

create or replace function pgqueue.schedule_task(name text, schedule text, task text, args jsonb default '[]', kwargs jsonb default '{}', timezone text default 'UTC',
                                      queue text default 'celery', priority int default 0, label text default null, jitter interval default null,
                                      starts_at timestamptz default null, ends_at timestamptz default null, overlap text default null,
                                      catch_up text default 'last', headers jsonb default null, expires interval default null,
                                      ignore_result boolean default null, link text default null, errback text default null)
  returns bigint
  language plpgsql volatile
as $$
#variable_conflict use_variable
declare
  made pg_catalog.int8;
begin
  insert into pgqueue.schedule_order (act, name, expression, timezone, task, args, kwargs, queue, priority, label, jitter, starts_at, ends_at, overlap, catch_up, sending)
  values ('put', name, schedule, timezone, coalesce(task, ''), args, kwargs, queue, priority, label, jitter, starts_at, ends_at, overlap, catch_up,
          pgqueue._sending_of(headers, expires, ignore_result, link, errback))
  returning schedule_order.id into made;
  return made;
end
$$;
comment on function pgqueue.schedule_task(text, text, text, jsonb, jsonb, text, text, int, text, interval, timestamptz, timestamptz, text, text, jsonb, interval, boolean, text, text) is
  'Sends a Celery task by the clock, as pgqueue.send_task sends it once. A schedule of that name is replaced. Returns its number';
grant execute on function pgqueue.schedule_task(text, text, text, jsonb, jsonb, text, text, int, text, interval, timestamptz, timestamptz, text, text, jsonb, interval, boolean, text, text) to pgqueue_user;

create or replace function pgqueue.alter_schedule(name text, schedule text default null, sql text default null, params text[] default null, args jsonb default null,
                                       kwargs jsonb default null, timezone text default null, queue text default null, priority int default null,
                                       timeout interval default null, max_attempts int default null, backoff interval default null, label text default null,
                                       jitter interval default null, starts_at timestamptz default null, ends_at timestamptz default null,
                                       overlap text default null, catch_up text default null, headers jsonb default null, expires interval default null,
                                       ignore_result boolean default null, link text default null, errback text default null)
  returns void
  language plpgsql volatile
as $$
#variable_conflict use_variable
begin
  insert into pgqueue.schedule_order (act, name, expression, timezone, sql, params, args, kwargs, queue, priority, timeout, max_attempts, backoff, label, jitter,
                                      starts_at, ends_at, overlap, catch_up, sending)
  values ('alter', name, schedule, timezone, sql, params, args, kwargs, queue, priority, timeout, max_attempts, backoff, label, jitter, starts_at, ends_at, overlap, catch_up,
          pgqueue._sending_of(headers, expires, ignore_result, link, errback));
end
$$;
comment on function pgqueue.alter_schedule(text, text, text, text[], jsonb, jsonb, text, text, int, interval, int, interval, text, interval, timestamptz, timestamptz, text, text, jsonb, interval, boolean, text, text) is
  'Changes what is given of a schedule, and leaves the rest, its settings among it, as it is';
grant execute on function pgqueue.alter_schedule(text, text, text, text[], jsonb, jsonb, text, text, int, interval, int, interval, text, interval, timestamptz, timestamptz, text, text, jsonb, interval, boolean, text, text)
  to pgqueue_user;

create or replace function pgqueue.unschedule(name text, owner regrole default null)
  returns void
  language plpgsql volatile
as $$
#variable_conflict use_variable
begin
  insert into pgqueue.schedule_order (act, name, of_role) values ('remove', name, owner);
end
$$;
comment on function pgqueue.unschedule(text, regrole) is 'Removes a schedule; what it has enqueued stays. owner: for administrators, whose it is';
grant execute on function pgqueue.unschedule(text, regrole) to pgqueue_user, pgqueue_admin;

create or replace function pgqueue.pause_schedule(name text, owner regrole default null)
  returns boolean
  language plpgsql volatile
as $$
#variable_conflict use_variable
declare
  done pg_catalog.int8;
begin
  insert into pgqueue.schedule_order (act, name, of_role) values ('pause', name, owner) returning schedule_order.id into done;
  return done is not null;
end
$$;
comment on function pgqueue.pause_schedule(text, regrole) is 'Stops a schedule until pgqueue.resume_schedule. False: it was paused already. owner: for administrators, whose it is';
grant execute on function pgqueue.pause_schedule(text, regrole) to pgqueue_user, pgqueue_admin;

create or replace function pgqueue.resume_schedule(name text, owner regrole default null)
  returns boolean
  language plpgsql volatile
as $$
#variable_conflict use_variable
declare
  done pg_catalog.int8;
begin
  insert into pgqueue.schedule_order (act, name, of_role) values ('resume', name, owner) returning schedule_order.id into done;
  return done is not null;
end
$$;
comment on function pgqueue.resume_schedule(text, regrole) is 'Lets a paused schedule go on, with its next instant. False: it was not paused. owner: for administrators, whose it is';
grant execute on function pgqueue.resume_schedule(text, regrole) to pgqueue_user, pgqueue_admin;

create or replace function pgqueue.run_schedule(name text, owner regrole default null)
  returns bigint
  language plpgsql volatile
as $$
#variable_conflict use_variable
declare
  sent pg_catalog.int8;
begin
  insert into pgqueue.schedule_order (act, name, of_role) values ('run', name, owner) returning schedule_order.id into sent;
  return sent;
end
$$;
comment on function pgqueue.run_schedule(text, regrole) is
  'Enqueues what a schedule runs now, beside its instants. Returns the number of the job or message; NULL: overlap is skip and the last run has not ended. owner: for administrators, whose it is';
grant execute on function pgqueue.run_schedule(text, regrole) to pgqueue_user, pgqueue_admin;

create or replace view pgqueue.schedules with (security_barrier) as
  select s.name, s.expression as schedule, s.timezone, s.next_at, s.last_at, s.last_message_id as last_job,
         case when s.last_message_id is null then null
              when m.id is not null then case when exists (select from pgqueue.activity a where a.id = m.id and a.token = m.token) then 'running' else 'queued' end
              else coalesce((select h.state::text from pgqueue.history h where h.id = s.last_message_id limit 1),
                            (select lower(t.state) from pgqueue.task_result t where t.task_id = s.last_task_id order by t.stored_at desc limit 1)) end as last_state,
         s.enabled, s.error, pg_get_userbyid(s.owner) as owner, s.id, case when s.task is null then 'job' else 'task' end as kind,
         case when pg_has_role(s.owner, 'member') then coalesce(pgqueue._cut(s.sql, 120), s.task) end as runs,
         s.queue, s.priority::int as priority, s.label, s.overlap, s.catch_up, s.jitter, s.starts_at, s.ends_at, s.cron, s.every, s.created_at, s.changed_at, s.source
  from pgqueue.schedule s
  left join pgqueue.message m on m.id = s.last_message_id
  where pg_has_role(s.owner, 'member') or (select pg_has_role('pgqueue_monitor', 'member') or pg_has_role('pgqueue_admin', 'member'));
comment on view pgqueue.schedules is 'The schedules that the role may see: its own and those of roles it is a member of; all if it is a monitor or an administrator';
grant select on pgqueue.schedules to pgqueue_user, pgqueue_worker, pgqueue_monitor, pgqueue_admin;

create or replace view pgqueue.schedule_runs with (security_barrier) as
  select r.id, r.name, pg_get_userbyid(r.owner) as owner, r.due_at, r.fired_at, r.fired_at - r.due_at as late_by, r.outcome, r.missed, r.is_manual, r.message_id as job, r.task_id,
         case when r.message_id is null then null
              when m.id is not null then case when exists (select from pgqueue.activity a where a.id = m.id and a.token = m.token) then 'running' else 'queued' end
              else coalesce((select h.state::text from pgqueue.history h where h.id = r.message_id limit 1),
                            (select lower(t.state) from pgqueue.task_result t where t.task_id = r.task_id order by t.stored_at desc limit 1)) end as state,
         case when pg_has_role(r.owner, 'member') then r.error end as error
  from pgqueue.schedule_run r
  left join pgqueue.message m on m.id = r.message_id
  where pg_has_role(r.owner, 'member') or (select pg_has_role('pgqueue_monitor', 'member') or pg_has_role('pgqueue_admin', 'member'));
comment on view pgqueue.schedule_runs is
  'The outcome of each instant of the schedules that the role may see: enqueued, skipped (the run before had not ended), missed (no worker ran in time) or refused. Until retention';
grant select on pgqueue.schedule_runs to pgqueue_user, pgqueue_worker, pgqueue_monitor, pgqueue_admin;
