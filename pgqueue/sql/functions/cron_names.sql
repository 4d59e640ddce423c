-- after: schedules
-- The names of pg_cron call these functions. They stand in the schema cron (cron_install.sql) and are as thin as can be. All run as the caller, and
-- do what pgqueue.schedule and its like do. No SET clause where the settings of the session are captured: it would hide the search_path.

create or replace function pgqueue._check_cron_schedule(schedule text)
  returns void
  language plpgsql immutable
  set search_path = pg_catalog, pg_temp
as $$
declare
  seconds text := (regexp_match(schedule, '^[[:space:]]*([0-9]+)[[:space:]]*seconds?[[:space:]]*$', 'i'))[1];
  reason text;
  advice text;
begin
  if lower(trim(schedule)) in ('@reboot', '@restart') then
    raise exception 'schedule "%" has no instant', schedule using errcode = '0A000', hint = 'Call pgqueue.enqueue where the server or the application starts.';
  elsif seconds is not null then
    if seconds::numeric not between 1 and 59 then
      reason := 'The interval is not 1 to 59 seconds.';
      advice := 'Use five fields for longer ones, or pgqueue.schedule, which takes intervals of up to 366 days.';
    end if;
  else
    begin
      perform pgqueue._cron_of(schedule);
    exception when invalid_parameter_value then
      get stacked diagnostics reason = message_text, advice = pg_exception_hint;
      reason := upper(left(reason, 1)) || substr(reason, 2) || '.';
    end;
  end if;
  if reason is not null then
    raise exception 'invalid schedule: %', schedule using errcode = '22023', detail = reason, hint = advice;
  end if;
end
$$;
comment on function pgqueue._check_cron_schedule(text) is 'Refuses what is no schedule of pg_cron, as pg_cron does, and says why';
grant execute on function pgqueue._check_cron_schedule(text) to pgqueue_user;

create or replace function pgqueue._check_cron_database(database text)
  returns void
  language plpgsql stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  if database is null or database = current_database() then
    return;
  elsif not exists (select from pg_database d where d.datname = database) then
    raise exception 'database "%" does not exist', database using errcode = '3D000';
  end if;
  raise exception 'jobs of database "%" cannot be scheduled in "%"', database, current_database()
    using errcode = '0A000', hint = 'Install pgqueue in that database, and schedule them there.';
end
$$;
comment on function pgqueue._check_cron_database(text) is 'Refuses another database than this one';
grant execute on function pgqueue._check_cron_database(text) to pgqueue_user;

create or replace function pgqueue._take_role(role text)
  returns text
  language plpgsql volatile
as $$
#variable_conflict use_variable
declare
  before pg_catalog.text := pg_catalog.current_setting('role');
begin
  if role is not null and role <> current_user then
    if not exists (select from pg_catalog.pg_roles r where r.rolname = role) then
      raise exception 'role "%" does not exist', role using errcode = '42704';
    end if;
    -- As SET LOCAL ROLE: the server decides whether the session may, and an error takes it back.
    perform pg_catalog.set_config('role', role, true);
    if not pg_catalog.has_schema_privilege('pgqueue', 'usage') then
      raise exception 'role "%" is not enrolled in pgqueue', role
        using errcode = '42501', hint = pg_catalog.format('Let an administrator run: select pgqueue.enroll(%L)', pg_catalog.quote_ident(role));
    end if;
  end if;
  return before;
end
$$;
comment on function pgqueue._take_role(text) is 'Goes on as another role, if the session may. Returns what the setting role was';
grant execute on function pgqueue._take_role(text) to pgqueue_user;

create or replace function pgqueue._cron_schedule(job_name text, schedule text, command text, database text, username text, active boolean)
  returns bigint
  language plpgsql volatile
as $$
#variable_conflict use_variable
declare
  timezone pg_catalog.text := coalesce(nullif(pg_catalog.current_setting('cron.timezone', true), ''), 'GMT');
  before pg_catalog.text;
  made pg_catalog.int8;
begin
  if schedule is null or command is null then
    raise exception '% can not be NULL', case when schedule is null then 'schedule' else 'command' end using errcode = '22004';
  elsif username <> current_user and not (select r.rolsuper from pg_catalog.pg_roles r where r.rolname = current_user) then
    raise exception 'must be superuser to create a job for another role' using errcode = '42501', hint = 'Let that role schedule it.';
  end if;
  perform pgqueue._check_cron_schedule(schedule), pgqueue._check_cron_database(database);
  before := pgqueue._take_role(username);
  if pg_catalog.upper(timezone) in ('GMT', 'UTC') then
    timezone := 'UTC';
  end if;
  -- A job that is there stays paused if it is, and keeps what pg_cron has no name for.
  if exists (select from pgqueue.schedules s where s.name = job_name and s.owner = current_user) then
    begin
      insert into pgqueue.schedule_order (act, name, expression, timezone, sql) values ('alter', job_name, schedule, timezone, command) returning schedule_order.id into made;
    exception when undefined_object then
      made := null;  -- removed meanwhile
    end;
  end if;
  if made is null then
    insert into pgqueue.schedule_order (act, name, expression, timezone, sql, settings, queue, priority, max_attempts, overlap, catch_up)
    values (case when job_name is null then 'add' else 'put' end, job_name, schedule, timezone, command, pgqueue._settings(), 'default', 0, 1, 'skip', 'none')
    returning schedule_order.id into made;
    if not active then
      insert into pgqueue.schedule_order (act, name) select 'pause', s.name from pgqueue.schedules s where s.id = made;
    end if;
  end if;
  perform pg_catalog.set_config('role', before, true);
  return made;
end
$$;
comment on function pgqueue._cron_schedule(text, text, text, text, text, boolean) is 'cron.schedule and cron.schedule_in_database. Without a name a job is a new one each time';
grant execute on function pgqueue._cron_schedule(text, text, text, text, text, boolean) to pgqueue_user;

create or replace function pgqueue._cron_job_of(job_id bigint, out name text, out owner text)
  language sql stable
begin atomic
  select s.name, s.owner::text from pgqueue.schedules s
  where s.id = job_id and s.kind = 'job' and (s.owner = current_user or (select r.rolsuper from pg_roles r where r.rolname = current_user));
end;
comment on function pgqueue._cron_job_of(bigint) is 'The name and the owner of a job that the caller may change. NULL: there is none';
grant execute on function pgqueue._cron_job_of(bigint) to pgqueue_user;

create or replace function pgqueue._cron_unschedule(job_id bigint, job_name text)
  returns boolean
  language plpgsql volatile
as $$
#variable_conflict use_variable
declare
  called pg_catalog.text;
  whose pg_catalog.text := current_user;
begin
  if job_name is null then
    select j.name, j.owner into called, whose from pgqueue._cron_job_of(job_id) j;
  else
    select s.name into called from pgqueue.schedules s where s.name = job_name and s.owner = current_user and s.kind = 'job';
  end if;
  if called is not null then
    begin
      insert into pgqueue.schedule_order (act, name, of_role) values ('remove', called, pg_catalog.quote_ident(whose)::pg_catalog.regrole);
      return true;
    exception when undefined_object then
      null;  -- removed meanwhile
    end;
  end if;
  raise exception 'could not find valid entry for job %', coalesce(pg_catalog.quote_literal(job_name), job_id::pg_catalog.text)
    using errcode = '42704', hint = 'select jobid, jobname from cron.job shows those that the role may change.';
end
$$;
comment on function pgqueue._cron_unschedule(bigint, text) is 'cron.unschedule, by number or by name';
grant execute on function pgqueue._cron_unschedule(bigint, text) to pgqueue_user;

create or replace function pgqueue._cron_alter_job(job_id bigint, schedule text, command text, database text, username text, active boolean)
  returns void
  language plpgsql volatile
as $$
#variable_conflict use_variable
declare
  called pg_catalog.text;
  whose pg_catalog.text;
  before pg_catalog.text;
begin
  if job_id is null then
    raise exception 'job_id can not be NULL' using errcode = '22004';
  end if;
  select j.name, j.owner into called, whose from pgqueue._cron_job_of(job_id) j;
  if username <> coalesce(whose, current_user) then
    if not (select r.rolsuper from pg_catalog.pg_roles r where r.rolname = current_user) then
      raise exception 'must be superuser to alter username' using errcode = '42501', hint = 'Let that role schedule a job of its own.';
    end if;
    raise exception 'a job keeps its owner' using errcode = '0A000', hint = 'Remove it, and schedule it with schedule_in_database(..., username => ...).';
  end if;
  perform pgqueue._check_cron_database(database);
  if schedule is not null then
    perform pgqueue._check_cron_schedule(schedule);
  end if;
  if pg_catalog.num_nonnulls(schedule, command, database, username, active) = 0 then
    raise exception 'no updates specified' using errcode = '22023', hint = 'Name what is to change: schedule, command or active.';
  elsif called is null then
    raise exception 'Job % does not exist or you don''t own it', job_id using errcode = '42704', hint = 'select jobid from cron.job shows those that there are.';
  end if;
  before := pgqueue._take_role(whose);
  if pg_catalog.num_nonnulls(schedule, command) > 0 then
    insert into pgqueue.schedule_order (act, name, expression, sql) values ('alter', called, schedule, command);
  end if;
  if active is not null then
    insert into pgqueue.schedule_order (act, name) values (case when active then 'resume' else 'pause' end, called);
  end if;
  perform pg_catalog.set_config('role', before, true);
end
$$;
comment on function pgqueue._cron_alter_job(bigint, text, text, text, text, boolean) is 'cron.alter_job. What is NULL stays as it is';
grant execute on function pgqueue._cron_alter_job(bigint, text, text, text, text, boolean) to pgqueue_user;

create or replace view pgqueue.cron_job with (security_barrier) as
  select s.id as jobid, s.expression as schedule, s.sql as command, 'localhost'::text as nodename, current_setting('port')::int as nodeport,
         current_database()::text as database, pg_get_userbyid(s.owner)::text as username, s.enabled as active,
         case when s.name <> pgqueue._number_as_name(s.id) then s.name end as jobname
  from pgqueue.schedule s
  where s.sql is not null and (s.owner = quote_ident(current_user)::regrole::oid or (select r.rolsuper from pg_roles r where r.rolname = current_user));
comment on view pgqueue.cron_job is 'What cron.job shows: the SQL schedules of the role; of all roles if it is a superuser';
grant select on pgqueue.cron_job to pgqueue_user;

create or replace view pgqueue.cron_job_run with (security_barrier) as
  select r.schedule_id as jobid, r.id as runid, coalesce(a.backend_pid, h.backend_pid) as job_pid, current_database()::text as database,
         pg_get_userbyid(r.owner)::text as username, coalesce(m.sql, h.sql, s.sql) as command,
         case when r.outcome = 'refused' then 'failed' when a.id is not null then 'running' when m.id is not null then 'starting'
              when h.state = 'succeeded' then 'succeeded' when h.id is not null then 'failed' end as status,
         case when r.outcome = 'refused' then 'ERROR:  ' || r.error
              when h.state = 'succeeded' then coalesce(h.command_tags[cardinality(h.command_tags)], pgqueue._command_tag(h.sql, h.row_count))
              when h.state = 'canceled' then 'job canceled'
              when h.state = 'expired' then 'job expired'
              when h.id is not null then concat_ws(E'\n', 'ERROR:  ' || (h.error ->> 'message'), 'DETAIL:  ' || (h.error ->> 'detail'), 'HINT:  ' || (h.error ->> 'hint'),
                                                   'CONTEXT:  ' || (h.error ->> 'context')) end as return_message,
         coalesce(a.started_at, h.started_at, h.ended_at, case when r.outcome = 'refused' then r.fired_at end) as start_time,
         case when r.outcome = 'refused' then r.fired_at else h.ended_at end as end_time
  from pgqueue.schedule_run r
  left join pgqueue.schedule s on s.id = r.schedule_id
  left join pgqueue.message m on m.id = r.message_id
  left join pgqueue.activity a on a.id = m.id and a.token = m.token
  left join lateral (select * from pgqueue.history e where e.id = r.message_id limit 1) h on true
  where r.outcome in ('enqueued', 'refused') and r.task_id is null and s.task is null
    and (r.owner = quote_ident(current_user)::regrole::oid or (select o.rolsuper from pg_roles o where o.rolname = current_user));
comment on view pgqueue.cron_job_run is 'What cron.job_run_details shows: the runs of the SQL schedules of the role; of all roles if it is a superuser';
grant select on pgqueue.cron_job_run to pgqueue_user;

create or replace function pgqueue._cron_job_runs()
  returns setof pgqueue.cron_job_run
  language sql stable
begin atomic
  -- The view in the schema cron reads this function: a role that may delete from a view over tables may lock the tables.
  select * from pgqueue.cron_job_run;
end;
comment on function pgqueue._cron_job_runs() is 'The rows of cron.job_run_details';
grant execute on function pgqueue._cron_job_runs() to pgqueue_user;

create or replace function pgqueue._forget_cron_run()
  returns trigger
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- Only rows that the view has shown to the role come here.
  delete from pgqueue.schedule_run r where r.id = old.runid;
  return old;
end
$$;
comment on function pgqueue._forget_cron_run() is 'Deletes a row of cron.job_run_details';
