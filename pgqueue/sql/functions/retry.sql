-- after: job_orders
-- Run failed jobs again, discard what runs them again, cancel jobs by filters, purge a queue: the public functions.

create or replace function pgqueue._cancel_matching(o pgqueue.job_order, by_administrator boolean)
  returns pgqueue.job_order
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_custom_plan
as $$
declare
  begun_at timestamptz := clock_timestamp();
  workers int[];
  asked bigint;
begin
  o.count := 0;
  if o.is_dry_run then
    select count(*) into o.count from pgqueue._jobs_to_cancel(o, by_administrator, begun_at, o.max_count);
    return o;
  end if;
  if o.state is distinct from 'running' then
    o.count := pgqueue._cancel_waiting(array(select j.id from pgqueue._jobs_to_cancel(o, by_administrator, begun_at, o.max_count) j where not j.is_claimed),
                                       'canceling statement due to user request');
  end if;
  -- Workers have the others, or have claimed them or given them back just now. The begin and the end of such a job see the request.
  with wanted as materialized (
    select j.id, j.worker_id from pgqueue._jobs_to_cancel(o, by_administrator, begun_at, o.max_count - o.count::int) j
  ), requested as (
    insert into pgqueue.request (id, kind) select w.id, 'cancel' from wanted w order by w.id on conflict do nothing returning request.id
  )
  select count(*), array_agg(distinct w.worker_id) filter (where w.worker_id is not null) into asked, workers from requested r join wanted w on w.id = r.id;
  o.count := o.count + asked;
  -- The notification is only a hint: workers ask pgqueue._cancel_requests.
  perform pgqueue._notify_at_commit('pgqueue.w.' || w) from unnest(workers) w;
  return o;
end
$$;
comment on function pgqueue._cancel_matching(pgqueue.job_order, boolean) is
  'Cancels the queued jobs that match, and requests the cancel of those that workers have';

create or replace function pgqueue._cancel_waiting(ids bigint[], reason text)
  returns bigint
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
as $$
declare
  -- Claims of these rows are short, so they are waited for: a job that was claimed meanwhile is left out.
  locked constant bigint[] := array(select l from pgqueue._lock_with_dependants(ids) l);
  canceled bigint[];
  ended bigint;
begin
  with gone as (
    delete from pgqueue.message m where m.id = any (array(select unnest(ids) intersect select unnest(locked))) and m.state <> 'claimed' returning m as message
  )
  -- All are deleted before the first end is written, and all ends are written before the jobs that wait for them are canceled or released.
  select count(pgqueue._write_end(g.message, 'canceled', jsonb_build_object('sqlstate', '57014', 'message', reason), null, null)), array_agg((g.message).id)
  into ended, canceled from (select g.message from gone g order by (g.message).id offset 0) g;
  if exists (select from pgqueue.dependency d where d.parent = any (canceled)) or ended > 0 and current_setting('transaction_isolation') not like 'read %' then
    perform pgqueue._settle_dependants(canceled, false);
  end if;
  return ended;
end
$$;
comment on function pgqueue._cancel_waiting(bigint[], text) is 'Cancels those of these jobs that no worker has, and what waits for them. Returns how many of them these are';

create or replace function pgqueue._jobs_to_cancel(o pgqueue.job_order, by_administrator boolean, launched_until timestamptz, max_count int)
  returns table (id bigint, worker_id int, is_claimed boolean)
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_custom_plan
as $$
begin
  return query
  select m.id, m.worker_id, m.state = 'claimed'
  from pgqueue.message m
  where m.kind = 'job' and m.launched_at <= launched_until
    and (o.id is null or m.id = o.id)
    and (o.queue is null or m.queue = o.queue)
    and pgqueue._matches(m.label, o.label)
    and (o.sqlstate is null or m.last_error ->> 'sqlstate' = o.sqlstate)
    and (o.since is null or m.launched_at >= o.since)
    and (o.until is null or m.launched_at < o.until)
    and pgqueue._has_part(m.last_error ->> 'message', o.error)
    and (o.state is null or o.state = case when m.state = 'waiting' then 'waiting'
                                           when exists (select from pgqueue.activity a where a.id = m.id and a.token = m.token) then 'running' else 'queued' end)
    and (by_administrator and o.error is null or pg_has_role(o.role, m.submitter, 'member'))
    and not exists (select from pgqueue.request r where r.id = m.id and r.kind = 'cancel')
  order by m.id
  limit max_count;
end
$$;
comment on function pgqueue._jobs_to_cancel(pgqueue.job_order, boolean, timestamptz, int) is
  'The unfinished jobs that match, but for those whose cancel was requested already';

create or replace function pgqueue.retry(handle pgqueue.handle)
  returns pgqueue.handle
  language sql volatile
begin atomic
  insert into pgqueue.job_order (act, id, cookie) values ('retry', (handle).id, (handle).cookie)
  returning row(new_id, new_cookie)::pgqueue.handle;
end;
comment on function pgqueue.retry(pgqueue.handle) is
  'Runs a job again that failed, as its submitter and with its statement, parameters, settings and options, when the caller commits. Returns the handle of the new job, which says retried_from. A failure is retried once. Its submitter may do that, and administrators, who see nothing of it';
grant execute on function pgqueue.retry(pgqueue.handle) to pgqueue_user, pgqueue_admin;

create or replace function pgqueue.retry_jobs(queue text default null, label text default null, state text default null, sqlstate text default null,
                                   error text default null, since timestamptz default null, until timestamptz default null, max_count int default null)
  returns bigint
  language sql volatile
begin atomic
  insert into pgqueue.job_order (act, queue, label, state, sqlstate, error, since, until, max_count)
  values ('retry_jobs', retry_jobs.queue, retry_jobs.label, retry_jobs.state, retry_jobs.sqlstate, retry_jobs.error, retry_jobs.since, retry_jobs.until, retry_jobs.max_count)
  returning count;
end;
comment on function pgqueue.retry_jobs(text, text, text, text, text, timestamptz, timestamptz, int) is
  'Runs failed jobs again that match all given filters, the oldest failure first, as pgqueue.retry does. Returns how many. label and error with a % are LIKE patterns; without one, error is a part of the message. since and until: when they failed';
grant execute on function pgqueue.retry_jobs(text, text, text, text, text, timestamptz, timestamptz, int) to pgqueue_user, pgqueue_admin;

create or replace function pgqueue.discard_jobs(queue text default null, label text default null, state text default null, sqlstate text default null,
                                     error text default null, since timestamptz default null, until timestamptz default null, max_count int default null)
  returns bigint
  language sql volatile
begin atomic
  insert into pgqueue.job_order (act, queue, label, state, sqlstate, error, since, until, max_count)
  values ('discard_jobs', discard_jobs.queue, discard_jobs.label, discard_jobs.state, discard_jobs.sqlstate, discard_jobs.error, discard_jobs.since,
          discard_jobs.until, discard_jobs.max_count)
  returning count;
end;
comment on function pgqueue.discard_jobs(text, text, text, text, text, timestamptz, timestamptz, int) is
  'Deletes what is kept to run failed jobs again, with their parameters; pgqueue.jobs still shows that they failed. The filters are those of pgqueue.retry_jobs. Returns how many';
grant execute on function pgqueue.discard_jobs(text, text, text, text, text, timestamptz, timestamptz, int) to pgqueue_user, pgqueue_admin;

create or replace function pgqueue.cancel_jobs(queue text default null, label text default null, state text default null, sqlstate text default null,
                                    error text default null, since timestamptz default null, until timestamptz default null, max_count int default null)
  returns bigint
  language sql volatile
begin atomic
  insert into pgqueue.job_order (act, queue, label, state, sqlstate, error, since, until, max_count)
  values ('cancel_jobs', cancel_jobs.queue, cancel_jobs.label, cancel_jobs.state, cancel_jobs.sqlstate, cancel_jobs.error, cancel_jobs.since,
          cancel_jobs.until, cancel_jobs.max_count)
  returning count;
end;
comment on function pgqueue.cancel_jobs(text, text, text, text, text, timestamptz, timestamptz, int) is
  'Cancels waiting, queued and running jobs that match all given filters, when the caller commits. Returns how many; a running job that ends at that moment may still succeed. since and until: when they were submitted; sqlstate and error: of the last attempt';
grant execute on function pgqueue.cancel_jobs(text, text, text, text, text, timestamptz, timestamptz, int) to pgqueue_user, pgqueue_admin;

create or replace function pgqueue.purge(queue text)
  returns bigint
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  canceled bigint;
begin
  if queue is null or octet_length(queue) not between 1 and 255 then
    raise exception 'queue name must have 1 to 255 bytes' using errcode = '22023';
  end if;
  canceled := pgqueue._cancel_waiting(array(select m.id from pgqueue.message m where m.queue = purge.queue and m.kind = 'job' and m.state <> 'claimed'), 'the queue was purged');
  return canceled + pgqueue._purge(queue);
end
$$;
comment on function pgqueue.purge(text) is
  'Empties a queue, except for what workers have: its jobs end as canceled, its tasks as REVOKED. Returns how many these are';
grant execute on function pgqueue.purge(text) to pgqueue_admin;
