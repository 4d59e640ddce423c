-- after: jobs, failed_jobs, job_orders, worker
-- The search in jobs for the pages of operators: a page at a time, newest first, each page within a bounded time. It reads indexes that
-- exist anyway, so no job pays for it.

create or replace view pgqueue.job_content with (security_barrier) as
  -- This is apart from pgqueue.jobs, so that a list of jobs reads none of it.
  select j.id, case when pg_has_role(j.submitter, 'member') then j.sql end as statement,
         case when pg_has_role(j.submitter, 'member') then coalesce(j.params, f.params) end as params,
         case when pg_has_role(j.submitter, 'member')
              then (select r.rows from pgqueue.result r where r.id = j.id and r.seq = -1 limit 1) end as notices,
         f.retried_as, f.id is not null and f.retried_as is null as can_be_retried, pg_has_role(j.submitter, 'member') as is_readable
  from (
    select m.id, m.submitter, m.sql, m.params from pgqueue.message m where m.kind = 'job'
    union all
    select h.id, h.submitter, h.sql, null from pgqueue.history h
  ) j
  left join pgqueue.failed_job f on f.id = j.id
  where pg_has_role(j.submitter, 'member') or (select pg_has_role('pgqueue_monitor', 'member') or pg_has_role('pgqueue_admin', 'member'));
comment on view pgqueue.job_content is
  'For the page of a job: its statement, its parameters until it has succeeded, its notices as long as they are kept. NULL for roles that are not members of the submitter';
grant select on pgqueue.job_content to pgqueue_user, pgqueue_worker, pgqueue_monitor, pgqueue_admin;
grant execute on function pgqueue._matches(text, text), pgqueue._has_part(text, text) to pgqueue_user, pgqueue_worker, pgqueue_monitor, pgqueue_admin;

create or replace function pgqueue._search_step(before bigint, part text, since timestamptz, until timestamptz, is_first boolean, out beginning bigint, out ending bigint)
  returns record
  language plpgsql stable security definer
  set search_path = pg_catalog, pg_temp
  -- With the day as a constant the other days are not even planned.
  set plan_cache_mode = force_custom_plan
as $$
declare
  -- These are no parameters: a caller that chose one message a time could tell numbers of others' jobs. Most pages are full after the
  -- first step.
  messages constant int := case when is_first then 500 else 5000 end;
  failures constant int := 1000;
  -- Whole days: then no row of a partition that is read is skipped, and the number of rows bounds the time.
  first_day timestamptz := date_trunc('day', since at time zone 'UTC') at time zone 'UTC';
  last_day timestamptz := (date_trunc('day', until at time zone 'UTC') + interval '1 day') at time zone 'UTC';
begin
  if not (pg_has_role(session_user, 'pgqueue_monitor', 'member') or pg_has_role(session_user, 'pgqueue_worker', 'member')
          or pg_has_role(session_user, 'pgqueue_admin', 'member')) then
    -- Where rows are depends on jobs of others, of which this role is not to know. So its steps are even.
    ending := least(before, (select s.last_value + 1 from pgqueue.message_id_seq s));
    beginning := greatest(ending - messages, 1);
    if ending <= 1 then
      beginning := null;
      ending := null;
    end if;
    return;
  end if;
  if part = 'failures' then
    select min(a.id), max(a.id) + 1 into beginning, ending
    from (select t.id from pgqueue.attempt t where t.id < before order by t.id desc limit failures) a;
    return;
  end if;
  select min(n.id), max(n.id) + 1 into beginning, ending
  from (
    select e.id
    from ((select m.id from pgqueue.message m where part <> 'ended' and m.id < before order by m.id desc limit messages)
          union all
          (select h.id from pgqueue.history h
           where part <> 'waiting' and h.id < before and (first_day is null or h.ended_at >= first_day) and (last_day is null or h.ended_at < last_day)
           order by h.id desc limit messages)) e
    order by e.id desc
    limit messages) n;
end
$$;
comment on function pgqueue._search_step(bigint, text, timestamptz, timestamptz, boolean) is
  'The range of numbers that the next step of a search reads. part: waiting, ended, all, or failures. NULL: there is nothing left';
grant execute on function pgqueue._search_step(bigint, text, timestamptz, timestamptz, boolean) to pgqueue_user, pgqueue_worker, pgqueue_monitor, pgqueue_admin;

create or replace function pgqueue._search_jobs(state text, queue text, label text, submitter text, statement text, sqlstate text, error text,
                                                since timestamptz, until timestamptz, before bigint, max_count int, patience interval)
  returns jsonb
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
  -- With the filters as constants those that are not given cost nothing.
  set plan_cache_mode = force_custom_plan
as $$
declare
  give_up_at constant timestamptz := clock_timestamp() + patience;
  -- Only attempts that fail leave an error, and they have a small table of their own. Jobs that were canceled or have expired (57014)
  -- are not in it.
  part constant text := case when state = 'failed' or state is null and num_nonnulls(sqlstate, error) > 0 and sqlstate is distinct from '57014' then 'failures'
                             when state in ('waiting', 'queued', 'running') then 'waiting' when state is null then 'all' else 'ended' end;
  step record;
  beginning bigint := 0;
  ending bigint := coalesce(before, 9223372036854775807);
  ids bigint[];
  found bigint[] := '{}';
  next bigint;
  was_cut_off boolean := false;
  is_first boolean := true;
begin
  if state = 'running' then
    ids := array(select unnest(w.running) from pgqueue.workers w);
  end if;
  loop
    if state is distinct from 'running' then
      step := pgqueue._search_step(ending, part, since, until, is_first);
      is_first := false;
      exit when step.beginning is null;
      beginning := step.beginning;
      ending := step.ending;
    end if;
    if part = 'failures' then
      -- An attempt keeps the beginning of its error.
      ids := array(select distinct a.id from pgqueue.attempts a
                   where a.id >= beginning and a.id < ending and (_search_jobs.sqlstate is null or a.sqlstate = _search_jobs.sqlstate)
                     and (_search_jobs.error is null or length(a.error) = 1000 or pgqueue._has_part(a.error, _search_jobs.error)));
    end if;
    -- Only the columns of the filters: the others are read for the jobs of the page.
    found := found || array(
      select v.id
      from pgqueue.jobs v
      where v.id >= beginning and v.id < ending
        and (ids is null or v.id = any (ids))
        and (_search_jobs.state is null or v.state = _search_jobs.state::pgqueue.job_state)
        and (_search_jobs.queue is null or v.queue = _search_jobs.queue)
        and (_search_jobs.sqlstate is null or v.sqlstate = _search_jobs.sqlstate)
        and (_search_jobs.submitter is null or v.submitter = _search_jobs.submitter)
        and (_search_jobs.since is null or coalesce(v.ended_at, v.launched_at) >= _search_jobs.since)
        and (_search_jobs.until is null or coalesce(v.ended_at, v.launched_at) < _search_jobs.until)
        and pgqueue._matches(v.label, _search_jobs.label)
        and pgqueue._has_part(v.error, _search_jobs.error)
        and (_search_jobs.statement is null
             or v.id in (select c.id from pgqueue.job_content c
                         where c.id >= beginning and c.id < ending and pgqueue._has_part(c.statement, _search_jobs.statement)))
      order by v.id desc
      limit max_count - cardinality(found));
    if cardinality(found) >= max_count then
      next := found[max_count];
      exit;
    end if;
    exit when state = 'running';
    ending := beginning;
    if clock_timestamp() >= give_up_at then
      next := beginning;
      was_cut_off := true;
      exit;
    end if;
  end loop;
  -- A handle is a right, and no page needs it.
  return jsonb_build_object('jobs', (select coalesce(jsonb_agg(to_jsonb(v) - 'handle' order by v.id desc), '[]') from pgqueue.jobs v where v.id = any (found)),
                            'next', next, 'was_cut_off', was_cut_off);
end
$$;
comment on function pgqueue._search_jobs(text, text, text, text, text, text, text, timestamptz, timestamptz, bigint, int, interval) is
  'A page of the jobs that match and that the role may see, by pgqueue.jobs, the newest first. next: the number below which the next page goes on; was_cut_off: patience ended before the page was full. since and until: when a job ended, or was submitted if it has not';
grant execute on function pgqueue._search_jobs(text, text, text, text, text, text, text, timestamptz, timestamptz, bigint, int, interval)
  to pgqueue_user, pgqueue_worker, pgqueue_monitor, pgqueue_admin;
