-- after: locks, stats
-- Numbers for monitoring systems, at a cost that does not grow with the queue.

create or replace function pgqueue.backlog(queue text, max_count int default 10000)
  returns int
  language plpgsql stable security definer
  set search_path = pg_catalog, pg_temp
  -- Each part ends after max_count entries of its index, for any statistics.
  set enable_seqscan = off
  set enable_bitmapscan = off
as $$
declare
  -- These are values, not volatile calls, so the index scans can stop there.
  due_until timestamptz := clock_timestamp();
  jobs int;
begin
  if queue is null or octet_length(queue) not between 1 and 255 then
    raise exception 'queue name must have 1 to 255 bytes' using errcode = '22023';
  elsif max_count is null or max_count not between 1 and 1000000 then
    raise exception 'max_count must be between 1 and 1000000' using errcode = '22023',
      hint = 'Give a number that is enough for the largest number of workers.';
  end if;
  select (select count(*) from (select from pgqueue.message m
                                where m.queue = backlog.queue and m.kind in ('job', 'task') and m.state = 'ready' limit max_count) r)
       -- Without a worker nobody makes messages ready that are due or that a lost worker had, nor fires schedules.
       + (select count(*) from (select from pgqueue.message m
                                where m.state = 'delayed' and m.due_at <= due_until and m.queue = backlog.queue limit max_count) d)
       + (select count(*) from (select from pgqueue.message m where m.state = 'claimed' and m.queue = backlog.queue limit max_count) c)
       + (select count(*) from (select from pgqueue.schedule s
                                where s.enabled and s.next_at <= due_until and s.queue = backlog.queue limit max_count) f)
       + (select count(*) from (select from pgqueue.schedule s
                                where s.enabled and s.plan_at <= due_until and s.next_at is null and s.queue = backlog.queue limit max_count) p)
  into jobs;
  return least(jobs, max_count);
end
$$;
comment on function pgqueue.backlog(text, int) is
  'How much work workers of a queue have now, counted up to max_count: ready messages, delayed messages and schedules that are due, and messages that workers have. 0: no worker is needed. It reads ranges of indexes, and no more than max_count entries of the queue in each';
grant execute on function pgqueue.backlog(text, int) to pgqueue_worker, pgqueue_monitor, pgqueue_admin;

create or replace function pgqueue._count_messages()
  returns table (queue text, kind text, state text, messages bigint, is_exact boolean, oldest_at timestamptz)
  language sql stable security definer
  set search_path = pg_catalog, pg_temp
as $$
  select m.queue, m.kind::text, m.state::text, count(*), true, min(greatest(m.launched_at, m.due_at)) filter (where m.state = 'ready')
  from pgqueue.message m
  group by 1, 2, 3
$$;
comment on function pgqueue._count_messages() is 'Counts all messages by reading the table: for a small one';

create or replace function pgqueue._estimate_messages(percent float8, max_rows int, max_lines int)
  returns table (queue text, kind text, state text, messages bigint, is_exact boolean, oldest_at timestamptz)
  language plpgsql stable security definer
  set search_path = pg_catalog, pg_temp
  -- Its plan reads indexes in order, whatever the statistics say, so it is made once.
  set plan_cache_mode = force_generic_plan
  set enable_seqscan = off
  set enable_bitmapscan = off
  set max_parallel_workers_per_gather = 0
  set jit = off
as $$
#variable_conflict use_column
begin
  return query
  with recursive place as (
    -- The first message of each queue, kind, role and priority: one step of the index for each, however many messages follow.
    (select m.queue, m.kind, m.submitter, (9 - m.priority)::bigint as level
     from pgqueue.message m where m.state = 'ready'
     order by m.queue, m.kind, m.submitter, ((9 - m.priority)::bigint << 58 | m.id) limit 1)
    union all
    select n.*
    from place p
    cross join lateral (
      select m.queue, m.kind, m.submitter, (9 - m.priority)::bigint
      from pgqueue.message m
      where m.state = 'ready' and (m.queue, m.kind, m.submitter, ((9 - m.priority)::bigint << 58 | m.id)) >= (p.queue, p.kind, p.submitter, (p.level + 1) << 58)
      order by m.queue, m.kind, m.submitter, ((9 - m.priority)::bigint << 58 | m.id) limit 1
    ) n
  ), line as materialized (
    select * from place limit max_lines
  ), head as (
    select l.queue, l.kind, min(f.since) as oldest_at
    from line l
    cross join lateral (
      select greatest(m.launched_at, m.due_at) as since
      from pgqueue.message m
      where m.state = 'ready' and m.queue = l.queue and m.kind = l.kind and m.submitter = l.submitter
        and ((9 - m.priority)::bigint << 58 | m.id) >= l.level << 58
      order by ((9 - m.priority)::bigint << 58 | m.id) limit 5
    ) f
    group by l.queue, l.kind
  ), share as (
    select greatest(max_rows / greatest(count(*), 1), 10) as rows from head
  ), counted as (
    select h.queue, h.kind, 'ready'::pgqueue.message_state as state, h.oldest_at, c.n, c.n < s.rows as is_whole
    from head h
    cross join share s
    cross join lateral (
      select count(*) as n from (select from pgqueue.message m where m.state = 'ready' and m.queue = h.queue and m.kind = h.kind limit (select x.rows from share x)) r
    ) c
  ), delayed as materialized (
    select m.queue, m.kind, count(*) over () < max_rows as is_whole
    from (select d.queue, d.kind from pgqueue.message d where d.state = 'delayed' order by d.due_at limit max_rows) m
  ), claimed as materialized (
    select m.queue, m.kind, count(*) over () < max_rows as is_whole
    from (select c.queue, c.kind from pgqueue.message c where c.state = 'claimed' order by c.worker_id limit max_rows) m
  ), known as (
    select * from counted
    union all
    select d.queue, d.kind, 'delayed', null, count(*), bool_and(d.is_whole) from delayed d group by d.queue, d.kind
    union all
    select c.queue, c.kind, 'claimed', null, count(*), bool_and(c.is_whole) from claimed c group by c.queue, c.kind
  ), sampled as (
    -- With the same seed the same pages are read each time, so that they are in the cache and the estimate does not jump.
    select m.queue, m.kind, m.state, (count(*) * 100 / percent)::bigint as n
    from pgqueue.message m tablesample system (percent) repeatable (1)
    group by 1, 2, 3
  )
  select coalesce(k.queue, s.queue), coalesce(k.kind, s.kind)::text, coalesce(k.state, s.state)::text,
         case when k.is_whole then k.n else greatest(k.n, s.n) end, coalesce(k.is_whole, false), k.oldest_at
  from known k
  full join sampled s on s.queue = k.queue and s.kind = k.kind and s.state = k.state
  -- Of a state whose messages were all read, the sample says nothing new.
  where k.queue is not null
     or not case s.state when 'delayed' then coalesce((select bool_and(d.is_whole) from delayed d), true)
                         when 'claimed' then coalesce((select bool_and(c.is_whole) from claimed c), true)
                         else (select count(*) < max_lines from line) end;
end
$$;
comment on function pgqueue._estimate_messages(float8, int, int) is
  'Counts what a bounded range of an index shows whole, and estimates the rest from a sample of the pages of the table. max_rows: so many entries are read for each state; max_lines: of so many queues, roles and priorities the first messages are read';

create or replace function pgqueue._messages(max_pages int default 300, max_rows int default 1000)
  returns table (queue text, kind text, state text, messages bigint, is_exact boolean, oldest_at timestamptz)
  language plpgsql stable security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  pages bigint := pg_relation_size('pgqueue.message') / current_setting('block_size')::int;
begin
  if pages <= max_pages then
    return query select * from pgqueue._count_messages();
  else
    return query select * from pgqueue._estimate_messages(max_pages * 100.0 / pages, max_rows, 300);
  end if;
end
$$;
comment on function pgqueue._messages(int, int) is
  'The number of messages by queue, kind and state, and since when the first of the ready ones waits, for pgqueue exporter. is_exact: it was counted, not estimated';
grant execute on function pgqueue._messages(int, int) to pgqueue_monitor, pgqueue_admin;

create or replace function pgqueue._job_totals()
  returns table (queue text, succeeded bigint, failed bigint, canceled bigint, expired bigint, wait_seconds float8, run_seconds float8,
                 wait_counts bigint[], run_counts bigint[])
  language sql stable security definer
  set search_path = pg_catalog, pg_temp
as $$
  select t.queue, sum(t.completed)::bigint, sum(t.failed)::bigint, sum(t.canceled)::bigint, sum(t.expired)::bigint,
         sum(t.total_wait_ms) / 1000, sum(t.total_ms) / 1000, pgqueue._sum_counts(array_agg(t.wait_counts)), pgqueue._sum_counts(array_agg(t.run_counts))
  from pgqueue.stat_total t
  group by t.queue
$$;
comment on function pgqueue._job_totals() is
  'Jobs that ended, by queue, as upkeep has counted them last, with their waits and runs by the intervals of pgqueue._duration_bounds';
grant execute on function pgqueue._job_totals() to pgqueue_monitor, pgqueue_admin;

create or replace function pgqueue._used_queues()
  returns table (queue text, paused boolean, consumers bigint)
  language sql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
  select u.queue, bool_or(u.paused), sum(u.consumers)::bigint
  from (
    select s.name, s.paused, 0 from pgqueue.queue_switch s
    union all
    -- A worker that was killed keeps its row until another one does the upkeep.
    select q.name, false, (l.pid is not null)::int
    from pgqueue.worker w
    cross join lateral (select distinct n from unnest(w.queues) n) q (name)
    left join pgqueue._advisory_locks(pgqueue._lock_class('worker')) l on l.objid = w.id and l.pid = w.pid
  ) u (queue, paused, consumers)
  group by u.queue
$$;
comment on function pgqueue._used_queues() is 'The queues that workers take from, with the number of those that live, and those that an administrator has switched';
grant execute on function pgqueue._used_queues() to pgqueue_monitor, pgqueue_admin;

create or replace function pgqueue._schedule_lateness()
  returns table (active bigint, paused bigint, failing bigint, overdue bigint, seconds float8)
  language sql stable security definer
  set search_path = pg_catalog, pg_temp
as $$
  select count(*) filter (where s.enabled and s.error is null), count(*) filter (where not s.enabled), count(*) filter (where s.enabled and s.error is not null),
         count(*) filter (where s.enabled and s.next_at <= statement_timestamp()),
         coalesce(extract(epoch from statement_timestamp() - min(s.next_at) filter (where s.enabled and s.next_at <= statement_timestamp())), 0)::float8
  from pgqueue.schedule s
$$;
comment on function pgqueue._schedule_lateness() is 'How many schedules there are, how many are due and have not been fired, and for how long the first of them is due';
grant execute on function pgqueue._schedule_lateness() to pgqueue_monitor, pgqueue_admin;

create or replace function pgqueue._is_present(worker_id int)
  returns boolean
  language sql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
  select exists (
    select from pgqueue.worker w
    where w.id = worker_id and w.lost_at is null
      and exists (select from pgqueue._advisory_locks(pgqueue._lock_class('worker')) l where l.objid = w.id and l.pid = w.pid))
$$;
comment on function pgqueue._is_present(int) is 'Whether a worker is registered and its session holds the lock that proves that it is alive';
grant execute on function pgqueue._is_present(int) to pgqueue_worker;
