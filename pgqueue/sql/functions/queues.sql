-- after: locks
-- Queues for operators: lengths, contents, pause, durability, purge, expiry.

create or replace view pgqueue.own_task with (security_barrier) as
  select m.queue
  from pgqueue.message m
  where m.kind = 'task' and m.state = 'ready' and (m.limit_key is null or m.limit_key is not null)  -- an index for each
    and (pg_has_role(m.submitter, 'member') or (select pg_has_role('pgqueue_worker', 'member') or pg_has_role('pgqueue_admin', 'member')));
comment on view pgqueue.own_task is 'The queues of the ready tasks of the role that runs and of roles it is a member of; of all if it is a worker or an administrator';
grant select on pgqueue.own_task to pgqueue_user;

create or replace function pgqueue._queue_size(queue text)
  returns int
  language sql stable
begin atomic
  select count(*)::int from pgqueue.own_task t where t.queue = _queue_size.queue;
end;
comment on function pgqueue._queue_size(text) is
  'How many tasks of a queue are ready: those that the caller has sent; for workers and administrators, all';
grant execute on function pgqueue._queue_size(text) to pgqueue_user, pgqueue_worker;

create or replace function pgqueue._purge(queue text)
  returns int
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  purged int;
begin
  with gone as (
    -- Messages stay that tell a worker to end the chord of a task that was purged before.
    delete from pgqueue.message m
    where m.id = any (array(
      select q.id from pgqueue.message q
      where q.queue = _purge.queue and q.kind = 'task' and q.state <> 'claimed' and pgqueue._text_in(q.payload, '{headers,pgqueue_end,state}') is null
      order by q.id
      for update))
    returning m as message
  )
  select count(pgqueue._revoke_task(g.message, 'the queue was purged')) into purged from gone g;
  return purged;
end
$$;
comment on function pgqueue._purge(text) is
  'Deletes the tasks of a queue that no worker has: they end as REVOKED. SQL jobs stay, and can be canceled';
grant execute on function pgqueue._purge(text) to pgqueue_worker;

create or replace function pgqueue._expire_queues()
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  unused record;
begin
  update pgqueue.queue q set used_at = clock_timestamp()
  where q.id = any (array(
    select u.id from pgqueue.queue u
    where u.expires_after is not null and u.used_at < clock_timestamp() - u.expires_after / 2
      and exists (select from pgqueue.worker w where u.name = any (w.queues))
    for update of u skip locked));
  for unused in
    select q.declared_by, q.name from pgqueue.queue q
    where q.expires_after is not null and q.used_at < clock_timestamp() - q.expires_after
      -- A queue that has been declared otherwise since is kept.
      and not exists (select from pgqueue.queue n where n.name = q.name and n.declared_by = q.declared_by and n.id > q.id)
    for update skip locked
  loop
    perform pgqueue._give_up_queue(unused.declared_by, unused.name);
  end loop;
end
$$;
comment on function pgqueue._expire_queues() is 'Deletes queues that have had no consumer for as long as their x-expires';

create or replace view pgqueue.queues with (security_barrier) as
  with me as materialized (
    select pg_has_role('pgqueue_monitor', 'member') or pg_has_role('pgqueue_worker', 'member') or pg_has_role('pgqueue_admin', 'member') as sees_all
  ), visible as (
    select m.queue, m.state, m.launched_at from pgqueue.message m where (select me.sees_all from me) or pg_has_role(m.submitter, 'member')
  )
  select n.queue, coalesce(c.ready, 0) as ready, coalesce(c.delayed, 0) as delayed, coalesce(c.claimed, 0) as claimed, c.oldest_ready_at,
         coalesce(q.paused, false) as paused,
         (select count(*) from pgqueue.worker w where n.queue = any (w.queues)) as consumers,
         coalesce(q.durability, 'sync') as durability,
         coalesce((select max(g.value::int) from pgqueue.configured g where g.queue = n.queue and g.setting = 'group_commit' and g.role = 0),
                  (select max(g.value::int) from pgqueue.configured g where g.queue = n.queue and g.setting = 'group_commit' and ((select me.sees_all from me) or pg_has_role(g.role, 'member'))),
                  1) as group_commit,
         coalesce(c.waiting, 0) as waiting
  from (
    select name as queue from pgqueue.queue_switch where (select me.sees_all from me)
    union
    select queue from pgqueue.configured where (select me.sees_all from me) or role <> 0 and pg_has_role(role, 'member')
    union
    select name from pgqueue.queue where (select me.sees_all from me) or declared_by <> 0 and pg_has_role(declared_by, 'member')
    union
    select distinct queue from visible
  ) n
  left join pgqueue.queue_switch q on q.name = n.queue
  left join (
    select v.queue, count(*) filter (where v.state = 'ready') as ready, count(*) filter (where v.state = 'delayed') as delayed,
           count(*) filter (where v.state = 'claimed') as claimed, count(*) filter (where v.state = 'waiting') as waiting, min(v.launched_at) filter (where v.state = 'ready') as oldest_ready_at
    from visible v
    group by v.queue
  ) c on c.queue = n.queue;
comment on view pgqueue.queues is
  'The number of messages in each queue. A role counts its own messages and those of roles that it is a member of; monitors, workers and administrators count all';
comment on column pgqueue.queues.queue is 'The name of the queue';
comment on column pgqueue.queues.ready is 'How many messages a worker could take now';
comment on column pgqueue.queues.delayed is 'How many messages are not due yet';
comment on column pgqueue.queues.claimed is 'How many messages workers have: running ones and prefetched ones';
comment on column pgqueue.queues.oldest_ready_at is 'When the oldest ready message was submitted. NULL: none is ready';
comment on column pgqueue.queues.paused is 'Whether workers take no messages from the queue (pgqueue.pause)';
comment on column pgqueue.queues.consumers is 'How many registered workers and other processes take from the queue';
comment on column pgqueue.queues.durability is 'How jobs commit that name no durability: sync or async';
comment on column pgqueue.queues.group_commit is 'The largest number of jobs of one role that share a transaction; 1: each has its own';
comment on column pgqueue.queues.waiting is 'How many jobs and tasks wait for the end of jobs';
grant select on pgqueue.queues to pgqueue_user, pgqueue_worker, pgqueue_monitor, pgqueue_admin;

create or replace function pgqueue._task_name(payload json)
  returns text
  language plpgsql stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  return left(payload -> 'headers' ->> 'task', 255);
exception when others then
  return null;  -- The JSON may, for example, be nested too deeply.
end
$$;
comment on function pgqueue._task_name(json) is 'The name of the task that a message calls; NULL: it is no task, or cannot be read';

create or replace function pgqueue._peek(queue text, max_count int)
  returns table (id bigint, kind text, name text, state text, submitter text, priority int, launched_at timestamptz, eta timestamptz, deliveries int)
  language sql stable security definer
  set search_path = pg_catalog, pg_temp
as $$
  select w.id, w.kind::text, case w.kind when 'job' then w.label else pgqueue._task_name(w.payload) end, w.state::text,
         pg_get_userbyid(w.submitter), w.priority::int, w.launched_at, w.due_at, w.deliveries::int
  from (
    select n.* from unnest(pgqueue._ready_roles('job', _peek.queue, 0, max_count, null)) r (role) cross join lateral
      (select m.*, row_number() over (order by pgqueue._rank(m.priority, m.id)) as turn from pgqueue.message m
       where m.queue = _peek.queue and m.kind = 'job' and m.state = 'ready' and m.limit_key is null and m.submitter = r.role order by pgqueue._rank(m.priority, m.id) limit max_count) n
    union all
    select n.* from unnest(pgqueue._ready_roles('task', _peek.queue, 0, max_count, null)) r (role) cross join lateral
      (select m.*, row_number() over (order by pgqueue._rank(m.priority, m.id)) as turn from pgqueue.message m
       where m.queue = _peek.queue and m.kind = 'task' and m.state = 'ready' and m.limit_key is null and m.submitter = r.role order by pgqueue._rank(m.priority, m.id) limit max_count) n
    union all
    select n.*
    from unnest('{job,task}'::pgqueue.message_kind[]) k (kind)
    cross join lateral unnest(pgqueue._keyed_roles(k.kind, _peek.queue)) r (role)
    cross join lateral unnest(pgqueue._keys_after(k.kind, _peek.queue, r.role, '', max_count)) l (limit_key)
    cross join lateral (
      select m.*, row_number() over (order by pgqueue._rank(m.priority, m.id)) as turn from pgqueue.message m
      where m.queue = _peek.queue and m.kind = k.kind and m.state = 'ready' and m.limit_key is not null and m.submitter = r.role and m.limit_key = l.limit_key
      order by pgqueue._rank(m.priority, m.id) limit max_count) n
    union all
    (select m.*, 0 from pgqueue.message m where m.queue = _peek.queue and m.state = 'delayed' order by m.due_at limit max_count)
  ) w
  order by w.state = 'delayed', case when w.state = 'delayed' then w.due_at end, w.turn, pgqueue._rank(w.priority, w.id)
  limit max_count
$$;
comment on function pgqueue._peek(text, int) is
  'The waiting messages of a queue in the order of delivery; they stay there. The labels of jobs and the names of tasks, no statements and no arguments. For operators';
grant execute on function pgqueue._peek(text, int) to pgqueue_worker, pgqueue_monitor, pgqueue_admin;

create or replace function pgqueue._knows_queue(queue text)
  returns boolean
  language sql stable security definer
  set search_path = pg_catalog, pg_temp
begin atomic
  -- launch and send_task use the first two.
  select queue in ('default', 'celery')
      or exists (select from pgqueue.queue_switch q where q.name = _knows_queue.queue)
      or exists (select from pgqueue.queue d where d.name = _knows_queue.queue)
      or exists (select from pgqueue.configured c where c.queue = _knows_queue.queue)
      or exists (select from pgqueue.worker w where _knows_queue.queue = any (w.queues))
      or exists (select from pgqueue.message m where m.queue = _knows_queue.queue);
end;
comment on function pgqueue._knows_queue(text) is
  'Whether a queue was declared or set up, a worker takes from it, or a message is in it. Another name may be a future queue or a typing error';
grant execute on function pgqueue._knows_queue(text) to pgqueue_admin;

create or replace function pgqueue._has_takers(queue text)
  returns boolean
  language sql stable security definer
  set search_path = pg_catalog, pg_temp
begin atomic
  -- Only operators see in pgqueue.workers which queues a worker consumes. A standby does not see the locks of the primary.
  select exists (
    select from pgqueue.worker w
    where (w.executors > 0 or w.relays_jobs) and 'job' = any (w.kinds) and _has_takers.queue = any (w.queues)
      and (pg_is_in_recovery()
           or exists (select from pgqueue._advisory_locks(pgqueue._lock_class('worker')) l where l.objid = w.id and l.pid = w.pid)));
end;
comment on function pgqueue._has_takers(text) is
  'Whether a live worker runs jobs of a queue, or a relay passes them to workers. Any role that may submit jobs may ask, for a name that it knows';
grant execute on function pgqueue._has_takers(text) to pgqueue_user, pgqueue_worker, pgqueue_monitor, pgqueue_admin;

create or replace function pgqueue._has_task_takers(queue text)
  returns boolean
  language sql stable security definer
  set search_path = pg_catalog, pg_temp
begin atomic
  select exists (
    select from pgqueue.worker w
    where 'task' = any (w.kinds) and _has_task_takers.queue = any (w.queues)
      and (pg_is_in_recovery()
           or exists (select from pgqueue._advisory_locks(pgqueue._lock_class('worker')) l where l.objid = w.id and l.pid = w.pid)));
end;
comment on function pgqueue._has_task_takers(text) is
  'Whether a live worker or relay takes the Celery tasks of a queue. Any role that may submit jobs may ask, for a name that it knows';
grant execute on function pgqueue._has_task_takers(text) to pgqueue_user, pgqueue_worker, pgqueue_monitor, pgqueue_admin;

create or replace function pgqueue._set_paused(queue text, paused boolean)
  returns boolean
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  changed boolean;
begin
  if queue is null or octet_length(queue) not between 1 and 255 then
    raise exception 'queue name must have 1 to 255 bytes' using errcode = '22023';
  end if;
  if not pgqueue._knows_queue(queue) then
    if not paused then
      raise notice 'queue "%" is not known', queue using hint = 'The view pgqueue.queues lists those that are.';
      return false;
    end if;
    raise notice 'no message and no worker knows queue "%" yet', queue using hint = 'It is paused for those that come. If the name was a slip, resume it.';
  end if;
  insert into pgqueue.queue_switch as q (name, paused) values (_set_paused.queue, _set_paused.paused)
  on conflict (name) do update set paused = excluded.paused where q.paused <> excluded.paused;
  changed := found;
  if not paused then
    perform pgqueue._wake(queue);
  end if;
  return changed;
end
$$;
comment on function pgqueue._set_paused(text, boolean) is 'Pauses or resumes a queue';

create or replace function pgqueue.pause(queue text)
  returns boolean
  language sql volatile security definer
begin atomic
  select pgqueue._set_paused(queue, true);
end;
comment on function pgqueue.pause(text) is 'Stops workers from taking messages of a queue. Running jobs continue. False: the queue was paused already. A NOTICE says so if no message and no worker knows the queue yet';
grant execute on function pgqueue.pause(text) to pgqueue_admin;

create or replace function pgqueue.resume(queue text)
  returns boolean
  language sql volatile security definer
begin atomic
  select pgqueue._set_paused(queue, false);
end;
comment on function pgqueue.resume(text) is 'Ends the pause of a queue. False: the queue was not paused';
grant execute on function pgqueue.resume(text) to pgqueue_admin;

create or replace function pgqueue.set_durability(queue text, durability text)
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  if queue is null or octet_length(queue) not between 1 and 255 then
    raise exception 'queue name must have 1 to 255 bytes' using errcode = '22023';
  elsif durability is null or durability not in ('sync', 'async') then
    raise exception 'durability "%" is not known', durability using errcode = '22023', hint = 'It is sync (the default) or async.';
  end if;
  insert into pgqueue.queue_switch as q (name, durability) values (set_durability.queue, set_durability.durability)
  on conflict (name) do update set durability = excluded.durability;
end
$$;
comment on function pgqueue.set_durability(text, text) is
  'Sets how jobs of a queue commit that name no durability: sync, or async, where a crash of the server may undo the last 0.6 s';
grant execute on function pgqueue.set_durability(text, text) to pgqueue_admin;
