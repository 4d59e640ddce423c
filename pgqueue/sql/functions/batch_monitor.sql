-- Jobs of the batch lane that take long: made visible, canceled, timed out, and what waits behind them given back.

create or replace function pgqueue._oversee(ids bigint[], tokens bigint[], pids int[], least_ms int, grace_ms int)
  returns table (id bigint, token bigint, pid int, run_for_ms float8, is_canceled boolean, is_overdue boolean, is_final boolean, xact bigint)
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
  set enable_hashjoin = off
  set enable_mergejoin = off
as $$
#variable_conflict use_column
declare
  runs record;
begin
  -- First the sessions that have been in a transaction for a while: mostly there are none. Materialized: otherwise each session would be read
  -- again for each job.
  with slow as materialized (
    select a.pid, a.xact_start, a.backend_xid
    from (select distinct p from unnest(pids) p) p
    cross join lateral pg_stat_get_activity(p.p) a
    where a.xact_start < clock_timestamp() - least_ms * interval '1 ms' and a.backend_xid is not null
  )
  select array_agg(m.id) as ids, array_agg(m.token) as tokens, array_agg(s.pid) as pids, array_agg(s.xact_start) as started_at,
         array_agg(s.backend_xid::text::bigint) as xacts into runs
  from slow s
  join unnest(ids, tokens, pids) r (id, token, pid) on r.pid = s.pid
  join pgqueue.message m on m.id = r.id and m.token = r.token and m.xmax = s.backend_xid;
  if runs.ids is null then
    return;
  end if;
  perform set_config('synchronous_commit', 'off', true);
  perform pgqueue._forget_earlier_runs(runs.ids);
  insert into pgqueue.activity (id, token, worker_id, backend_pid, started_at)
  select m.id, m.token, m.worker_id, r.pid, r.started_at
  from unnest(runs.ids, runs.tokens, runs.pids, runs.started_at) r (id, token, pid, started_at)
  join pgqueue.message m on m.id = r.id and m.token = r.token
  -- Of a group all that have begun hold their rows until its end, which is near: nobody needs to see them run.
  where (select count(*) from unnest(runs.pids) p where p = r.pid) = 1
  on conflict do nothing;
  return query
  select m.id, m.token, r.pid, extract(epoch from o.run_for)::float8 * 1000, q.id is not null,
         coalesce(o.run_for > o.timeout, false),
         coalesce(q.terminate_at <= clock_timestamp(), false) or coalesce(o.run_for - o.timeout > grace_ms * interval '1 ms', false),
         r.xact
  from unnest(runs.ids, runs.tokens, runs.pids, runs.started_at, runs.xacts) r (id, token, pid, started_at, xact)
  join pgqueue.message m on m.id = r.id and m.token = r.token
  cross join lateral (
    select clock_timestamp() - r.started_at as run_for,
           pgqueue._time_allowed(coalesce(m.timeout, m.queue_timeout), m.settings) as timeout
  ) o
  left join pgqueue.request q on q.id = m.id and q.kind = 'cancel';
end
$$;
comment on function pgqueue._oversee(bigint[], bigint[], int[], int, int) is
  'Which of these jobs run in the batch lane, and since when: makes them visible as running, and says which are to be stopped: canceled, or past their timeout; is_final: for so long that their session is to be ended. Of a group: all that have begun, as long as it runs; xact: its transaction';
grant execute on function pgqueue._oversee(bigint[], bigint[], int[], int, int) to pgqueue_worker;

create or replace function pgqueue._sample_waits(pids int[], out waiting int, out running int)
  language sql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
  -- A wait for a lock does not count: jobs that wait for each other gain nothing by running side by side.
  select count(*) filter (where a.wait_event = 'PgSleep' or a.wait_event_type = 'Extension')::int, count(*)::int
  from unnest(pids) p (pid)
  cross join lateral pg_stat_get_activity(p.pid) a
  where a.state = 'active'
$$;
comment on function pgqueue._sample_waits(int[]) is
  'How many of these sessions run a statement now, and how many of them sleep or wait for what an extension does, such as a query on another server';
grant execute on function pgqueue._sample_waits(int[]) to pgqueue_worker;

create or replace function pgqueue._stop_run(id bigint, token bigint, pid int, is_final boolean, behind_ids bigint[], behind_tokens bigint[], xact bigint default null)
  returns boolean
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
  set enable_hashjoin = off
  set enable_mergejoin = off
as $$
declare
  is_held boolean := false;
begin
  -- While these are held, the session ends no call and begins none (pgqueue_run.pass_gate), and begins no other job of this call: it would wait
  -- for that row, where the signal reaches no job (pgqueue_take.take_*). The locks are tried with nowait: a session that waited for the table
  -- would block all of them, and a row that another one has locked would let the job behind begin.
  for attempt in 1 .. 50 loop
    begin
      lock table pgqueue.run_gate in exclusive mode nowait;
      perform from unnest(behind_ids, behind_tokens) b (id, token) join pgqueue.message m on m.id = b.id and m.token = b.token for update of m nowait;
      is_held := true;
      exit;
    exception when lock_not_available then
      exit when not pgqueue._runs(id, token, pid);
      perform pg_sleep(0.001);
    end;
  end loop;
  if not is_held or not pgqueue._runs(id, token, pid)
    -- A job of a group runs again by itself when the group is broken up.
    or xact is not null and not exists (select from pgqueue.message m where m.id = _stop_run.id and m.xmax::text::bigint = xact)
  then
    return false;
  end if;
  return case when is_final then pg_terminate_backend(pid) else pg_cancel_backend(pid) end;
end
$$;
comment on function pgqueue._stop_run(bigint, bigint, int, boolean, bigint[], bigint[], bigint) is
  'Cancels a job that runs in the batch lane, or ends its session; never another job. behind_ids, behind_tokens: all other jobs that the session was called to run. xact: only if it runs in that transaction; of a group it cancels the whole. False: it does not run, or the next look tries again';
grant execute on function pgqueue._stop_run(bigint, bigint, int, boolean, bigint[], bigint[], bigint) to pgqueue_worker;

create or replace function pgqueue._set_run_progress(id bigint, token bigint, pid int, pct int, msg text)
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- A session's report about a job is accepted only while that job runs in it.
  if pgqueue._runs(id, token, pid) then
    perform set_config('synchronous_commit', 'off', true);
    insert into pgqueue.activity as a (id, token, worker_id, backend_pid, progress_pct, progress_msg)
    select m.id, m.token, m.worker_id, pid, greatest(0, least(100, pct)), pgqueue._cut(msg, 63)
    from pgqueue.message m where m.id = _set_run_progress.id and m.token = _set_run_progress.token
    on conflict on constraint activity_pkey do update
    set token = excluded.token, worker_id = excluded.worker_id, backend_pid = excluded.backend_pid,
        started_at = case when a.token = excluded.token then a.started_at else excluded.started_at end,
        progress_pct = excluded.progress_pct, progress_msg = excluded.progress_msg;
  end if;
end
$$;
comment on function pgqueue._set_run_progress(bigint, bigint, int, int, text) is 'Writes the progress of a job that runs in the batch lane, from another session than its own';
grant execute on function pgqueue._set_run_progress(bigint, bigint, int, int, text) to pgqueue_worker;

create or replace function pgqueue._release_waiting(ids bigint[], tokens bigint[])
  returns bigint[]
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  free bigint[];
begin
  select array_agg(m.id) into free
  from (select q.id from unnest(ids, tokens) c (id, token) join pgqueue.message q on q.id = c.id and q.token = c.token
        for update of q skip locked) m;
  perform pgqueue._release(array_agg(c.id), array_agg(c.token), true) from unnest(ids, tokens) c (id, token) where c.id = any (free);
  return free;
end
$$;
comment on function pgqueue._release_waiting(bigint[], bigint[]) is 'Gives back those of these jobs that do not run: they wait behind a long one. Returns them';
grant execute on function pgqueue._release_waiting(bigint[], bigint[]) to pgqueue_worker;

create or replace function pgqueue._running_message(id bigint, token bigint)
  returns json
  language sql stable security definer
  set search_path = pg_catalog, pg_temp
as $$
  select pgqueue._job_message(m.id, m.token, m.queue, m.priority, m.deliveries, m.attempts, m.submitter, m.sql, m.params, m.settings,
                              coalesce(m.timeout, m.queue_timeout), m.kept, m.label)
  from pgqueue.message m
  where m.id = _running_message.id and m.token = _running_message.token
$$;
comment on function pgqueue._running_message(bigint, bigint) is 'A job of the batch lane that takes long, as a message for Celery';
grant execute on function pgqueue._running_message(bigint, bigint) to pgqueue_worker;
