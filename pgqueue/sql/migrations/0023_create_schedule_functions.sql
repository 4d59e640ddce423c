-- What schedules mean, how roles change them, and how workers fire them.

create function pgqueue._cron_number(word text, field int)
  returns int
  language sql immutable
begin atomic
  select case
    when word ~ '^[0-9]{1,2}$' then word::int
    when field = 4 then nullif(array_position('{JAN,FEB,MAR,APR,MAY,JUN,JUL,AUG,SEP,OCT,NOV,DEC}'::text[], word), 0)
    when field = 5 then array_position('{SUN,MON,TUE,WED,THU,FRI,SAT}'::text[], word) - 1 end;
end;
comment on function pgqueue._cron_number(text, int) is 'A number or the name of a month (field 4) or weekday (field 5) as a number; NULL: it is none';

create function pgqueue._cron_field(field_text text, field int)
  returns int[]
  language plpgsql immutable
  set search_path = pg_catalog, pg_temp
as $$
declare
  least_value int := ('{0,0,1,1,0}'::int[])[field];
  greatest_value int := ('{59,23,31,12,7}'::int[])[field];
  called text := ('{minute,hour,day of month,month,day of week}'::text[])[field];
  found int[] := '{}';
  term text;
  parts text[];
  first_value int;
  last_value int;
  step int;
begin
  foreach term in array string_to_array(upper(field_text), ',') loop
    if field = 3 and term in ('L', 'LW') then
      found := found || 28;  -- each month has a last day
      continue;
    end if;
    parts := regexp_match(term, case when field = 5 then '^([0-7])L$|^([0-7]|[A-Z]{3})#[1-5]$' else '^$' end);
    if pgqueue._cron_number(coalesce(parts[1], parts[2]), field) is not null then
      found := found || pgqueue._cron_number(coalesce(parts[1], parts[2]), field);
      continue;
    end if;
    parts := regexp_match(term, '^(?:[*]|([0-9]{1,2}|[A-Z]{3})(?:-([0-9]{1,2}|[A-Z]{3}))?)(?:/([0-9]{1,3}))?$');
    if parts is null then
      raise exception '"%" is not a % of a schedule', left(term, 100), called
        using errcode = '22023', hint = 'A field is *, numbers or names, ranges (1-5), lists (1,15) and steps (*/5, 10-50/10).';
    end if;
    first_value := coalesce(pgqueue._cron_number(parts[1], field), case when parts[1] is null then least_value end);
    last_value := coalesce(pgqueue._cron_number(parts[2], field), case when parts[2] is not null then null when parts[1] is null then greatest_value else first_value end);
    step := coalesce(parts[3]::int, 1);
    if first_value is null or last_value is null or first_value < least_value or last_value > greatest_value then
      raise exception '% "%" is out of range', called, left(term, 100)
        using errcode = '22023', hint = concat('It is ', least_value, ' to ', greatest_value, case field when 4 then ', or JAN to DEC' when 5 then ', or SUN to SAT' end, '.');
    elsif last_value < first_value then
      raise exception 'range "%" of % ends before it begins', left(term, 100), called using errcode = '22023', hint = 'Write it as two ranges: 22-23,0-5.';
    elsif parts[3] is not null and parts[1] is not null and parts[2] is null then
      raise exception 'step "%" of % has no range', left(term, 100), called using errcode = '22023', hint = 'Steps go with * or a range: 10-59/15.';
    elsif step = 0 or parts[3] is not null and step > greatest_value then
      raise exception 'step of % "%" is out of range', called, left(term, 100) using errcode = '22023', hint = concat('It is 1 to ', greatest_value, '.');
    end if;
    found := found || array(select v from generate_series(first_value, last_value, step) v);
  end loop;
  return found;
end
$$;
comment on function pgqueue._cron_field(text, int) is 'The values of a field (1: minute to 5: day of week), or 22023';

create function pgqueue._cron_of(expression text)
  returns text
  language plpgsql immutable
  set search_path = pg_catalog, pg_temp
as $$
declare
  cron text := case lower(trim(expression))
    when '@yearly' then '0 0 1 1 *' when '@annually' then '0 0 1 1 *' when '@monthly' then '0 0 1 * *' when '@weekly' then '0 0 * * 0'
    when '@daily' then '0 0 * * *' when '@midnight' then '0 0 * * *' when '@hourly' then '0 * * * *'
    else trim(regexp_replace(expression, '\s+', ' ', 'g')) end;
  fields text[] := string_to_array(cron, ' ');
  days int[];
  longest int;
begin
  if lower(cron) = '@reboot' then
    raise exception 'schedule "@reboot" has no instant' using errcode = '22023', hint = 'Enqueue it where the server or the application starts.';
  elsif cardinality(fields) = 6 then
    raise exception 'schedule "%" has six fields', left(cron, 100)
      using errcode = '22023', hint = 'There are five: minute, hour, day of month, month, day of week. For seconds, write for example ''30 seconds''.';
  elsif cardinality(fields) <> 5 then
    raise exception 'schedule "%" is not understood', left(cron, 100)
      using errcode = '22023', hint = 'Give five fields (0 2 * * *), @hourly and the like, or an interval (30 seconds, @every 90 seconds).';
  elsif length(cron) > 1000 then
    raise exception 'schedule has more than 1000 characters' using errcode = '22023', hint = 'Make it several schedules.';
  end if;
  perform pgqueue._cron_field(fields[1], 1), pgqueue._cron_field(fields[2], 2), pgqueue._cron_field(fields[5], 5);
  days := pgqueue._cron_field(fields[3], 3);
  select max(('{31,29,31,30,31,30,31,31,30,31,30,31}'::int[])[m]) into longest from unnest(pgqueue._cron_field(fields[4], 4)) m;
  if (select min(d) from unnest(days) d) > longest then
    raise exception 'schedule "%" has a day that no month of it has', left(cron, 100)
      using errcode = '22023', hint = 'It would never come. The last day of a month is L.';
  end if;
  return upper(array_to_string(fields, ' '));
end
$$;
comment on function pgqueue._cron_of(text) is 'A schedule as five fields of cron, or 22023';

create function pgqueue._every_of(expression text)
  returns interval
  language plpgsql immutable
  set search_path = pg_catalog, pg_temp
as $$
declare
  text_ text := trim(regexp_replace(regexp_replace(expression, '^\s*@every(\s+|$)', '', 'i'), '\s+', ' ', 'g'));
  given interval;
begin
  if expression !~* '^\s*@every(\s|$)' and text_ !~* '^-?[0-9]+([.][0-9]+)? ?[a-z]+( [0-9]+([.][0-9]+)? ?[a-z]+)*$' then
    return null;
  end if;
  begin
    given := text_::interval;
  exception when data_exception then
    raise exception 'schedule "%" is not an interval', left(expression, 100) using errcode = '22023', hint = 'Write for example ''30 seconds'' or ''@every 90 seconds''.';
  end;
  if extract(year from given) <> 0 or extract(month from given) <> 0 then
    raise exception 'schedule "%" counts months, which differ in length', left(expression, 100) using errcode = '22023', hint = 'Use fields: 0 0 1 * * is each first of a month.';
  elsif given < interval '1 second' or given > interval '366 days' then
    raise exception 'interval of schedule "%" is out of range', left(expression, 100) using errcode = '22023', hint = 'It is 1 second to 366 days.';
  end if;
  -- A day is 24 hours: intervals do not know of clocks that are put forward.
  return make_interval(secs => extract(epoch from given)::float8);
end
$$;
comment on function pgqueue._every_of(text) is 'The interval of a schedule that is one, or 22023; NULL: it is not one';

create function pgqueue._nth_of(anchor timestamptz, every interval, instant timestamptz)
  returns bigint
  language sql immutable
begin atomic
  -- In whole microseconds: a float would be off by one after some years.
  select floor((extract(epoch from instant - anchor) * 1000000)::numeric / (extract(epoch from every) * 1000000)::numeric)::bigint;
end;
comment on function pgqueue._nth_of(timestamptz, interval, timestamptz) is 'How many whole intervals lie between the anchor and an instant';

create function pgqueue._next_by_interval(anchor timestamptz, every interval, after timestamptz, ends_at timestamptz)
  returns timestamptz
  language sql stable
begin atomic
  select case when n.instant > ends_at then null else n.instant end
  from (select anchor + (pgqueue._nth_of(anchor, every, after) + 1) * every) n (instant);
end;
comment on function pgqueue._next_by_interval(timestamptz, interval, timestamptz, timestamptz) is 'The first instant of an interval after that one; NULL: the schedule has ended by then';

create function pgqueue._schedule_grace()
  returns interval
  language sql immutable
  return interval '1 minute';
comment on function pgqueue._schedule_grace() is 'How late a run may be before it counts as missed, which catch_up decides on';

create function pgqueue._due_instants(s pgqueue.schedule, due_until timestamptz, out instants timestamptz[], out latest timestamptz, out missed int)
  language plpgsql stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  first_n bigint;
  last_n bigint;
begin
  missed := s.passed_over;
  if s.every is not null then
    first_n := pgqueue._nth_of(s.anchor_at, s.every, s.next_at);
    last_n := pgqueue._nth_of(s.anchor_at, s.every, least(due_until, coalesce(s.ends_at, due_until)));
    if s.catch_up = 'all' then
      -- The rest when these are done: one schedule does not hold up the others.
      last_n := least(last_n, first_n + 999);
      instants := array(select s.anchor_at + n * s.every from generate_series(first_n, last_n) n);
    else
      instants := array[s.anchor_at + last_n * s.every];
      missed := least(2000000000, missed + last_n - first_n)::int;
    end if;
  else
    instants := array(select i from unnest(s.next_at || s.later_at) i where i <= due_until order by i);
    if s.catch_up <> 'all' then
      missed := missed + cardinality(instants) - 1;
      instants := instants[cardinality(instants):];
    end if;
  end if;
  latest := instants[cardinality(instants)];
  if s.catch_up = 'none' and latest < due_until - pgqueue._schedule_grace() then
    instants := '{}';
    missed := missed + 1;
  end if;
end
$$;
comment on function pgqueue._due_instants(pgqueue.schedule, timestamptz) is
  'For which of its due instants a schedule is to run, as its catch_up says; the latest of all; and how many it passes over';

create function pgqueue._fire(ids bigint[], due_until timestamptz, is_manual boolean, refusal text)
  returns bigint[]
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  queues text[];
  sent_ids bigint[];
  queue text;
begin
  -- One statement for all that is due: the jobs, the advance of the schedules, and the record of what was done stand or fall together.
  with due as materialized (
    select s.*, d.instants, d.latest, d.missed, k.role is not null as is_enrolled,
           coalesce(refusal, case when k.over_quota is not null and not coalesce(pg_has_role(s.owner, 'pgqueue_worker', 'member') or pg_has_role(s.owner, 'pgqueue_admin', 'member'), false)
                                  then concat('the role has more ', k.over_quota, ' than one role may have') end) as refused_as,
           s.overlap = 'skip' and exists (select from pgqueue.message m where m.id = s.last_message_id) as is_running
    from pgqueue.schedule s
    left join pgqueue.role_key k on k.role = s.owner
    cross join lateral (select * from pgqueue._due_instants(s, due_until) i where not is_manual
                        union all select array[due_until], s.consumed_until, 0 where is_manual) d
    where s.id = any (ids)
  ), run as materialized (
    select d.id, d.owner, d.name, i.instant, case when i.n = 1 then d.missed else 0 end as missed, d.refused_as as error,
           case when d.refused_as is not null then 'refused' when d.is_running then 'skipped' else 'enqueued' end as outcome,
           pgqueue._random_bigint() as cookie, case when d.task is not null then gen_random_uuid()::text end as task_id,
           case when d.jitter > interval '0' and not is_manual then clock_timestamp() + d.jitter * random() end as due_at, i.n
    from due d
    cross join lateral unnest(d.instants) with ordinality i (instant, n)
    where d.is_enrolled
    union all
    select d.id, d.owner, d.name, d.latest, d.missed, null, 'missed', null, null, null, 1
    from due d
    where d.is_enrolled and d.instants = '{}'
  ), sent as (
    insert into pgqueue.inbox (submitter, cookie, due_at, kind, state, priority, max_attempts, queue, sql, params, settings, timeout, backoff, label, payload)
    select d.owner, r.cookie, r.due_at, case when d.task is null then 'job' else 'task' end::pgqueue.message_kind,
           case when r.due_at is null then 'ready' else 'delayed' end::pgqueue.message_state, d.priority, d.max_attempts, d.queue, d.sql, d.params, d.settings,
           d.timeout, d.backoff, d.label,
           case when d.task is null then null
                when r.due_at is null then pgqueue._plain_task_message(d.task, d.args, d.kwargs, d.queue, d.priority, r.task_id, false)
                else pgqueue._task_message(d.task, d.args, d.kwargs, d.queue, d.priority, r.due_at, null, r.task_id, null, false, null, null) end
    from run r
    join due d on d.id = r.id
    where r.outcome = 'enqueued'
    order by r.instant, r.id
    returning id, cookie, queue
  ), noted as (
    insert into pgqueue.schedule_run (schedule_id, owner, name, due_at, fired_at, outcome, missed, is_manual, message_id, task_id, error)
    select r.id, r.owner, r.name, r.instant, clock_timestamp(), r.outcome, r.missed, is_manual, s.id, case when s.id is not null then r.task_id end, r.error
    from run r
    left join sent s on s.cookie = r.cookie
    order by r.instant, r.id
  ), last_sent as (
    select distinct on (r.id) r.id, r.instant, r.task_id, s.id as message_id
    from run r join sent s on s.cookie = r.cookie
    order by r.id, r.n desc
  ), changed as (
    update pgqueue.schedule s
    set enabled = s.enabled and d.is_enrolled,
        error = case when d.is_enrolled then s.error else pgqueue._owner_fault(s.owner) end,
        -- Who comes back from a pause begins with what is due then.
        consumed_until = case when d.is_enrolled then d.latest else s.consumed_until end,
        next_at = case when not d.is_enrolled or is_manual then s.next_at
                       when s.every is not null then pgqueue._next_by_interval(s.anchor_at, s.every, d.latest, s.ends_at)
                       else (select min(i) from unnest(s.later_at) i where i > d.latest) end,
        later_at = case when not d.is_enrolled or is_manual or s.every is not null then s.later_at
                        else array(select i from unnest(s.later_at) i where i > d.latest order by i offset 1) end,
        passed_over = case when d.is_enrolled and not is_manual then 0 else s.passed_over end,
        plan_at = case when is_manual or s.every is not null or s.planned_until = 'infinity' then s.plan_at
                       when (select count(*) from unnest(s.later_at) i where i > d.latest) <= 4 then least(s.plan_at, due_until)
                       else s.plan_at end,
        last_at = coalesce(l.instant, s.last_at), last_message_id = coalesce(l.message_id, s.last_message_id),
        last_task_id = case when l.id is null then s.last_task_id else l.task_id end
    from due d
    left join last_sent l on l.id = d.id
    where s.id = d.id
  )
  select array_agg(distinct s.queue), array_agg(s.id order by s.id) into queues, sent_ids from sent s;
  foreach queue in array coalesce(queues, '{}') loop
    perform pgqueue._wake(queue);
  end loop;
  return coalesce(sent_ids, '{}');
end
$$;
comment on function pgqueue._fire(bigint[], timestamptz, boolean, text) is
  'Enqueues what these schedules, whose rows the caller has locked, are due for, notes it and advances them. refusal: why nothing of it is enqueued. Returns the messages';

create function pgqueue._owner_fault(role oid)
  returns text
  language sql stable
begin atomic
  select coalesce((select 'paused: role "' || r.rolname || '" is not enrolled in pgqueue' from pg_roles r where r.oid = role), 'paused: its owner does not exist any more');
end;
comment on function pgqueue._owner_fault(oid) is 'Why the schedules of a role that may hand in nothing are paused';

create function pgqueue._pause_schedules_of(role oid)
  returns void
  language sql volatile
  set search_path = pg_catalog, pg_temp
as $$
  update pgqueue.schedule s set enabled = false, error = pgqueue._owner_fault(s.owner) where s.owner = _pause_schedules_of.role and s.enabled
$$;
comment on function pgqueue._pause_schedules_of(oid) is 'Pauses the schedules of a role that may hand in no more, and says so';

create function pgqueue._fire_schedules(max_count int)
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  due_until timestamptz := clock_timestamp();
  ids bigint[];
  id bigint;
begin
  ids := array(
    select s.id from pgqueue.schedule s
    where s.enabled and s.next_at <= due_until
      -- Which instant is the last one that was missed, only a plan that reaches beyond now tells.
      and (s.catch_up = 'all' or s.planned_until > due_until)
    order by s.next_at
    limit max_count
    for update skip locked);
  if ids <> '{}' then
    begin
      perform pgqueue._fire(ids, due_until, false, null);
    exception when others then
      -- One of them cannot be enqueued. Each by itself: the others shall be.
      foreach id in array ids loop
        begin
          perform pgqueue._fire(array[id], due_until, false, null);
        exception when others then
          raise warning 'schedule % of pgqueue was not fired: %', id, sqlerrm using errcode = sqlstate;
          perform pgqueue._fire(array[id], due_until, false, sqlerrm);
        end;
      end loop;
    end;
  end if;
  update pgqueue.schedule s set plan_at = due_until
  where s.id = any (array(select d.id from pgqueue.schedule d
                          where d.enabled and d.next_at <= due_until and d.catch_up <> 'all' and d.planned_until <= due_until
                            and (d.plan_at is null or d.plan_at > due_until and d.error is null)
                          for update skip locked));
end
$$;
comment on function pgqueue._fire_schedules(int) is 'Fires the schedules that are due, each due instant once; what another worker is firing is left to it';

create function pgqueue._overdue_schedule()
  returns timestamptz
  language plpgsql stable security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  due_until timestamptz := clock_timestamp();  -- a value, not a volatile call: the index can stop there
begin
  return (select s.next_at from pgqueue.schedule s where s.enabled and s.next_at <= due_until order by s.next_at limit 1);
end
$$;
comment on function pgqueue._overdue_schedule() is 'Since when a schedule is due that was not fired; NULL: none is';

create function pgqueue._seconds_to_next_schedule(overdue_before timestamptz)
  returns float8
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  seen_at timestamptz := clock_timestamp();
  overdue timestamptz := pgqueue._overdue_schedule();
  retry float8;
begin
  if overdue is not null then
    -- What another session has locked, and what waits for its plan, is not asked for again and again.
    retry := case when overdue = overdue_before then 1 else 0 end;
  end if;
  return least(retry, (select extract(epoch from s.next_at - clock_timestamp())::float8 from pgqueue.schedule s
                       where s.enabled and s.next_at > seen_at order by s.next_at limit 1));
end
$$;
comment on function pgqueue._seconds_to_next_schedule(timestamptz) is
  'How long until a schedule is due; NULL: none will be. overdue_before: what was due before the last look, and then perhaps still is';

create function pgqueue._has_schedules_to_plan()
  returns boolean
  language plpgsql stable security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  due_until timestamptz := clock_timestamp();
begin
  return exists (select from pgqueue.schedule s where s.enabled and s.plan_at <= due_until);
end
$$;
comment on function pgqueue._has_schedules_to_plan() is 'Whether the next instants of a schedule are to be worked out';

create function pgqueue._schedules_to_plan(max_count int)
  returns table (id bigint, revision bigint, cron text, timezone text, consumed_until timestamptz, ends_at timestamptz, is_all boolean, seen_at timestamptz)
  language plpgsql stable security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  due_until timestamptz := clock_timestamp();
begin
  return query
  select s.id, s.revision, s.cron, s.timezone, s.consumed_until, s.ends_at, s.catch_up = 'all', due_until
  from pgqueue.schedule s
  where s.enabled and s.plan_at <= due_until and s.cron is not null
  order by s.plan_at
  limit max_count;
end
$$;
comment on function pgqueue._schedules_to_plan(int) is 'Of which schedules a worker has to work out the next instants, after which one, and what time it is for the server';

create function pgqueue._plan_schedules(plans jsonb)
  returns int
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  planned int;
begin
  update pgqueue.schedule s
  set next_at = case when p.error is null then p.instants[1]
                     -- What is due and cannot be told how often waits for a worker that can.
                     when s.planned_until > clock_timestamp() then s.next_at end,
      later_at = case when p.error is null then p.instants[2:] else s.later_at end,
      passed_over = case when p.error is null then coalesce(p.passed_over, 0) else s.passed_over end,
      planned_until = case when p.error is null then p.planned_until else s.planned_until end,
      -- Again each day, since the rules of time zones change; what cannot be evaluated, once an hour, for the worker may be upgraded.
      plan_at = case when p.error is not null then clock_timestamp() + interval '1 hour'
                     when p.planned_until = 'infinity' then null else clock_timestamp() + interval '1 day' end,
      error = coalesce(p.error, case when p.instants = '{}' and s.last_at is null then 'it has no instant before ends_at' end)
  from (select d.id
        from jsonb_to_recordset(plans) d (id bigint, revision bigint, consumed_until timestamptz)
        join pgqueue.schedule l on l.id = d.id and l.revision = d.revision and l.consumed_until = d.consumed_until and l.enabled
        order by d.id
        for update of l skip locked) locked
  join jsonb_to_recordset(plans) p (id bigint, revision bigint, consumed_until timestamptz, instants timestamptz[], passed_over int, planned_until timestamptz, error text)
    on p.id = locked.id
  where s.id = locked.id and s.revision = p.revision and s.consumed_until = p.consumed_until and s.enabled;
  get diagnostics planned = row_count;
  return planned;
end
$$;
comment on function pgqueue._plan_schedules(jsonb) is
  'Takes the instants that a worker has worked out, unless the schedule was changed or fired meanwhile. Returns how many it took';

create function pgqueue._forget_schedule_runs(older_than interval)
  returns void
  language sql volatile
  set search_path = pg_catalog, pg_temp
as $$
  delete from pgqueue.schedule_run r
  where r.id = any (array(select o.id from pgqueue.schedule_run o where o.fired_at < clock_timestamp() - older_than order by o.fired_at limit 10000))
$$;
comment on function pgqueue._forget_schedule_runs(interval) is 'Deletes the record of old runs, some at a time';

create function pgqueue._check_schedule(o pgqueue.schedule_order)
  returns void
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  if o.name is null or o.expression is null then
    raise exception '% cannot be NULL', case when o.name is null then 'name' else 'schedule' end using errcode = '22004';
  elsif trim(o.name) = '' or octet_length(o.name) > 255 then
    raise exception 'name of a schedule must have 1 to 255 bytes' using errcode = '22023', hint = 'Name it after what it does: nightly, digest.';
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
    perform pgqueue._check_options(o.sql, o.queue, o.priority, null, null, null, o.timeout, o.max_attempts, o.backoff, null);
    if array_ndims(o.params) > 1 then
      perform pgqueue._refuse_params();
    end if;
  else
    perform pgqueue._check_options('task', o.queue, o.priority, null, null, null, null, null, null, null);
    if trim(o.task) = '' then
      raise exception 'task cannot be empty' using errcode = '22023', hint = 'Give the name under which the task is registered.';
    elsif o.args is null or jsonb_typeof(o.args) <> 'array' then
      raise exception 'args must be a JSON array' using errcode = '22023', hint = 'For example jsonb_build_array(1, ''a'').';
    elsif o.kwargs is null or jsonb_typeof(o.kwargs) <> 'object' then
      raise exception 'kwargs must be a JSON object' using errcode = '22023', hint = 'For example jsonb_build_object(''name'', ''a'').';
    end if;
  end if;
  if not pgqueue._may_enter(o.role, o.queue, null) or o.queue like 'celeryev.%' then
    raise exception 'permission denied for queue "%"', o.queue using errcode = '42501', hint = 'Control commands and events are not scheduled.';
  elsif octet_length(o.label) > 10000 then
    raise exception 'label has more than 10000 bytes' using errcode = '54000', hint = 'A label is a short name.';
  elsif cardinality(o.params) > 65535 or octet_length(array_to_string(o.params, '')) > 16777216 then
    raise exception 'params are more than 65535 or have more than 16 MB' using errcode = '54000', hint = 'Put the data into a table first.';
  elsif octet_length(concat(o.args, o.kwargs)) > 16777216 then
    raise exception 'args and kwargs have more than 16 MB' using errcode = '54000', hint = 'Put the data into a table first.';
  elsif o.settings is not null and (jsonb_typeof(o.settings) <> 'object' or octet_length(o.settings::text) > 1000000 or jsonb_path_exists(o.settings, 'strict $.* ? (@.type() <> "string")')) then
    raise exception 'settings have not the shape that workers rely on' using errcode = '22023', hint = 'Use the functions of the schema pgqueue.';
  end if;
end
$$;
comment on function pgqueue._check_schedule(pgqueue.schedule_order) is 'Refuses a schedule that could not run';

create function pgqueue._put_schedule(o pgqueue.schedule_order)
  returns bigint
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  every interval;
  cron text;
  begins timestamptz := clock_timestamp();
  put_id bigint;
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
  if most > 0 and not pgqueue._is_operator(o.role) and (select count(*) from pgqueue.schedule s where s.owner = o.role and s.name <> o.name) >= most then
    raise exception 'role "%" has more schedules than one role may have', pg_get_userbyid(o.role)
      using errcode = '53400', hint = 'Remove some, or let the owner of the database raise pgqueue.max_schedules.';
  end if;
  insert into pgqueue.schedule as s (owner, name, expression, cron, every, timezone, sql, params, settings, timeout, max_attempts, backoff, task, args, kwargs, queue, priority, label,
                                     jitter, starts_at, ends_at, overlap, catch_up, anchor_at, consumed_until, next_at, planned_until, plan_at)
  values (o.role, o.name, o.expression, cron, every, o.timezone, o.sql, o.params, case when o.task is null then pgqueue._inherited(o.settings) end,
          case when o.task is null then coalesce(o.timeout, pgqueue._inherited_timeout(o.settings)) end, o.max_attempts, o.backoff, o.task, o.args, o.kwargs, o.queue, o.priority, o.label,
          o.jitter, o.starts_at, o.ends_at, coalesce(o.overlap, case when o.catch_up = 'all' then 'queue' else 'skip' end), o.catch_up,
          coalesce(o.starts_at, begins), begins,
          pgqueue._next_by_interval(coalesce(o.starts_at, begins), every, begins, o.ends_at),
          case when every is null then '-infinity' else 'infinity' end::timestamptz, case when every is null then clock_timestamp() end)
  on conflict on constraint schedule_name_is_unique_per_owner do update
  set expression = excluded.expression, sql = excluded.sql, params = excluded.params, settings = excluded.settings, timeout = excluded.timeout,
      max_attempts = excluded.max_attempts, backoff = excluded.backoff, task = excluded.task, args = excluded.args, kwargs = excluded.kwargs, queue = excluded.queue,
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

create function pgqueue._find_schedule(owner oid, name text)
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

create function pgqueue._carry_out_schedule()
  returns trigger
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  whose oid := coalesce(new.of_role::oid, new.role);
  s pgqueue.schedule;
begin
  perform pgqueue._require_home();
  -- Who hands in must be enrolled. What is another's, only administrators touch, and they do not change what it runs.
  if whose <> new.role and not coalesce(pg_has_role(new.role, 'pgqueue_admin', 'member'), false) then
    raise exception 'permission denied for schedules of role "%"', pg_get_userbyid(whose) using errcode = '42501', hint = 'Its owner and members of pgqueue_admin may do that.';
  elsif new.act in ('put', 'alter', 'resume', 'run') and not exists (select from pgqueue.role_key k where k.role = whose) then
    perform pgqueue._refuse_stranger(whose);
  end if;
  if new.act = 'put' then
    new.id := pgqueue._put_schedule(new);
    return new;
  end if;
  s := pgqueue._find_schedule(whose, new.name);
  new.id := s.id;
  case new.act
    when 'alter' then
      if num_nonnulls(new.sql, new.params, new.timeout, new.max_attempts, new.backoff) > 0 and s.task is not null
         or num_nonnulls(new.args, new.kwargs) > 0 and s.sql is not null then
        raise exception 'schedule "%" runs %', s.name, case when s.task is null then 'SQL' else 'a task' end
          using errcode = '22023', hint = 'Options of SQL are sql, params, timeout, max_attempts and backoff; those of a task args and kwargs.';
      end if;
      new.expression := coalesce(new.expression, s.expression);
      new.timezone := coalesce(new.timezone, s.timezone);
      new.sql := coalesce(new.sql, s.sql);
      new.params := coalesce(new.params, s.params);
      new.task := s.task;
      new.args := coalesce(new.args, s.args);
      new.kwargs := coalesce(new.kwargs, s.kwargs);
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
        -- What was due meanwhile was not wanted. That which has been fired does not come again, whatever the clock says.
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
create trigger carry_out instead of insert on pgqueue.schedule_order for each row execute function pgqueue._carry_out_schedule();

create function pgqueue.schedule(name text, schedule text, sql text, params text[] default null, timezone text default 'UTC', queue text default 'default',
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

create function pgqueue.schedule_task(name text, schedule text, task text, args jsonb default '[]', kwargs jsonb default '{}', timezone text default 'UTC',
                                      queue text default 'celery', priority int default 0, label text default null, jitter interval default null,
                                      starts_at timestamptz default null, ends_at timestamptz default null, overlap text default null,
                                      catch_up text default 'last')
  returns bigint
  language plpgsql volatile
as $$
#variable_conflict use_variable
declare
  made pg_catalog.int8;
begin
  insert into pgqueue.schedule_order (act, name, expression, timezone, task, args, kwargs, queue, priority, label, jitter, starts_at, ends_at, overlap, catch_up)
  values ('put', name, schedule, timezone, coalesce(task, ''), args, kwargs, queue, priority, label, jitter, starts_at, ends_at, overlap, catch_up)
  returning schedule_order.id into made;
  return made;
end
$$;
comment on function pgqueue.schedule_task(text, text, text, jsonb, jsonb, text, text, int, text, interval, timestamptz, timestamptz, text, text) is
  'Sends a Celery task by the clock, as pgqueue.send_task sends it once. A schedule of that name is replaced. Returns its number';

create function pgqueue.alter_schedule(name text, schedule text default null, sql text default null, params text[] default null, args jsonb default null,
                                       kwargs jsonb default null, timezone text default null, queue text default null, priority int default null,
                                       timeout interval default null, max_attempts int default null, backoff interval default null, label text default null,
                                       jitter interval default null, starts_at timestamptz default null, ends_at timestamptz default null,
                                       overlap text default null, catch_up text default null)
  returns void
  language plpgsql volatile
as $$
#variable_conflict use_variable
begin
  insert into pgqueue.schedule_order (act, name, expression, timezone, sql, params, args, kwargs, queue, priority, timeout, max_attempts, backoff, label, jitter,
                                      starts_at, ends_at, overlap, catch_up)
  values ('alter', name, schedule, timezone, sql, params, args, kwargs, queue, priority, timeout, max_attempts, backoff, label, jitter, starts_at, ends_at, overlap, catch_up);
end
$$;
comment on function pgqueue.alter_schedule(text, text, text, text[], jsonb, jsonb, text, text, int, interval, int, interval, text, interval, timestamptz, timestamptz, text, text) is
  'Changes what is given of a schedule, and leaves the rest, its settings among it, as it is';

create function pgqueue.unschedule(name text, owner regrole default null)
  returns void
  language plpgsql volatile
as $$
#variable_conflict use_variable
begin
  insert into pgqueue.schedule_order (act, name, of_role) values ('remove', name, owner);
end
$$;
comment on function pgqueue.unschedule(text, regrole) is 'Removes a schedule; what it has enqueued stays. owner: for administrators, whose it is';

create function pgqueue.pause_schedule(name text, owner regrole default null)
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

create function pgqueue.resume_schedule(name text, owner regrole default null)
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

create function pgqueue.run_schedule(name text, owner regrole default null)
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

create view pgqueue.schedules with (security_barrier) as
  select s.name, s.expression as schedule, s.timezone, s.next_at, s.last_at, s.last_message_id as last_job,
         case when s.last_message_id is null then null
              when m.id is not null then case when exists (select from pgqueue.activity a where a.id = m.id and a.token = m.token) then 'running' else 'queued' end
              else coalesce((select h.state::text from pgqueue.history h where h.id = s.last_message_id limit 1),
                            (select lower(t.state) from pgqueue.task_result t where t.task_id = s.last_task_id order by t.stored_at desc limit 1)) end as last_state,
         s.enabled, s.error, pg_get_userbyid(s.owner) as owner, s.id, case when s.task is null then 'job' else 'task' end as kind,
         case when pg_has_role(s.owner, 'member') then coalesce(pgqueue._cut(s.sql, 120), s.task) end as runs,
         s.queue, s.priority::int as priority, s.label, s.overlap, s.catch_up, s.jitter, s.starts_at, s.ends_at, s.created_at, s.changed_at
  from pgqueue.schedule s
  left join pgqueue.message m on m.id = s.last_message_id
  where pg_has_role(s.owner, 'member') or (select pg_has_role('pgqueue_monitor', 'member') or pg_has_role('pgqueue_admin', 'member'));
comment on view pgqueue.schedules is 'The schedules that the role may see: its own and those of roles it is a member of; all if it is a monitor or an administrator';

create view pgqueue.schedule_runs with (security_barrier) as
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
  'What became of each instant of the schedules that the role may see: enqueued, skipped (the run before had not ended), missed (nobody was there in time) or refused. Until retention';

grant select on pgqueue.schedules, pgqueue.schedule_runs to pgqueue_user, pgqueue_worker, pgqueue_monitor, pgqueue_admin;
-- Column by column: with a right on the whole of a view LOCK TABLE locks the tables under it.
grant insert (act, of_role, name, expression, timezone, sql, params, settings, task, args, kwargs, queue, priority, timeout, max_attempts, backoff, label, jitter,
              starts_at, ends_at, overlap, catch_up), select (id)
  on pgqueue.schedule_order to pgqueue_user, pgqueue_admin;
grant execute on function
  pgqueue.schedule(text, text, text, text[], text, text, int, interval, int, interval, text, interval, timestamptz, timestamptz, text, text),
  pgqueue.schedule_task(text, text, text, jsonb, jsonb, text, text, int, text, interval, timestamptz, timestamptz, text, text),
  pgqueue.alter_schedule(text, text, text, text[], jsonb, jsonb, text, text, int, interval, int, interval, text, interval, timestamptz, timestamptz, text, text)
  to pgqueue_user;
grant execute on function pgqueue.unschedule(text, regrole), pgqueue.pause_schedule(text, regrole), pgqueue.resume_schedule(text, regrole), pgqueue.run_schedule(text, regrole)
  to pgqueue_user, pgqueue_admin;
grant execute on function pgqueue._schedules_to_plan(int), pgqueue._plan_schedules(jsonb) to pgqueue_worker;
