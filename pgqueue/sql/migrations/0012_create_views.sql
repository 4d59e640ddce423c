-- What users and operators look at, and the switches they have.

create function pgqueue._command_tag(sql text, row_count bigint)
  returns text
  language sql immutable
begin atomic
  -- In the batch lane the server tells how many rows, but not the tag. The first word, behind comments, says it for these.
  select case lower(w.word)
    when 'select' then 'SELECT ' || row_count
    when 'insert' then 'INSERT 0 ' || row_count
    when 'update' then 'UPDATE ' || row_count
    when 'delete' then 'DELETE ' || row_count
    when 'merge' then 'MERGE ' || row_count
    when 'refresh' then 'REFRESH MATERIALIZED VIEW'
    when 'truncate' then 'TRUNCATE TABLE'
    when 'notify' then 'NOTIFY'
    when 'call' then 'CALL'
    when 'do' then 'DO' end
  from (select substring(sql from E'^(?:\\s|--[^\n]*\n|/[*].*?[*]/)*([A-Za-z]+)')) w (word)
  where row_count is not null and strpos(rtrim(sql, E'; \t\r\n'), ';') = 0;
end;
comment on function pgqueue._command_tag(text, bigint) is 'The command tag of a statement that the batch lane has run; NULL when its text does not say it plainly';

create view pgqueue.jobs with (security_barrier) as
  select j.id, j.state, j.queue, j.priority::int as priority, j.label,
         case when pg_has_role(j.submitter, 'member') then pgqueue._cut(j.sql, 120) end as statement,
         pg_get_userbyid(j.submitter) as submitter, j.launched_at, j.eta, j.started_at, j.ended_at,
         (extract(epoch from coalesce(j.ended_at, case when j.state = 'running' then clock_timestamp() end) - j.started_at) * 1000)::float8 as duration_ms,
         j.attempts::int as attempts, j.max_attempts::int as max_attempts, j.worker, j.backend_pid, j.progress_pct,
         -- Statements, rows and values stand in whatever a job says, its errors among them. Why a job that was not begun waits, pgqueue says.
         case when pg_has_role(j.submitter, 'member') then j.progress_msg end as progress_msg,
         j.row_count as rows, coalesce(j.command_tags[cardinality(j.command_tags)], pgqueue._command_tag(j.sql, j.row_count)) as command_tag,
         j.error ->> 'sqlstate' as sqlstate,
         case when pg_has_role(j.submitter, 'member') or j.state = 'queued' and j.error ? 'deferrals' then j.error ->> 'message' end as error,
         case when pg_has_role(j.submitter, 'member') then j.error ->> 'detail' end as error_detail,
         case when pg_has_role(j.submitter, 'member') then j.error ->> 'hint' end as error_hint,
         case when pg_has_role(j.submitter, 'member') then j.error ->> 'context' end as error_context,
         -- Who has lost it, and may use it, finds it again.
         case when pg_has_role(j.submitter, 'member') then row(j.id, j.cookie)::pgqueue.handle end as handle
  from (
    select m.id, m.cookie, case when a.id is not null then 'running' else 'queued' end::pgqueue.job_state as state, m.queue, m.priority, m.label, m.sql,
           m.submitter, m.launched_at, m.due_at as eta, a.started_at, null::timestamptz as ended_at, m.attempts + (a.id is not null)::int as attempts,
           m.max_attempts, (select w.name from pgqueue.worker w where w.id = m.worker_id) as worker, a.backend_pid, a.progress_pct,
           a.progress_msg, null::bigint as row_count, null::text[] as command_tags, m.last_error as error
    from pgqueue.message m
    left join pgqueue.activity a on a.id = m.id and a.token = m.token
    where m.kind = 'job'
    union all
    select h.id, h.cookie, h.state, h.queue, h.priority, h.label, h.sql, h.submitter, h.launched_at, h.eta, h.started_at, h.ended_at, h.attempts,
           h.max_attempts, h.worker, h.backend_pid, h.progress_pct, h.progress_msg, h.row_count, h.command_tags, h.error
    from pgqueue.history h
  ) j
  where pg_has_role(j.submitter, 'member') or (select pg_has_role('pgqueue_monitor', 'member') or pg_has_role('pgqueue_admin', 'member'));
comment on view pgqueue.jobs is 'The jobs that the role may see: its own and those of roles it is a member of. Queued, running, and ended until retention';

create view pgqueue.stats as
  with me as materialized (select pgqueue._current_session_id() as session_id),
  ended as (
    select s.completed, s.failed, s.canceled, s.expired, s.timed_jobs, s.total_ms
    from pgqueue.stat_session s where s.session_id = (select session_id from me) and pg_has_role(s.submitter, 'member')
    union all
    select (u.state = 'succeeded')::int, (u.state = 'failed')::int, (u.state = 'canceled')::int, (u.state = 'expired')::int,
           (u.started_at is not null)::int, coalesce(extract(epoch from u.ended_at - u.started_at) * 1000, 0)
    from pgqueue.unfolded u where u.session_id = (select session_id from me) and pg_has_role(u.submitter, 'member')
  ),
  active as (select count(*) as n from pgqueue.message m
             -- As an array, so that the index alone tells: all jobs that wait may be this session's.
             where m.session_id = (select session_id from me) and m.submitter = any (array(select r.oid from pg_roles r where pg_has_role(r.oid, 'member'))))
  select (coalesce(sum(e.completed + e.failed + e.canceled + e.expired), 0) + (select n from active))::bigint as workers_launched,
         coalesce(sum(e.completed), 0)::bigint as workers_completed,
         coalesce(sum(e.failed + e.expired), 0)::bigint as workers_failed,
         coalesce(sum(e.canceled), 0)::bigint as workers_canceled,
         (select n from active)::int as workers_active,
         coalesce(sum(e.total_ms) / nullif(sum(e.timed_jobs), 0), 0)::float8 as avg_execution_ms,
         nullif(current_setting('pgqueue.max_workers', true), '')::int as max_workers
  from ended e;
comment on view pgqueue.stats is 'The jobs that this session handed in as the role that reads, or as one that it is a member of. Reads totals and what the session has unfinished, never the history';

create view pgqueue.stats_total with (security_barrier) as
  with ended as (
    select t.submitter, t.queue, t.completed, t.failed, t.canceled, t.expired, t.timed_jobs, t.total_ms from pgqueue.stat_total t
    union all
    select u.submitter, u.queue, (u.state = 'succeeded')::int, (u.state = 'failed')::int, (u.state = 'canceled')::int, (u.state = 'expired')::int,
           (u.started_at is not null)::int, coalesce(extract(epoch from u.ended_at - u.started_at) * 1000, 0)
    from pgqueue.unfolded u
    union all
    select m.submitter, m.queue, 0, 0, 0, 0, 0, 0 from pgqueue.activity a join pgqueue.message m on m.id = a.id and m.token = a.token
  ),
  active as (
    select m.submitter, m.queue, count(*) as n from pgqueue.activity a join pgqueue.message m on m.id = a.id and m.token = a.token group by m.submitter, m.queue
  )
  select pg_get_userbyid(e.submitter) as submitter, e.queue,
         (sum(e.completed + e.failed + e.canceled + e.expired) + coalesce(max(a.n), 0))::bigint as workers_launched,
         sum(e.completed)::bigint as workers_completed,
         sum(e.failed + e.expired)::bigint as workers_failed,
         sum(e.canceled)::bigint as workers_canceled,
         coalesce(max(a.n), 0)::int as workers_active,
         coalesce(sum(e.total_ms) / nullif(sum(e.timed_jobs), 0), 0)::float8 as avg_execution_ms,
         nullif(current_setting('pgqueue.max_workers', true), '')::int as max_workers
  from ended e
  left join active a on a.submitter = e.submitter and a.queue = e.queue
  where pg_has_role(e.submitter, 'member') or (select pg_has_role('pgqueue_monitor', 'member') or pg_has_role('pgqueue_admin', 'member'))
  group by e.submitter, e.queue;
comment on view pgqueue.stats_total is 'Jobs that workers took, by submitter and queue, since the installation or pgqueue.reset_stats. What only waits is in pgqueue.queues';

create view pgqueue.quotas with (security_barrier) as
  select pg_get_userbyid(k.role) as role, k.over_quota, u.messages, nullif(l.messages, 0) as max_messages, u.delayed, nullif(l.delayed, 0) as max_delayed,
         u.bytes / 1024 / 1024 as megabytes, nullif(l.megabytes, 0) as max_megabytes,
         (select count(*) from pgqueue.queue q where q.declared_by = k.role) as queues, l.queues as max_queues,
         (select count(*) from pgqueue.exchange e where e.declared_by = k.role) as exchanges, l.exchanges as max_exchanges,
         (select count(*) from pgqueue.binding b where b.declared_by = k.role) as bindings, l.bindings as max_bindings,
         u.counted_at
  from pgqueue.role_key k
  left join pgqueue.role_usage u on u.role = k.role
  cross join (select pgqueue._limit('max_messages', 0) as messages, pgqueue._limit('max_delayed', 0) as delayed, pgqueue._limit('max_megabytes', 0) as megabytes,
                     pgqueue._limit('max_queues', 1000) as queues, pgqueue._limit('max_exchanges', 1000) as exchanges,
                     pgqueue._limit('max_bindings', 1000) as bindings) l
  where pg_has_role(k.role, 'member') or pg_has_role('pgqueue_monitor', 'member') or pg_has_role('pgqueue_worker', 'member') or pg_has_role('pgqueue_admin', 'member');
comment on view pgqueue.quotas is
  'What each enrolled role has and may have (NULL: any number). Messages are counted by upkeep at counted_at, and only while one of their three quotas is set';

create view pgqueue.workers with (security_barrier) as
  select w.name as worker, w.started_at, w.last_seen_at,
         case when pg_is_in_recovery() then 'unknown'  -- a standby does not see the locks of the primary
              when exists (select from pgqueue._advisory_locks(pgqueue._lock_class('worker')) l where l.objid = w.id and l.pid = w.pid)
              then 'online' else 'lost' end as status,
         w.items_processed, w.last_run_at, w.executors,
         array(select a.id from pgqueue.activity a join pgqueue.message m on m.id = a.id and m.token = a.token
               where a.worker_id = w.id
                 and (pg_has_role(m.submitter, 'member')
                      or (select pg_has_role('pgqueue_monitor', 'member') or pg_has_role('pgqueue_worker', 'member') or pg_has_role('pgqueue_admin', 'member')))
               order by a.started_at) as running,
         case when (select pg_has_role('pgqueue_monitor', 'member') or pg_has_role('pgqueue_worker', 'member') or pg_has_role('pgqueue_admin', 'member'))
              then w.queues end as queues
  from pgqueue.worker w;
comment on view pgqueue.workers is
  'Processes that consume: Celery workers, and programs that listen to events or replies. running: the jobs they run now, of those that the role may see. queues: for monitors, workers and administrators';

create view pgqueue.queues with (security_barrier) as
  with me as materialized (
    select pg_has_role('pgqueue_monitor', 'member') or pg_has_role('pgqueue_worker', 'member') or pg_has_role('pgqueue_admin', 'member') as sees_all
  ), visible as (
    select m.queue, m.state, m.launched_at from pgqueue.message m where (select me.sees_all from me) or pg_has_role(m.submitter, 'member')
  )
  select n.queue, coalesce(c.ready, 0) as ready, coalesce(c.delayed, 0) as delayed, coalesce(c.claimed, 0) as claimed, c.oldest_ready_at,
         coalesce(q.paused, false) as paused,
         (select count(*) from pgqueue.worker w where n.queue = any (w.queues)) as consumers,
         coalesce(q.durability, 'sync') as durability
  from (
    select name as queue from pgqueue.queue_switch where (select me.sees_all from me)
    union
    select name from pgqueue.queue where (select me.sees_all from me) or declared_by <> 0 and pg_has_role(declared_by, 'member')
    union
    select distinct queue from visible
  ) n
  left join pgqueue.queue_switch q on q.name = n.queue
  left join (
    select v.queue, count(*) filter (where v.state = 'ready') as ready, count(*) filter (where v.state = 'delayed') as delayed,
           count(*) filter (where v.state = 'claimed') as claimed, min(v.launched_at) filter (where v.state = 'ready') as oldest_ready_at
    from visible v
    group by v.queue
  ) c on c.queue = n.queue;
comment on view pgqueue.queues is
  'What waits in each queue. Counts the messages that the role may see: its own and those of roles it is a member of; monitors, workers and administrators see all';

create function pgqueue._task_name(payload json)
  returns text
  language plpgsql stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  return left(payload -> 'headers' ->> 'task', 255);
exception when others then
  return null;  -- one that nests too deeply, say
end
$$;
comment on function pgqueue._task_name(json) is 'The task that a message calls; NULL: it is none, or cannot be read';

create function pgqueue._peek(queue text, max_count int)
  returns table (id bigint, kind text, name text, state text, submitter text, priority int, launched_at timestamptz, eta timestamptz, deliveries int)
  language sql stable security definer
  set search_path = pg_catalog, pg_temp
as $$
  select w.id, w.kind::text, case w.kind when 'job' then w.label else pgqueue._task_name(w.payload) end, w.state::text,
         pg_get_userbyid(w.submitter), w.priority::int, w.launched_at, w.due_at, w.deliveries::int
  from (
    select n.* from unnest(pgqueue._ready_roles('job', _peek.queue, 0, max_count, null)) r (role) cross join lateral
      (select m.*, row_number() over (order by pgqueue._rank(m.priority, m.id)) as turn from pgqueue.message m
       where m.queue = _peek.queue and m.kind = 'job' and m.state = 'ready' and m.submitter = r.role order by pgqueue._rank(m.priority, m.id) limit max_count) n
    union all
    select n.* from unnest(pgqueue._ready_roles('task', _peek.queue, 0, max_count, null)) r (role) cross join lateral
      (select m.*, row_number() over (order by pgqueue._rank(m.priority, m.id)) as turn from pgqueue.message m
       where m.queue = _peek.queue and m.kind = 'task' and m.state = 'ready' and m.submitter = r.role order by pgqueue._rank(m.priority, m.id) limit max_count) n
    union all
    (select m.*, 0 from pgqueue.message m where m.queue = _peek.queue and m.state = 'delayed' order by m.due_at limit max_count)
  ) w
  order by w.state = 'delayed', case when w.state = 'delayed' then w.due_at end, w.turn, pgqueue._rank(w.priority, w.id)
  limit max_count
$$;
comment on function pgqueue._peek(text, int) is
  'What waits in a queue, in the order in which it is handed out; it stays there. The labels of jobs and the names of tasks, no statements and no arguments. For operators';

create function pgqueue._knows_queue(queue text)
  returns boolean
  language sql stable security definer
  set search_path = pg_catalog, pg_temp
begin atomic
  -- The first two are what launch and send_task use.
  select queue in ('default', 'celery')
      or exists (select from pgqueue.queue_switch q where q.name = _knows_queue.queue)
      or exists (select from pgqueue.queue d where d.name = _knows_queue.queue)
      or exists (select from pgqueue.worker w where _knows_queue.queue = any (w.queues))
      or exists (select from pgqueue.message m where m.queue = _knows_queue.queue);
end;
comment on function pgqueue._knows_queue(text) is 'Whether a queue was declared or set up, a worker takes from it, or a message is in it. Any other may come to be; or its name is a slip';

create function pgqueue._has_takers(queue text)
  returns boolean
  language sql stable security definer
  set search_path = pg_catalog, pg_temp
begin atomic
  -- Which queues a worker consumes the view pgqueue.workers shows to operators only. A standby does not see the locks of the primary.
  select exists (
    select from pgqueue.worker w
    where w.executors > 0 and _has_takers.queue = any (w.queues)
      and (pg_is_in_recovery()
           or exists (select from pgqueue._advisory_locks(pgqueue._lock_class('worker')) l where l.objid = w.id and l.pid = w.pid)));
end;
comment on function pgqueue._has_takers(text) is 'Whether a live worker runs jobs of a queue. Anybody who hands in may ask that of a name that it knows';

create function pgqueue._set_paused(queue text, paused boolean)
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

create function pgqueue.pause(queue text)
  returns boolean
  language sql volatile security definer
begin atomic
  select pgqueue._set_paused(queue, true);
end;
comment on function pgqueue.pause(text) is 'Workers take nothing more from this queue; what runs goes on. False: it was paused already. A NOTICE says so if nobody knows the queue yet';

create function pgqueue.resume(queue text)
  returns boolean
  language sql volatile security definer
begin atomic
  select pgqueue._set_paused(queue, false);
end;
comment on function pgqueue.resume(text) is 'Ends a pause. False: the queue was not paused';

create function pgqueue.set_durability(queue text, durability text)
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
  'How jobs of a queue commit that do not say so themselves: sync, or async (a crash of the server undoes the last moments)';

create function pgqueue.reset_stats()
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform from pgqueue.stat_fold for update;
  perform pgqueue._fold_stats();
  delete from pgqueue.stat_total;
end
$$;
comment on function pgqueue.reset_stats() is 'Sets pgqueue.stats_total to zero';
