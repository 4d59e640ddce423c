-- after: cron_syntax, schedule_firing
-- Making and changing schedules. A role inserts what it wants into a view; the trigger acts as the owner of pgqueue.

-- A role makes a request by an INSERT here: a column's default sees the current role and cannot be given, and the trigger acts as the
-- owner of pgqueue.
create or replace view pgqueue.schedule_order as
  select null::oid as role, null::text as act, null::regrole as of_role, null::text as name, null::text as expression, null::text as timezone,
         null::text as sql, null::text[] as params, null::jsonb as settings, null::text as task, null::jsonb as args, null::jsonb as kwargs,
         null::text as queue, null::int as priority, null::interval as timeout, null::int as max_attempts, null::interval as backoff,
         null::text as label, null::interval as jitter, null::timestamptz as starts_at, null::timestamptz as ends_at,
         null::text as overlap, null::text as catch_up, null::bigint as id, null::jsonb as sending, null::text as source, null::text as outcome
  where false;
alter view pgqueue.schedule_order alter column role set default pgqueue._caller();
comment on view pgqueue.schedule_order is 'Where roles insert what they want of their schedules: pgqueue._carry_out_schedule does it. id: of the schedule, or of the message that it has sent; NULL: nothing was to be done. outcome: of an import';
-- Column by column: with a right on the whole of a view LOCK TABLE locks the tables under it.
grant insert (act, of_role, name, expression, timezone, sql, params, settings, task, args, kwargs, queue, priority, timeout, max_attempts, backoff, label, jitter,
              starts_at, ends_at, overlap, catch_up, sending, source), select (id, outcome)
  on pgqueue.schedule_order to pgqueue_user, pgqueue_admin;

create or replace function pgqueue._check_schedule(o pgqueue.schedule_order)
  returns void
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  if o.name is null and o.act <> 'add' or o.expression is null then
    raise exception '% cannot be NULL', case when o.name is null then 'name' else 'schedule' end using errcode = '22004';
  elsif trim(o.name) = '' or octet_length(o.name) > 255 then
    raise exception 'name of a schedule must have 1 to 255 bytes' using errcode = '22023', hint = 'Name it after what it does: nightly, digest.';
  elsif o.act = 'put' and o.name ~ '^pg_cron job [0-9]+$' then
    raise exception 'name "%" is one for schedules that were added without a name', o.name
      using errcode = '22023', hint = 'Name it after what it does. pgqueue.alter_schedule changes a schedule that has such a name.';
  elsif o.timezone is null or o.timezone <> 'UTC' and not exists (select from pg_timezone_names z where z.name = o.timezone) then
    raise exception 'time zone "%" is not known', coalesce(o.timezone, 'NULL') using errcode = '22023', hint = 'Names are in pg_timezone_names, for example Europe/Berlin.';
  elsif o.overlap not in ('skip', 'queue') then
    raise exception 'overlap "%" is not known', o.overlap using errcode = '22023', hint = 'It is skip (one run at a time) or queue.';
  elsif o.catch_up is null or o.catch_up not in ('none', 'last', 'all') then
    raise exception 'catch_up "%" is not known', coalesce(o.catch_up, 'NULL') using errcode = '22023', hint = 'It is none, last (the default) or all.';
  elsif o.overlap = 'skip' and o.catch_up = 'all' then
    raise exception 'catch_up "all" cannot go with overlap "skip"' using errcode = '22023', hint = 'The runs that were missed come at once: let them queue, or catch up with the last.';
  elsif o.jitter < interval '0' or o.jitter > interval '1 day' then
    raise exception 'jitter is out of range' using errcode = '22023', hint = 'It is at most one day; each run is later by a random part of it.';
  elsif not isfinite(o.starts_at) or not isfinite(o.ends_at) then
    raise exception '% is not finite', case when isfinite(o.starts_at) then 'ends_at' else 'starts_at' end using errcode = '22023', hint = 'Leave it out.';
  elsif greatest(o.starts_at, o.ends_at) >= '9999-01-01 00:00+00' then
    raise exception '% is later than the year 9998', case when o.ends_at is null then 'starts_at' else 'ends_at' end using errcode = '22023', hint = 'Leave it out.';
  elsif o.ends_at <= coalesce(o.starts_at, clock_timestamp()) then
    raise exception 'ends_at is not after %', case when o.starts_at is null then 'now' else 'starts_at' end using errcode = '22023', hint = 'The schedule would never run.';
  end if;
  if o.task is null then
    perform pgqueue._check_options(o.sql, pgqueue._options(o.queue, o.priority, timeout => o.timeout, max_attempts => o.max_attempts, backoff => o.backoff));
    if array_ndims(o.params) > 1 then
      perform pgqueue._refuse_params();
    end if;
  else
    perform pgqueue._check_options('task', pgqueue._options(o.queue, o.priority));
    if trim(o.task) = '' then
      raise exception 'task cannot be empty' using errcode = '22023', hint = 'Give the name under which the task is registered.';
    elsif o.args is null or jsonb_typeof(o.args) <> 'array' then
      raise exception 'args must be a JSON array' using errcode = '22023', hint = 'For example jsonb_build_array(1, ''a'').';
    elsif o.kwargs is null or jsonb_typeof(o.kwargs) <> 'object' then
      raise exception 'kwargs must be a JSON object' using errcode = '22023', hint = 'For example jsonb_build_object(''name'', ''a'').';
    end if;
    perform pgqueue._check_sending(o.sending);
  end if;
  if not pgqueue._may_enter(o.role, o.queue, null) or o.queue like 'celeryev.%' then
    raise exception 'permission denied for queue "%"', o.queue using errcode = '42501', hint = 'Control commands and events are not scheduled.';
  elsif octet_length(o.label) > 10000 then
    raise exception 'label has more than 10000 bytes' using errcode = '54000', hint = 'A label is a short name.';
  elsif cardinality(o.params) > 65535 or octet_length(array_to_string(o.params, '')) > 16777216 then
    raise exception 'params are more than 65535 or have more than 16 MB' using errcode = '54000', hint = 'Put the data into a table first.';
  elsif octet_length(concat(o.args, o.kwargs)) > 16777216 then
    raise exception 'args and kwargs have more than 16 MB' using errcode = '54000', hint = 'Put the data into a table first.';
  end if;
  perform pgqueue._check_settings(o.settings);
end
$$;
comment on function pgqueue._check_schedule(pgqueue.schedule_order) is 'Refuses a schedule that could not run';

create or replace function pgqueue._number_as_name(id bigint)
  returns text
  language sql immutable
  return 'pg_cron job ' || id;
comment on function pgqueue._number_as_name(bigint) is 'The name of a schedule that was added without one, as pg_cron allows';
grant execute on function pgqueue._number_as_name(bigint) to pgqueue_user;

create or replace function pgqueue._put_schedule(o pgqueue.schedule_order)
  returns bigint
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  every interval;
  cron text;
  begins timestamptz := clock_timestamp();
  put_id bigint := nextval('pgqueue.schedule_id_seq');
  most int;
begin
  perform pgqueue._check_schedule(o);
  every := pgqueue._every_of(o.expression);
  if every is null then
    cron := pgqueue._cron_of(o.expression);
  end if;
  if o.starts_at > begins then
    begins := o.starts_at - interval '1 microsecond';  -- an instant at starts_at is one
  end if;
  if every is not null and pgqueue._next_by_interval(coalesce(o.starts_at, begins), every, begins, o.ends_at) is null then
    raise exception 'schedule "%" has no instant before ends_at', o.expression using errcode = '22023', hint = 'The schedule would never run.';
  end if;
  -- A role that schedules without end would fill the table that every worker reads.
  most := pgqueue._limit('max_schedules', 1000);
  if most > 0 and not pgqueue._is_operator(o.role) and (select count(*) from pgqueue.schedule s where s.owner = o.role and s.name is distinct from o.name) >= most then
    raise exception 'role "%" has more schedules than one role may have', pg_get_userbyid(o.role)
      using errcode = '53400', hint = 'Remove some, or let the owner of the database raise pgqueue.max_schedules.';
  end if;
  insert into pgqueue.schedule as s (id, owner, name, expression, cron, every, timezone, sql, params, settings, timeout, max_attempts, backoff, task, args, kwargs, sending, source, queue, priority, label,
                                     jitter, starts_at, ends_at, overlap, catch_up, anchor_at, consumed_until, next_at, planned_until, plan_at)
  overriding system value
  values (put_id, o.role, coalesce(o.name, pgqueue._number_as_name(put_id)), o.expression, cron, every, o.timezone, o.sql, o.params, case when o.task is null then pgqueue._inherited(o.settings) - 'pgqueue.traceparent' end,
          case when o.task is null then coalesce(o.timeout, pgqueue._inherited_timeout(o.settings)) end, o.max_attempts, o.backoff, o.task, o.args, o.kwargs, o.sending, o.source, o.queue, o.priority, o.label,
          o.jitter, o.starts_at, o.ends_at, coalesce(o.overlap, case when o.catch_up = 'all' then 'queue' else 'skip' end), o.catch_up,
          coalesce(o.starts_at, begins), begins,
          pgqueue._next_by_interval(coalesce(o.starts_at, begins), every, begins, o.ends_at),
          case when every is null then '-infinity' else 'infinity' end::timestamptz, case when every is null then clock_timestamp() end)
  on conflict on constraint schedule_name_is_unique_per_owner do update
  set expression = excluded.expression, sql = excluded.sql, params = excluded.params, settings = excluded.settings, timeout = excluded.timeout,
      max_attempts = excluded.max_attempts, backoff = excluded.backoff, task = excluded.task, args = excluded.args, kwargs = excluded.kwargs, sending = excluded.sending, source = excluded.source, queue = excluded.queue,
      priority = excluded.priority, label = excluded.label, jitter = excluded.jitter, overlap = excluded.overlap, catch_up = excluded.catch_up,
      cron = excluded.cron, every = excluded.every, timezone = excluded.timezone, starts_at = excluded.starts_at, ends_at = excluded.ends_at,
      enabled = true, revision = s.revision + 1, error = null, changed_at = clock_timestamp(),
      -- A program that schedules the same each time it starts must not put the next run off.
      (anchor_at, consumed_until, next_at, later_at, passed_over, planned_until, plan_at) = (
        select case when k.is_same then s.anchor_at else excluded.anchor_at end,
               case when k.is_same then s.consumed_until else excluded.consumed_until end,
               case when k.is_same then s.next_at else excluded.next_at end,
               case when k.is_same then s.later_at else '{}' end,
               case when k.is_same then s.passed_over else 0 end,
               case when k.is_same then s.planned_until else excluded.planned_until end,
               case when k.is_same then s.plan_at else excluded.plan_at end
        from (select s.enabled and s.error is null
                     and (s.cron, s.every, s.timezone, s.starts_at, s.ends_at) is not distinct from
                         (excluded.cron, excluded.every, excluded.timezone, excluded.starts_at, excluded.ends_at)) k (is_same))
  returning s.id into put_id;
  perform pgqueue._notify_at_commit('pgqueue.schedules');
  return put_id;
end
$$;
comment on function pgqueue._put_schedule(pgqueue.schedule_order) is 'Makes a schedule, or replaces the one of that name';

create or replace function pgqueue._find_schedule(owner oid, name text)
  returns pgqueue.schedule
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  found_schedule pgqueue.schedule;
begin
  select s.* into found_schedule from pgqueue.schedule s where s.owner = _find_schedule.owner and s.name = _find_schedule.name for update;
  if found_schedule.id is null then
    raise exception 'schedule "%" does not exist', coalesce(_find_schedule.name, 'NULL')
      using errcode = '42704', hint = 'select name from pgqueue.schedules shows those that there are. An administrator names the owner of another role''s: owner => ''alice''.';
  end if;
  return found_schedule;
end
$$;
comment on function pgqueue._find_schedule(oid, text) is 'A schedule of a role, locked, or 42704';

create or replace function pgqueue._carry_out_schedule()
  returns trigger
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  whose oid := coalesce(new.of_role::oid, new.role);
  s pgqueue.schedule;
begin
  perform pgqueue._require_home();
  -- A role that submits must be enrolled. Only administrators may change another role's schedule, and not what it runs.
  if whose <> new.role and (new.act in ('put', 'add', 'alter', 'import', 'prune') or not coalesce(pg_has_role(new.role, 'pgqueue_admin', 'member'), false)) then
    raise exception 'permission denied for schedules of role "%"', pg_get_userbyid(whose) using errcode = '42501', hint = case when new.act in ('put', 'add', 'alter', 'import', 'prune') then 'Only the owner says what a schedule runs.' else 'Its owner and members of pgqueue_admin may do that.' end;
  elsif new.act in ('put', 'add', 'alter', 'import', 'resume', 'run') and not exists (select from pgqueue.role_key k where k.role = whose) then
    perform pgqueue._refuse_stranger(whose);
  end if;
  if new.act in ('put', 'add') then
    new.source := null;
    new.id := pgqueue._put_schedule(new);
    return new;
  elsif new.act in ('import', 'prune') then
    return case new.act when 'import' then pgqueue._import_schedule(new) else pgqueue._prune_schedule(new) end;
  end if;
  s := pgqueue._find_schedule(whose, new.name);
  new.id := s.id;
  case new.act
    when 'alter' then
      if num_nonnulls(new.sql, new.params, new.timeout, new.max_attempts, new.backoff) > 0 and s.task is not null
         or num_nonnulls(new.args, new.kwargs, new.sending) > 0 and s.sql is not null then
        raise exception 'schedule "%" runs %', s.name, case when s.task is null then 'SQL' else 'a task' end
          using errcode = '22023', hint = 'Options of SQL are sql, params, timeout, max_attempts and backoff; those of a task args, kwargs, headers, expires, ignore_result, link and errback.';
      elsif s.sending ? 'message' and num_nonnulls(new.args, new.kwargs, new.sending, new.queue, new.priority) > 0 then
        raise exception 'what schedule "%" sends was imported', s.name
          using errcode = '22023', hint = 'Change it in the application and import it again.';
      end if;
      new.expression := coalesce(new.expression, s.expression);
      new.timezone := coalesce(new.timezone, s.timezone);
      new.sql := coalesce(new.sql, s.sql);
      new.params := coalesce(new.params, s.params);
      new.task := s.task;
      new.args := coalesce(new.args, s.args);
      new.kwargs := coalesce(new.kwargs, s.kwargs);
      new.sending := case when new.sending is null then s.sending else coalesce(s.sending, '{}') || new.sending end;
      new.source := s.source;
      new.settings := s.settings;
      new.queue := coalesce(new.queue, s.queue);
      new.priority := coalesce(new.priority, s.priority);
      new.timeout := coalesce(new.timeout, s.timeout);
      new.max_attempts := coalesce(new.max_attempts, s.max_attempts);
      new.backoff := coalesce(new.backoff, s.backoff);
      new.label := coalesce(new.label, s.label);
      new.jitter := coalesce(new.jitter, s.jitter);
      new.starts_at := coalesce(new.starts_at, s.starts_at);
      new.ends_at := coalesce(new.ends_at, s.ends_at);
      new.catch_up := coalesce(new.catch_up, s.catch_up);
      new.overlap := coalesce(new.overlap, case when new.catch_up = 'all' then 'queue' else s.overlap end);
      perform pgqueue._put_schedule(new);
      if not s.enabled then
        update pgqueue.schedule c set enabled = false, error = s.error where c.id = s.id;
      end if;
    when 'remove' then
      delete from pgqueue.schedule d where d.id = s.id;
    when 'pause' then
      update pgqueue.schedule c set enabled = false, revision = c.revision + 1 where c.id = s.id;
      if not s.enabled then
        new.id := null;
      end if;
    when 'resume' then
      if s.enabled then
        new.id := null;
      else
        -- Instants of the pause are skipped. Instants that were fired do not come again, even if the clock was set back.
        update pgqueue.schedule c
        set enabled = true, error = null, revision = c.revision + 1, consumed_until = greatest(c.consumed_until, clock_timestamp()), later_at = '{}', passed_over = 0,
            next_at = case when c.every is not null then pgqueue._next_by_interval(c.anchor_at, c.every, greatest(c.consumed_until, clock_timestamp()), c.ends_at) end,
            planned_until = case when c.every is null then '-infinity' else 'infinity' end::timestamptz,
            plan_at = case when c.every is null then clock_timestamp() end
        where c.id = s.id;
        perform pgqueue._notify_at_commit('pgqueue.schedules');
      end if;
    when 'run' then
      perform pgqueue._require_quota(whose);
      new.id := (pgqueue._fire(array[s.id], clock_timestamp(), true, null))[1];
      if new.id is null then
        raise notice 'schedule "%" was not run: its last run has not ended', s.name using hint = 'With overlap => ''queue'' runs do not wait for each other.';
      end if;
    else
      raise exception 'act "%" is not known', new.act using errcode = '22023', hint = 'Use the functions of the schema pgqueue.';
  end case;
  return new;
end
$$;
comment on function pgqueue._carry_out_schedule() is 'Does what a role has inserted into pgqueue.schedule_order, for that role';

create or replace trigger carry_out instead of insert on pgqueue.schedule_order for each row execute function pgqueue._carry_out_schedule();
