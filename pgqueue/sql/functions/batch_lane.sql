-- The batch lane: one session runs jobs of all roles, one commit each, with no round trip between them. These functions are called
-- between two jobs, and after an error.

create or replace function pgqueue_run.pass_gate()
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- A session that cancels a job locks this, and signals a session that runs the job: a signal that comes too late hits a session
  -- here, or where it waits for the row of its next job (pgqueue._stop_run). No role but the owner can lock it.
  lock table pgqueue.run_gate in row share mode;
end
$$;
comment on function pgqueue_run.pass_gate() is 'Between two calls that run jobs, in a transaction of its own: waits until no session cancels a job that this session has run';

create or replace function pgqueue_run.forget_role()
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  name text;
begin
  -- No job can choose the microsecond. A random number of the system would take 30 us.
  perform setseed(hash_numeric_extended(extract(epoch from clock_timestamp()), pg_backend_pid()) / 9223372036854775808.0);
  perform pgqueue._dblink_disconnect(c) from unnest(pgqueue._dblink_connections()) c;
  begin
    perform pgqueue._dblink_disconnect_unnamed();
  exception when connection_does_not_exist then
    null;
  end;
  if exists (select from pg_extension e where e.extname = 'postgres_fdw') then
    select p.oid::regprocedure::text into name
    from pg_extension e
    join pg_depend d on d.refclassid = 'pg_extension'::regclass and d.refobjid = e.oid and d.classid = 'pg_proc'::regclass and d.deptype = 'e'
    join pg_proc p on p.oid = d.objid and p.proname = 'postgres_fdw_disconnect_all' and has_function_privilege(p.oid, 'execute')
    where e.extname = 'postgres_fdw';
    if found then
      execute format('select %s', name);
    end if;
  end if;
end
$$;
comment on function pgqueue_run.forget_role() is
  'Between jobs of two roles: takes from the session what neither RESET nor DISCARD reaches, the state of random() and connections of dblink and postgres_fdw';

create or replace function pgqueue._new_role_steps()
  returns text
  language sql immutable
  set search_path = pg_catalog, pg_temp
as $$
  select $steps$
        -- On PostgreSQL 18 and newer a trigger may run at the commit, after the job's own reset: as the submitter, but it leaves what it likes.
        execute 'close all';
        reset all;
        deallocate all;
        unlisten *;
        done := pg_catalog.pg_advisory_unlock_all();
        discard temp;
        discard sequences;
        done := pgqueue_run.forget_role();
$steps$
$$;
comment on function pgqueue._new_role_steps() is
  'What a call of the batch lane does first where the session has run jobs of another role, or its last call ended with an error: a part of what _make_runner and _make_group_runner make';

create or replace function pgqueue._end_job(id bigint, state pgqueue.job_state, error jsonb)
  returns text
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  m pgqueue.message;
begin
  delete from pgqueue.message q where q.id = _end_job.id returning * into m;
  perform pgqueue._archive(m, state, error, null, null);
  return null;
end
$$;
comment on function pgqueue._end_job(bigint, pgqueue.job_state, jsonb) is 'Ends a job that did not begin. Returns NULL';

create or replace function pgqueue._begin_other(id bigint, token bigint, is_found boolean, expires_at timestamptz)
  returns boolean
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  ignored text;
begin
  if not is_found then
    if pg_current_xact_id_if_assigned() is not null then
      raise exception 'a job is the first of its transaction' using errcode = '25000', hint = 'Call the procedure of its role, pgqueue_run.jobs_*.';
    end if;
  elsif exists (select from pgqueue.request r where r.id = _begin_other.id and r.kind = 'cancel') then
    ignored := pgqueue._end_job(id, 'canceled', '{"sqlstate": "57014", "message": "canceling statement due to user request"}');
  elsif expires_at <= clock_timestamp() then
    ignored := pgqueue._end_job(id, 'expired', jsonb_build_object('sqlstate', '57014', 'message', format('job expired at %s before a worker began it', expires_at)));
  else
    perform pg_advisory_xact_lock(pgqueue._run_key_of(id, token));
    return true;
  end if;
  return false;
end
$$;
comment on function pgqueue._begin_other(bigint, bigint, boolean, timestamptz) is
  'A part of pgqueue_take.take_* for jobs that are not like most. True: the job begins, and others wait for it. False: it has ended, because it was canceled or has expired, or is no longer this claim''s. 25000: the transaction has written something before';

create or replace function pgqueue._finish_other(id bigint)
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
as $$
begin
  -- The row of the job is locked since before its runner looked for dependants. This sees those that were committed since then; upkeep finds
  -- those of a short job (pgqueue._check_dependencies).
  if current_setting('transaction_isolation') not like 'read %' or exists (select from pgqueue.dependency d where d.parent = _finish_other.id) then
    perform pgqueue._settle_dependants(array[id], true);
  end if;
  -- This check comes last, when the history is written. The canceling session looks 10 ms after its request was committed, whether the job
  -- still runs. A job that has ended by then has found the request here, and a job that began later has seen it.
  perform pgqueue._refuse_canceled(id);
end
$$;
comment on function pgqueue._finish_other(bigint) is
  'A part of pgqueue_run.finish_job for a job that has run for more than 2 ms, or for which others wait: its dependants, and a cancel that was requested meanwhile';

create or replace function pgqueue_run.finish_job(id bigint, token bigint, note text, worker text)
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  said pgqueue.activity;
begin
  -- Each expression is prepared again in each transaction. So one here and one at the end tell a short job that waits for the disk, and
  -- for which no other job waits, from the rest.
  if (note like '% on ') is not true or clock_timestamp() > transaction_timestamp() + interval '2 ms' then
    if note is null then
      return;  -- It has not begun.
    elsif note ~ '[0-9]$' then
      perform pgqueue._snooze_job(id, token, note);
      return;
    elsif note like '% off %' then
      perform set_config('synchronous_commit', 'off', true);
    end if;
    -- Only of a job that took a while can anybody have noted that it runs, or written its progress from another session.
    if clock_timestamp() > transaction_timestamp() + interval '2 ms' then
      delete from pgqueue.activity a where a.id = finish_job.id returning * into said;
      if said.token <> finish_job.token then
        said := null;
      end if;
      perform pgqueue._refuse_overdue(id);
    end if;
  end if;
  with gone as (
    delete from pgqueue.message q where q.id = finish_job.id and q.token = finish_job.token
    returning q.id, q.cookie, q.session_id, q.launched_at, q.due_at, q.submitter, q.kept, q.priority, q.attempts, q.max_attempts, q.queue, q.sql, q.label, q.retried_from, q.snoozes
  )
  insert into pgqueue.history (id, cookie, session_id, launched_at, eta, started_at, submitter, state, kept, backend_pid, row_count, priority,
                               attempts, max_attempts, queue, sql, label, progress_pct, progress_msg, worker, retried_from, snoozes)
  select m.id, m.cookie, m.session_id, m.launched_at, m.due_at, transaction_timestamp(), m.submitter, 'succeeded', m.kept, pg_backend_pid(),
         nullif(split_part(finish_job.note, ' ', 1), '-1')::bigint, m.priority, m.attempts + 1, m.max_attempts, m.queue, m.sql, m.label, said.progress_pct, said.progress_msg, finish_job.worker,
         m.retried_from, m.snoozes
  from gone m;
  -- No RETURNING: for a partition it is translated and prepared again each time. The clock is read when the history is written.
  if found and note not like '% t%' and clock_timestamp() between transaction_timestamp() and transaction_timestamp() + interval '2 ms' then
    return;
  elsif not found then
    perform pgqueue._claim_lost(id);
  end if;
  perform pgqueue._finish_other(id);
end
$$;
comment on function pgqueue_run.finish_job(bigint, bigint, text, text) is
  'Last in the transaction of a job in the batch lane: its effects and its removal commit together. note: what its runner has returned, the number of rows (-1: not known), synchronous_commit, t if other jobs wait for it, and the delay in ms if it has called pgqueue.snooze; NULL: it has not begun';

create or replace function pgqueue._settle_run(ids bigint[], tokens bigint[], error jsonb, is_jobs boolean, run_seconds float8, pid int)
  returns table (id bigint, token bigint, ending pgqueue.ending, label text, queue text, role text, attempt int, traceparent text)
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  m pgqueue.message;
  called_at timestamptz := clock_timestamp() - run_seconds * interval '1 s';
  is_moved boolean;
begin
  -- They run in this order, and one that has ended is gone: the first that is left is the one that ran.
  -- A job has not begun before its runner has its row. An error until then, of a late signal for example, belongs to no job.
  if is_jobs and pgqueue._runner_step(error) is distinct from 'take' then
    select q.* into m
    from unnest(ids, tokens) with ordinality c (id, token, n)
    join pgqueue.message q on q.id = c.id and q.token = c.token
    order by c.n
    limit 1
    for update of q;
    is_moved := pgqueue._needs_top_level(error, m.sql);
    if is_moved and pgqueue._is_raised_in_run(error) and not pgqueue._may_log_in(m.submitter) then
      -- The job would wait there forever, so its error ends it.
      is_moved := false;
      error := jsonb_build_object('hint', format('Role %s may not log in, so its jobs run inside a function, where this cannot be done.', m.submitter::regrole)) || jsonb_strip_nulls(error);
    end if;
    if m.id is null then
      perform pgqueue._suspect_unclaimed(ids, error);
    elsif is_moved then
      update pgqueue.message q
      set top_level = true, state = 'ready', token = null, worker_id = null, deliveries = q.deliveries - 1
      where q.id = m.id;
      delete from pgqueue.activity a where a.id = m.id;
      perform pgqueue._wake(m.queue);
      return query select m.id, m.token, 'handed_over'::pgqueue.ending, m.label, m.queue, pg_get_userbyid(m.submitter)::text, m.attempts + 1, m.settings ->> 'pgqueue.traceparent';
    else
      perform pgqueue._forget_earlier_runs(array[m.id]);
      insert into pgqueue.activity (id, token, worker_id, backend_pid, started_at)
      values (m.id, m.token, m.worker_id, pid, coalesce((select max(h.ended_at) from pgqueue.history h where h.id = any (ids) and h.ended_at >= called_at), called_at))
      on conflict do nothing;
      return query select m.id, m.token, pgqueue._fail_any_job(m.id, m.token, pgqueue._without_runner(error, m.sql)), m.label, m.queue,
                          pg_get_userbyid(m.submitter)::text, m.attempts + 1, m.settings ->> 'pgqueue.traceparent';
    end if;
  end if;
  return query
  select c.id, c.token, null::pgqueue.ending, q.label, null::text, null::text, null::int, null::text
  from unnest(ids, tokens) with ordinality c (id, token, n)
  join pgqueue.message q on q.id = c.id and q.token = c.token
  where q.id is distinct from m.id
  order by c.n;
end
$$;
comment on function pgqueue._settle_run(bigint[], bigint[], jsonb, boolean, float8, int) is
  'After a call that runs jobs ended with an error: what became of the job that raised it, and the jobs that are still to be run (ending NULL)';
grant execute on function pgqueue._settle_run(bigint[], bigint[], jsonb, boolean, float8, int) to pgqueue_worker;

create or replace function pgqueue._without_runner(error jsonb, sql text)
  returns jsonb
  language plpgsql immutable
  set search_path = pg_catalog, pg_temp
as $$
declare
  -- The runner has added this to the text of the job, for its notices.
  mark constant text := E'\n-- pgqueue job [0-9]+([^\n]{1,2})$';
  -- The context says, from the inside out: what the job called, the statement of the job, its runner, ...
  context text := regexp_replace(regexp_replace(error ->> 'context', E'(^|\n)[^\n]*pgqueue_run[.].*', ''), mark, E'\\1');
  statement text := '"' || sql || '"';
begin
  -- Of a quote that is not closed the message shows everything up to the end of the text.
  if error ->> 'message' ~ mark then
    error := error || jsonb_build_object('message', regexp_replace(error ->> 'message', mark, E'\\1'));
  end if;
  if right(context, length(statement)) = statement then
    context := regexp_replace(left(context, -length(statement)), E'(^|\n)[^\n]*$', '');
  end if;
  return case when context = '' then error - 'context' when context is null then error else error || jsonb_build_object('context', context) end;
end
$$;
comment on function pgqueue._without_runner(jsonb, text) is 'The error of a job, its context as it would be at the top level';

create or replace function pgqueue._runs(id bigint, token bigint, pid int)
  returns boolean
  language sql volatile
  set search_path = pg_catalog, pg_temp
as $$
  -- The row is locked by the transaction that runs the job, and the server says whose transaction that is. No other can lock it.
  select exists (
    select from pgqueue.message m
    join pg_locks l on l.locktype = 'transactionid' and l.transactionid = m.xmax and l.granted and l.mode = 'ExclusiveLock'
    where m.id = _runs.id and m.token = _runs.token and l.pid = _runs.pid)
$$;
comment on function pgqueue._runs(bigint, bigint, int) is 'Whether this session runs this job in the batch lane now';
