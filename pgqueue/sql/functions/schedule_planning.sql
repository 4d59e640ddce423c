-- When schedules are due next. Workers work out the instants of cron ahead, since the server knows only how to compare them.

create or replace function pgqueue._overdue_schedule()
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

create or replace function pgqueue._seconds_to_next_schedule(overdue_before timestamptz)
  returns float8
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  seen_at timestamptz := clock_timestamp();
  overdue timestamptz := (select s.next_at from pgqueue.schedule s
                          where s.enabled and s.next_at <= seen_at and (s.catch_up = 'all' or s.planned_until > seen_at) order by s.next_at limit 1);
begin
  -- A schedule that another session has locked is tried again after 0.2 s. A schedule that waits for its plan is fired when it has one.
  return least(case when overdue = overdue_before then 0.2 when overdue is not null then 0 end,
               (select extract(epoch from s.next_at - clock_timestamp())::float8 from pgqueue.schedule s
                where s.enabled and s.next_at > seen_at order by s.next_at limit 1));
end
$$;
comment on function pgqueue._seconds_to_next_schedule(timestamptz) is
  'How long until a schedule is due; NULL: none will be. overdue_before: what was due before the last look, and then perhaps still is';

create or replace function pgqueue._has_schedules_to_plan()
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

create or replace function pgqueue._tick_schedules()
  returns table (seconds_to_next_schedule float8, has_schedules_to_plan boolean)
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  overdue_schedule timestamptz := pgqueue._overdue_schedule();
begin
  if overdue_schedule is not null then
    perform pgqueue._try_upkeep('schedules');
  end if;
  return query select pgqueue._seconds_to_next_schedule(overdue_schedule), pgqueue._has_schedules_to_plan();
end
$$;
comment on function pgqueue._tick_schedules() is 'The part of the upkeep that a Celery beat does, and when it is to call again. A beat is no worker and has no heartbeat';
grant execute on function pgqueue._tick_schedules() to pgqueue_worker;

create or replace function pgqueue._schedules_to_plan(max_count int)
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
grant execute on function pgqueue._schedules_to_plan(int) to pgqueue_worker;

create or replace function pgqueue._plan_schedules(plans jsonb)
  returns int
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  planned int;
begin
  update pgqueue.schedule s
  set next_at = case when p.error is null then p.instants[1]
                     -- A schedule that is due, but whose instants this worker cannot evaluate, waits for a worker that can.
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
grant execute on function pgqueue._plan_schedules(jsonb) to pgqueue_worker;
