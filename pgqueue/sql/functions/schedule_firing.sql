-- after: celery_repr, cron_syntax, message, publish, schedule_sending, send_task
-- Firing: what is due is enqueued, noted and advanced in one transaction, by any worker's upkeep.

create or replace function pgqueue._schedule_grace()
  returns interval
  language sql immutable
  return interval '1 minute';
comment on function pgqueue._schedule_grace() is 'How late a run may be before it counts as missed, which catch_up decides on';

create or replace function pgqueue._due_instants(s pgqueue.schedule, due_until timestamptz, out instants timestamptz[], out latest timestamptz, out missed int)
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

create or replace function pgqueue._fire(ids bigint[], due_until timestamptz, is_manual boolean, refusal text)
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
    select s.*, d.instants, d.latest, d.missed, t.queues, k.role is not null as is_enrolled,
           coalesce(refusal, case when t.queues = '{}' then concat('exchange "', s.sending ->> 'exchange', '" has no queue for the routing key "', s.queue, '"') end, case when k.over_quota is not null and not coalesce(pg_has_role(s.owner, 'pgqueue_worker', 'member') or pg_has_role(s.owner, 'pgqueue_admin', 'member'), false)
                                  then concat('the role has more ', k.over_quota, ' than one role may have') end) as refused_as,
           s.overlap = 'skip' and exists (select from pgqueue.message m where m.id = s.last_message_id) as is_running
    from pgqueue.schedule s
    -- In a restored database a role may be missing whose name is still known (pgqueue._repair_home).
    left join (pgqueue.role_key k join pg_roles o on o.oid = k.role) on k.role = s.owner
    cross join lateral (select case when s.sending ->> 'exchange' <> '' then array(select q.queue from pgqueue._route(s.sending ->> 'exchange', s.queue, s.owner) q)
                                    else array[s.queue] end) t (queues)
    cross join lateral (select * from pgqueue._due_instants(s, due_until) i where not is_manual
                        union all select array[due_until], s.consumed_until, 0 where is_manual) d
    where s.id = any (ids)
  ), run as materialized (
    select d.id, d.owner, d.name, i.instant, case when i.n = 1 then d.missed else 0 end as missed, d.refused_as as error,
           case when d.refused_as is not null then 'refused' when d.is_running then 'skipped' else 'enqueued' end as outcome,
           pgqueue._random_bigint() as cookie, case when d.task is not null then coalesce(d.sending ->> 'task_id', gen_random_uuid()::text) end as task_id,
           pgqueue._send_at(d.sending, case when d.jitter > interval '0' and not is_manual then d.jitter * random() end) as due_at, i.n
    from due d
    cross join lateral unnest(d.instants) with ordinality i (instant, n)
    where d.is_enrolled
    union all
    select d.id, d.owner, d.name, d.latest, d.missed, null, 'missed', null, null, null, 1
    from due d
    where d.is_enrolled and d.instants = '{}'
  ), sent as (
    insert into pgqueue.inbox (submitter, cookie, due_at, expires_at, kind, state, priority, max_attempts, queue, sql, params, settings, timeout, backoff, label, payload)
    select d.owner, r.cookie, r.due_at, case when d.sending is not null then pgqueue._expire_at(d.sending, r.due_at, q.queue, d.owner) end, case when d.task is null then 'job' else 'task' end::pgqueue.message_kind,
           case when r.due_at is null then 'ready' else 'delayed' end::pgqueue.message_state, d.priority, d.max_attempts, q.queue, d.sql, d.params, d.settings,
           d.timeout, d.backoff, d.label,
           case when d.task is null then null
                when d.sending is not null then pgqueue._message_to_send(d.sending, d.task, d.args, d.kwargs, d.queue, d.priority, r.due_at, r.task_id)
                when r.due_at is null then pgqueue._plain_task_message(d.task, d.args, d.kwargs, d.queue, d.priority, r.task_id, false)
                else pgqueue._task_message(d.task, d.args, d.kwargs, d.queue, d.priority, r.due_at, null, r.task_id, null, false, null, null) end
    from run r
    join due d on d.id = r.id
    cross join lateral unnest(d.queues) q (queue)
    where r.outcome = 'enqueued'
    order by r.instant, r.id
    returning id, cookie, queue, due_at
  ), first_sent as (
    -- An exchange may have put one run into several queues.
    select s.cookie, min(s.id) as id from sent s group by s.cookie
  ), noted as (
    insert into pgqueue.schedule_run (schedule_id, owner, name, due_at, fired_at, outcome, missed, is_manual, message_id, task_id, error)
    select r.id, r.owner, r.name, r.instant, clock_timestamp(), r.outcome, r.missed, is_manual, s.id, case when s.id is not null then r.task_id end, r.error
    from run r
    left join first_sent s on s.cookie = r.cookie
    order by r.instant, r.id
  ), last_sent as (
    select distinct on (r.id) r.id, r.instant, r.task_id, s.id as message_id
    from run r join first_sent s on s.cookie = r.cookie
    order by r.id, r.n desc
  ), changed as (
    update pgqueue.schedule s
    set enabled = s.enabled and d.is_enrolled,
        error = case when d.is_enrolled then s.error else pgqueue._owner_fault(s.owner) end,
        -- After a pause the schedule begins with the instants that are due then.
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

create or replace function pgqueue._owner_fault(role oid)
  returns text
  language sql stable
begin atomic
  select coalesce((select 'paused: role "' || r.rolname || '" is not enrolled in pgqueue' from pg_roles r where r.oid = role), 'paused: its owner does not exist any more');
end;
comment on function pgqueue._owner_fault(oid) is 'Why the schedules of a role that may not submit are paused';

create or replace function pgqueue._pause_schedules_of(role oid)
  returns void
  language sql volatile
  set search_path = pg_catalog, pg_temp
as $$
  update pgqueue.schedule s set enabled = false, error = pgqueue._owner_fault(s.owner) where s.owner = _pause_schedules_of.role and s.enabled
$$;
comment on function pgqueue._pause_schedules_of(oid) is 'Pauses the schedules of a role that may no longer submit, and records why';

create or replace function pgqueue._fire_schedules(max_count int)
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

create or replace function pgqueue._forget_schedule_runs(older_than interval)
  returns void
  language sql volatile
  set search_path = pg_catalog, pg_temp
as $$
  delete from pgqueue.schedule_run r
  where r.id = any (array(select o.id from pgqueue.schedule_run o where o.fired_at < clock_timestamp() - older_than order by o.fired_at limit 10000))
$$;
comment on function pgqueue._forget_schedule_runs(interval) is 'Deletes the record of old runs, some at a time';
