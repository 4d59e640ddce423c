-- The batch lane: jobs run inside the server, one session for all roles, one commit each, and no round trip between them.
--
-- The boundary is a function for each enrolled role, its runner: owned by that role, SECURITY DEFINER, it takes the number and the
-- token of a job and runs the job if its own role submitted it. Inside it SET ROLE and SET SESSION AUTHORIZATION fail, so no job can climb.

create schema pgqueue_run;
comment on schema pgqueue_run is 'For each enrolled role: job_*, which it owns and which runs one of its jobs; take_*, by which that reads the job; jobs_*, which calls it for job after job';

create function pgqueue._drop_runner(role oid)
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- The owner of a schema may drop what is in it. IF EXISTS would say so each time that a role is enrolled.
  if to_regproc(format('pgqueue_run.job_%s', role)) is not null then
    execute format('drop function pgqueue_run.take_%1$s, pgqueue_run.job_%1$s', role);
    execute format('drop procedure pgqueue_run.jobs_%s', role);
  end if;
end
$$;
comment on function pgqueue._drop_runner(oid) is 'Drops the runner of a role';

create function pgqueue._make_runner(role oid)
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $make$
declare
  version int := current_setting('server_version_num');
  is_ours boolean := pg_has_role(current_user, role, case when version >= 160000 then 'set' else 'member' end);
  last_words text := '';
begin
  if version < 180000 then
    -- Up to PostgreSQL 17 what a trigger defers at the end runs at the commit as the worker: here it runs in a block in which it can
    -- write to no table but a temporary one, and so leave nothing behind that DISCARD accepts.
    last_words := $words$
      begin
        set transaction read only;
        set constraints all immediate;
      exception when assert_failure then
        raise;  -- a subtransaction is what the block is for: with it the read-only mode ends
      end;
    $words$;
  end if;
  perform pgqueue._drop_runner(role);
  execute format($body$
    create function pgqueue_run.take_%1$s(id bigint, token bigint, lock_key bigint, out sql text, out params text[], out settings jsonb)
      language plpgsql volatile security definer
      set search_path = pg_catalog, pg_temp
    as $take$
    declare
      expires_at timestamptz;
      are_locked boolean;
    begin
      select q.sql, q.params, q.settings, q.expires_at into sql, params, settings, expires_at
      from pgqueue.message q where q.id = take_%1$s.id and q.token = take_%1$s.token and q.kind = 'job' and q.submitter = '%1$s' for update;
      if not found then
        return;
      elsif exists (select from pgqueue.request r where r.id = take_%1$s.id and r.kind = 'cancel') then
        sql := pgqueue._end_job(id, 'canceled', '{"sqlstate": "57014", "message": "canceling statement due to user request"}');
        return;
      elsif expires_at <= clock_timestamp() then
        sql := pgqueue._end_job(id, 'expired', jsonb_build_object('sqlstate', '57014', 'message', format('job expired at %%s before a worker began it', expires_at)));
        return;
      end if;
      -- By the first lock the worker finds out which job runs; its key is known to nobody else. Who waits for the job waits for the second.
      are_locked := pg_try_advisory_xact_lock(lock_key) is not null and pg_try_advisory_xact_lock(pgqueue._lock_class('job'), (id %% 2147483647)::int);
    end
    $take$
  $body$, role);
  execute format($body$
    create function pgqueue_run.job_%1$s(id bigint, token bigint, lock_key bigint)
      returns bigint
      language plpgsql volatile security definer
    as $run$
    declare
      job record := pgqueue_run.take_%1$s(id, token, lock_key);
      row_count bigint := -1;
      is_set boolean;
    begin
      if job.sql is null then
        return null;
      end if;
      -- Whoever has a worker's login can prepare the session that this is called in. What lies there must not be taken for
      -- what the job names, nor the quotes in its text for something else.
      discard temp;
      deallocate all;
      -- An expression for what every job has, and a query, which costs three times that, for other settings only.
      is_set := pg_catalog.concat(
        pg_catalog.set_config('pgqueue.job_id', id::pg_catalog.text, true), pg_catalog.set_config('standard_conforming_strings', 'on', true),
        pg_catalog.set_config('search_path', coalesce(job.settings operator(pg_catalog.->>) 'search_path', 'pg_catalog, pg_temp'), true)) is not null;
      if job.settings operator(pg_catalog.-) 'search_path' operator(pg_catalog.<>) '{}' then
        perform pg_catalog.set_config(s.key, s.value, true) from pg_catalog.jsonb_each_text(job.settings) s;
      end if;
      if job.params is null then
        execute job.sql;
        get diagnostics row_count = row_count;
      else
        -- Prepared, so that the server finds out the types of the parameters.
        execute pg_catalog.concat('prepare pgqueue_job(', pg_catalog.rtrim(pg_catalog.repeat('unknown,', pg_catalog.cardinality(job.params)), ','), ') as ', job.sql);
        execute pg_catalog.concat('execute pgqueue_job(',
          (select pg_catalog.string_agg(pg_catalog.quote_nullable(p.value), ',' order by p.n) from pg_catalog.unnest(job.params) with ordinality p (value, n)), ')');
      end if;
      -- What a job leaves for the commit is its own: it fails here.
      set constraints all immediate;
      %2$s
      discard temp;
      execute 'close all';
      return row_count;
    end
    $run$
  $body$, role, last_words);
  execute format($body$
    create procedure pgqueue_run.jobs_%1$s(ids bigint[], tokens bigint[], secret bigint, worker text)
      language plpgsql
    as $run$
    declare
      gate_key bigint := pgqueue._run_key(0, secret);
      row_count bigint;
      is_async boolean;
      done text;
      is_done boolean;
    begin
      for n in 1 .. pg_catalog.cardinality(ids) loop
        row_count := pgqueue_run.job_%1$s(ids[n], tokens[n], pgqueue._run_key(ids[n], secret));
        if row_count is not null then
          is_async := pg_catalog.current_setting('synchronous_commit') operator(pg_catalog.=) 'off';
          -- To what the session was opened with: first of all the search_path, which the job may have set.
          reset all;
          discard sequences;
          deallocate all;
          unlisten *;
          done := pg_catalog.pg_advisory_unlock_all();
          if is_async then
            done := pg_catalog.set_config('synchronous_commit', 'off', true);
          end if;
          is_done := pgqueue._finish_job(ids[n], tokens[n], row_count, worker);
        end if;
        commit;
        -- Whoever cancels holds this lock, so that the cancel hits the job it was meant for or this line, but no other job: not the next one
        -- here, and after the last one not what the session does then.
        if not (pg_catalog.pg_try_advisory_lock(gate_key) and pg_catalog.pg_advisory_unlock(gate_key)) then
          call pgqueue._wait_at_gate(gate_key);
        end if;
      end loop;
    end
    $run$
  $body$, role);
  -- Nobody but the role can take its jobs, and with the token only: a runner that comes to belong to another role runs nothing.
  execute format('revoke all on function pgqueue_run.take_%1$s, pgqueue_run.job_%1$s from public', role);
  execute format('revoke all on procedure pgqueue_run.jobs_%1$s from public', role);
  execute format('grant execute on function pgqueue_run.take_%s to %s', role, role::regrole);
  execute format('grant execute on function pgqueue_run.job_%s to pgqueue_worker', role);
  execute format('grant execute on procedure pgqueue_run.jobs_%s to pgqueue_worker', role);
  -- To hand the runner over one must be able to become the role, and the role to create functions here: for a moment.
  if not is_ours then
    execute format('grant %s to %I', role::regrole, current_user);
  end if;
  execute format('grant create on schema pgqueue_run to %s', role::regrole);
  execute format('alter function pgqueue_run.job_%s owner to %s', role, role::regrole);
  execute format('revoke create on schema pgqueue_run from %s', role::regrole);
  if not is_ours then
    execute format('revoke %s from %I', role::regrole, current_user);
  end if;
  update pgqueue.role_key k set has_runner = true where k.role = _make_runner.role;
end
$make$;
comment on function pgqueue._make_runner(oid) is 'Makes the runner of a role, if this role may hand a function over to it (else 42501)';

create function pgqueue._run_key(id bigint, secret bigint)
  returns bigint
  language sql immutable
begin atomic
  -- Anybody sees the key of a lock that is held. From one round of the hash a patient reader could reckon the secret.
  select hashint8extended(hashint8extended(id, secret), secret);
end;
comment on function pgqueue._run_key(bigint, bigint) is
  'The key of the lock that a job of the batch lane holds while it runs; of job 0 the one that whoever cancels holds';

create function pgqueue._forget_role()
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform setseed(uuid_hash_extended(gen_random_uuid(), 0) / 9223372036854775808.0);
  perform pgqueue._dblink_disconnect(c) from unnest(pgqueue._dblink_connections()) c;
  begin
    perform pgqueue._dblink_disconnect_unnamed();
  exception when connection_does_not_exist then
    null;
  end;
end
$$;
comment on function pgqueue._forget_role() is
  'Between jobs of two roles: takes from the session what neither RESET nor DISCARD reaches, the state of random() and connections of dblink';

create function pgqueue._end_job(id bigint, state pgqueue.job_state, error jsonb)
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

create procedure pgqueue._wait_at_gate(gate_key bigint)
  language plpgsql
as $$
begin
  -- Any role can take this lock if it finds out the key: so it is not waited for longer than a cancel takes.
  for attempt in 1 .. 50 loop
    if pg_catalog.pg_try_advisory_lock(gate_key) then
      perform pg_catalog.pg_advisory_unlock(gate_key);
      exit;
    end if;
    perform pg_catalog.pg_sleep(0.005);
  end loop;
end
$$;
comment on procedure pgqueue._wait_at_gate(bigint) is 'Waits until nobody cancels in this session';

create function pgqueue._finish_job(id bigint, token bigint, row_count bigint, worker text)
  returns boolean
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  said pgqueue.activity;
begin
  -- Only of a job that took a while can anybody have noted that it runs, or written its progress from another session.
  if clock_timestamp() > transaction_timestamp() + interval '2 ms' then
    delete from pgqueue.activity a where a.id = _finish_job.id returning * into said;
    if said.token <> _finish_job.token then
      said := null;
    end if;
  end if;
  with gone as (
    delete from pgqueue.message q where q.id = _finish_job.id and q.token = _finish_job.token
    returning q.id, q.cookie, q.session_id, q.launched_at, q.due_at, q.submitter, q.kept, q.priority, q.attempts, q.max_attempts, q.queue, q.sql, q.label
  )
  insert into pgqueue.history (id, cookie, session_id, launched_at, eta, started_at, submitter, state, kept, backend_pid, row_count, priority,
                               attempts, max_attempts, queue, sql, label, progress_pct, progress_msg, worker)
  select m.id, m.cookie, m.session_id, m.launched_at, m.due_at, transaction_timestamp(), m.submitter, 'succeeded', m.kept, pg_backend_pid(),
         nullif(_finish_job.row_count, -1), m.priority, m.attempts + 1, m.max_attempts, m.queue, m.sql, m.label, said.progress_pct, said.progress_msg, _finish_job.worker
  from gone m;
  if not found then
    perform pgqueue._claim_lost(id);
  end if;
  return true;
end
$$;
comment on function pgqueue._finish_job(bigint, bigint, bigint, text) is 'Last in the transaction of a job in the batch lane: its effects and its removal commit together. row_count -1: not known';

create function pgqueue._settle_run(ids bigint[], tokens bigint[], error jsonb, is_jobs boolean, run_seconds float8, pid int)
  returns table (id bigint, token bigint, verdict text)
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  m pgqueue.message;
  called_at timestamptz := clock_timestamp() - run_seconds * interval '1 s';
begin
  -- They run in this order, and one that has ended is gone: the first that is left is the one that ran.
  if is_jobs then
    select q.* into m
    from unnest(ids, tokens) with ordinality c (id, token, n)
    join pgqueue.message q on q.id = c.id and q.token = c.token
    order by c.n
    limit 1
    for update of q;
    if m.id is not null and pgqueue._needs_top_level(error, m.params) then
      update pgqueue.message q
      set top_level = true, state = 'ready', token = null, worker_id = null, deliveries = q.deliveries - 1
      where q.id = m.id;
      delete from pgqueue.activity a where a.id = m.id;
      perform pgqueue._wake(m.queue);
      return query select m.id, m.token, 'handed over';
    elsif m.id is not null then
      perform pgqueue._forget_earlier_runs(array[m.id]);
      insert into pgqueue.activity (id, token, worker_id, backend_pid, started_at)
      values (m.id, m.token, m.worker_id, pid, coalesce((select max(h.ended_at) from pgqueue.history h where h.id = any (ids) and h.ended_at >= called_at), called_at))
      on conflict do nothing;
      return query select m.id, m.token, pgqueue._fail_any_job(m.id, m.token, pgqueue._without_runner(error, m.sql));
    end if;
  end if;
  return query
  select c.id, c.token, null::text
  from unnest(ids, tokens) with ordinality c (id, token, n)
  join pgqueue.message q on q.id = c.id and q.token = c.token
  where q.id is distinct from m.id
  order by c.n;
end
$$;
comment on function pgqueue._settle_run(bigint[], bigint[], jsonb, boolean, float8, int) is
  'After a call that runs jobs ended with an error: what became of the job that raised it, and the jobs that are still to be run (verdict NULL)';

create function pgqueue._without_runner(error jsonb, sql text)
  returns jsonb
  language plpgsql immutable
  set search_path = pg_catalog, pg_temp
as $$
declare
  -- The context says, from the inside out: what the job called, the statement of the job, its runner, ...
  context text := regexp_replace(error ->> 'context', E'(^|\n)[^\n]*pgqueue_run[.].*', '');
  statement text := '"' || sql || '"';
begin
  if right(context, length(statement)) = statement then
    context := regexp_replace(left(context, -length(statement)), E'(^|\n)[^\n]*$', '');
  end if;
  return case when context = '' then error - 'context' when context is null then error else error || jsonb_build_object('context', context) end;
end
$$;
comment on function pgqueue._without_runner(jsonb, text) is 'The error of a job, its context as it would be at the top level';

create function pgqueue._needs_top_level(error jsonb, params text[])
  returns boolean
  language sql immutable
  set search_path = pg_catalog, pg_temp
as $$
  select case error ->> 'sqlstate'
    when '25001' then true  -- VACUUM and the like
    when '2D000' then true  -- a CALL or DO that commits
    when '25006' then true  -- it made its transaction read-only, or deferred more than once
    when '55006' then true  -- or that with a temporary table
    when '0A000' then true  -- transaction control, COPY, DISCARD ALL: refused there, with a better message
    when '42501' then error ->> 'message' ~ '"(role|session_authorization)"'  -- SET ROLE: the login of the submitter may
    when '42601' then params is not null  -- not a statement that can be prepared
    when '42883' then error ->> 'message' ~ 'pgqueue_run[.]'  -- unenrolled meanwhile
    when '42P18' then params is not null  -- a parameter that it does not name
    else false end
$$;
comment on function pgqueue._needs_top_level(jsonb, text[]) is 'Whether an error says that a statement cannot run inside a function';

create function pgqueue._locked_keys(pids int[])
  returns table (pid int, key bigint)
  language sql volatile
  set search_path = pg_catalog, pg_temp
as $$
  select l.pid, (l.classid::bigint << 32) | l.objid::bigint
  from pg_locks l
  where l.locktype = 'advisory' and l.objsubid = 1 and l.granted and l.pid = any (pids)
$$;
comment on function pgqueue._locked_keys(int[]) is 'The advisory locks with keys of 64 bits that these sessions hold';

create function pgqueue._note_running(ids bigint[], pids int[], started_at timestamptz[])
  returns table (id bigint, pid int, run_for_ms float8, is_canceled boolean, is_overdue boolean, is_final boolean)
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
  perform set_config('synchronous_commit', 'off', true);
  perform pgqueue._forget_earlier_runs(ids);
  insert into pgqueue.activity (id, token, worker_id, backend_pid, started_at)
  select m.id, m.token, m.worker_id, r.pid, r.started_at
  from unnest(ids, pids, _note_running.started_at) r (id, pid, started_at)
  join pgqueue.message m on m.id = r.id and m.token is not null
  on conflict do nothing;
  return query
  select m.id, r.pid, extract(epoch from clock_timestamp() - r.started_at)::float8 * 1000,
         exists (select from pgqueue.request q where q.id = m.id and q.kind = 'cancel'),
         -- No cast or sum may fail, whatever a role has written: then nobody would look after the other jobs.
         coalesce(clock_timestamp() - r.started_at > least(m.timeout,
           case when m.settings ->> 'statement_timeout' ~ '^([1-9][0-9]{0,9}ms|[1-9][0-9]{0,8}(s|min|h|d))$'
                then (m.settings ->> 'statement_timeout')::interval end), false),
         (select q.terminate_at <= clock_timestamp() from pgqueue.request q where q.id = m.id and q.kind = 'cancel')
  from unnest(ids, pids, _note_running.started_at) r (id, pid, started_at)
  join pgqueue.message m on m.id = r.id and m.token is not null;
end
$$;
comment on function pgqueue._note_running(bigint[], int[], timestamptz[]) is
  'Makes jobs of the batch lane visible as running, and says which are to be stopped: canceled, or past their timeout';

create function pgqueue._oversee(ids bigint[], pids int[], secrets bigint[], least_ms int)
  returns table (id bigint, pid int, run_for_ms float8, is_canceled boolean, is_overdue boolean, is_final boolean)
  language sql volatile
  set search_path = pg_catalog, pg_temp
as $$
  -- As the worker: it sees since when its own sessions are in a transaction.
  select n.*
  from (
    select array_agg(r.id) as ids, array_agg(a.pid) as pids, array_agg(a.xact_start) as started_at
    from unnest(ids, pids, secrets) r (id, pid, secret)
    join pgqueue._locked_keys(pids) l on l.pid = r.pid and l.key = pgqueue._run_key(r.id, r.secret)
    join pg_stat_activity a on a.pid = r.pid
    where a.xact_start < clock_timestamp() - least_ms * interval '1 ms'
  ) running
  cross join lateral pgqueue._note_running(running.ids, running.pids, running.started_at) n
  where running.ids is not null
$$;
comment on function pgqueue._oversee(bigint[], int[], bigint[], int) is 'Which of these jobs run, and since when';

create function pgqueue._stop_run(id bigint, pid int, secret bigint, is_final boolean)
  returns boolean
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  run_key bigint := pgqueue._run_key(id, secret);
  gate_key bigint := pgqueue._run_key(0, secret);
  has_gate boolean;
begin
  -- While this is held the session begins no other job, which passes in no time. Whoever has it for longer is a stranger that has seen
  -- the key while it was held: the next look tries again, lest nobody looks after the other jobs meanwhile.
  for attempt in 1 .. 20 loop
    has_gate := pg_try_advisory_xact_lock(gate_key);
    exit when has_gate;
    perform pg_sleep(0.005);
  end loop;
  if not has_gate or not exists (select from pgqueue._locked_keys(array[pid]) l where l.key = run_key) then
    return false;
  end if;
  perform case when is_final then pg_terminate_backend(pid) else pg_cancel_backend(pid) end;
  for attempt in 1 .. 20 loop
    exit when not exists (select from pgqueue._locked_keys(array[pid]) l where l.key = run_key);
    perform pg_sleep(0.005);
  end loop;
  return true;
end
$$;
comment on function pgqueue._stop_run(bigint, int, bigint, boolean) is
  'Cancels a job that runs in the batch lane, or ends its session; never another job. False: it does not run';

create function pgqueue._set_run_progress(id bigint, pid int, secret bigint, pct int, msg text)
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- What a session says of a job is believed while that job runs in it.
  if exists (select from pgqueue._locked_keys(array[pid]) l where l.key = pgqueue._run_key(_set_run_progress.id, secret)) then
    perform set_config('synchronous_commit', 'off', true);
    insert into pgqueue.activity as a (id, token, worker_id, backend_pid, progress_pct, progress_msg)
    select m.id, m.token, m.worker_id, pid, greatest(0, least(100, pct)), pgqueue._cut(msg, 63)
    from pgqueue.message m where m.id = _set_run_progress.id and m.token is not null
    on conflict on constraint activity_pkey do update
    set token = excluded.token, worker_id = excluded.worker_id, backend_pid = excluded.backend_pid,
        started_at = case when a.token = excluded.token then a.started_at else excluded.started_at end,
        progress_pct = excluded.progress_pct, progress_msg = excluded.progress_msg;
  end if;
end
$$;
comment on function pgqueue._set_run_progress(bigint, int, bigint, int, text) is 'Writes the progress of a job that runs in the batch lane, from another session than its own';

create function pgqueue._release_waiting(ids bigint[], tokens bigint[])
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

create function pgqueue._ended_jobs(ids bigint[], detailed int)
  returns table (id bigint, label text, preview text, attempts int, state text, started_at float8, ended_at float8, command_tag text, error jsonb)
  language sql stable security definer
  set search_path = pg_catalog, pg_temp
as $$
  select j.id, j.label, case when j.has_details then left(j.sql, 200) end, j.attempts::int, j.state::text,
         extract(epoch from coalesce(j.started_at, j.ended_at))::float8, extract(epoch from j.ended_at)::float8,
         case when j.has_details then coalesce(array_to_string(j.command_tags[1:10], ', '), pgqueue._command_tag(j.sql, j.row_count)) end, j.error
  -- Thousands are asked for at once: nobody reads the statements of that many.
  from (select h.*, row_number() over () <= detailed or h.state <> 'succeeded' as has_details from pgqueue.history h where h.id = any (ids)) j
$$;
comment on function pgqueue._ended_jobs(bigint[], int) is 'What monitors are told of ended jobs; of those that succeeded, the statement and its tag for so many';

create function pgqueue._retried_jobs(ids bigint[])
  returns table (id bigint, label text, preview text, attempts int)
  language sql stable security definer
  set search_path = pg_catalog, pg_temp
as $$
  select m.id, m.label, left(m.sql, 200), m.attempts::int from pgqueue.message m where m.id = any (ids)
  union all
  select h.id, h.label, left(h.sql, 200), h.attempts::int from pgqueue.history h where h.id = any (ids)
$$;
comment on function pgqueue._retried_jobs(bigint[]) is 'What monitors are told of jobs that failed and are tried again, or have been since';

create function pgqueue._running_message(id bigint, token bigint)
  returns json
  language sql stable security definer
  set search_path = pg_catalog, pg_temp
as $$
  select pgqueue._job_message(m.id, m.token, m.queue, m.priority, m.deliveries, m.attempts, m.submitter, m.sql, m.params, m.settings,
                              m.timeout, m.kept, m.label)
  from pgqueue.message m
  where m.id = _running_message.id and m.token = _running_message.token
$$;
comment on function pgqueue._running_message(bigint, bigint) is 'A job of the batch lane that takes long, as a message for Celery';

-- Roles that were enrolled before this lane existed.
select pgqueue._make_runner(k.role) from pgqueue.role_key k;

revoke all on all functions in schema pgqueue from public;
revoke all on all procedures in schema pgqueue from public;
grant usage on schema pgqueue_run to pgqueue_worker, pgqueue_user;
grant execute on function
  pgqueue._run_key(bigint, bigint), pgqueue._forget_role(), pgqueue._finish_job(bigint, bigint, bigint, text),
  pgqueue._settle_run(bigint[], bigint[], jsonb, boolean, float8, int),
  pgqueue._locked_keys(int[]), pgqueue._note_running(bigint[], int[], timestamptz[]), pgqueue._oversee(bigint[], int[], bigint[], int),
  pgqueue._stop_run(bigint, int, bigint, boolean), pgqueue._release_waiting(bigint[], bigint[]), pgqueue._set_run_progress(bigint, int, bigint, int, text),
  pgqueue._ended_jobs(bigint[], int), pgqueue._retried_jobs(bigint[]), pgqueue._running_message(bigint, bigint)
  to pgqueue_worker;
grant execute on procedure pgqueue._wait_at_gate(bigint) to pgqueue_worker;
