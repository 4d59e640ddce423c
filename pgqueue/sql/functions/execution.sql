-- Run a job in the top-level lane: begin, lock, complete.
--
-- An executor's session calls these functions, logged in as the submitter. The token of the claim protects them, which only the
-- worker knows.

create or replace function pgqueue._write_end(m pgqueue.message, state pgqueue.job_state, error jsonb, command_tags text[], row_count bigint)
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  ran pgqueue.activity;
  -- A short run that succeeds was never noted: its own transaction records everything about it.
  is_own boolean := state = 'succeeded';
  detached boolean := false;
begin
  if current_setting('transaction_isolation') like 'read %' then
    delete from pgqueue.activity a where a.id = m.id returning * into ran;
  else
    begin
      delete from pgqueue.activity a where a.id = m.id returning * into ran;
    exception when serialization_failure then
      -- The job has reported progress since its snapshot: the row is newer than the rows that this transaction may delete, and
      -- pgqueue._tick deletes it.
      select a.* into ran from pgqueue.activity a where a.id = m.id;
    end;
  end if;
  if ran.token <> coalesce(m.token, 0) then
    ran := null;
  end if;
  if exists (select from pgqueue.request r where r.id = m.id) then
    -- The end of a run looks for a cancel after everything else.
    with gone as (delete from pgqueue.request r where r.id = m.id and not (is_own and r.kind = 'cancel') returning r.kind)
    select coalesce(bool_or(kind = 'detach'), false) into detached from gone;
  end if;
  insert into pgqueue.history (id, cookie, session_id, launched_at, eta, started_at, submitter, state, kept, backend_pid, progress_pct,
                               row_count, priority, attempts, max_attempts, queue, sql, label, worker, progress_msg, command_tags, error, retried_from, snoozes)
  values (m.id, m.cookie, m.session_id, m.launched_at, m.due_at, coalesce(ran.started_at, case when is_own then transaction_timestamp() end), m.submitter,
          _write_end.state, m.kept, coalesce(ran.backend_pid, case when is_own then pg_backend_pid() end), ran.progress_pct,
          _write_end.row_count, m.priority, m.attempts + (ran.id is not null or is_own)::int, m.max_attempts, m.queue, m.sql, m.label,
          (select w.name from pgqueue.worker w where w.id = m.worker_id), ran.progress_msg, _write_end.command_tags, _write_end.error, m.retried_from, m.snoozes);
  if m.kept = 'task' then
    if _write_end.state <> 'succeeded' then
      perform pgqueue._fail_sql_task(m, _write_end.state, _write_end.error);
    end if;
  elsif detached then
    delete from pgqueue.result r where r.id = m.id;
  elsif m.kept <> 'none' and _write_end.state <> 'succeeded' then
    insert into pgqueue.result (id, seq) values (m.id, 0);
  end if;
end
$$;
comment on function pgqueue._write_end(pgqueue.message, pgqueue.job_state, jsonb, text[], bigint) is 'The part of pgqueue._archive about the job itself';

create or replace function pgqueue._archive(m pgqueue.message, state pgqueue.job_state, error jsonb, command_tags text[], row_count bigint)
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
as $$
begin
  perform pgqueue._write_end(m, state, error, command_tags, row_count);
  if exists (select from pgqueue.dependency d where d.parent = m.id) or current_setting('transaction_isolation') not like 'read %' then
    perform pgqueue._settle_dependants(array[m.id], state = 'succeeded');
  end if;
end
$$;
comment on function pgqueue._archive(pgqueue.message, pgqueue.job_state, jsonb, text[], bigint) is
  'Moves a job that ends from the queue, whose row the caller has deleted, to the history, and releases or cancels the jobs that wait for it';

create or replace function pgqueue._check_runner(id bigint, submitter oid)
  returns void
  language plpgsql stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- session_user is used, which only a superuser can change. A job belongs to the name of a role, which may be another role's by
  -- now.
  if submitter <> quote_ident(session_user)::regrole::oid then
    raise exception 'permission denied for job %', id using errcode = '42501', hint = 'It belongs to another role.';
  end if;
end
$$;
comment on function pgqueue._check_runner(bigint, oid) is
  'Checks that the session is logged in as the submitter: knowing a token is not enough to act on a claim. Workers have functions of their own';

create or replace function pgqueue._begin_any_job(id bigint, token bigint)
  returns pgqueue.ending
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  m pgqueue.message;
begin
  select * into m from pgqueue.message q where q.id = _begin_any_job.id and q.token = _begin_any_job.token for update;
  if not found then
    return 'gone';
  end if;
  if exists (select from pgqueue.request r where r.id = m.id and r.kind = 'cancel') then
    delete from pgqueue.message q where q.id = m.id;
    perform pgqueue._archive(m, 'canceled', '{"sqlstate": "57014", "message": "canceling statement due to user request"}', null, null);
    return 'canceled';
  elsif m.expires_at <= clock_timestamp() then
    delete from pgqueue.message q where q.id = m.id;
    perform pgqueue._archive(m, 'expired', jsonb_build_object('sqlstate', '57014', 'message', format('job expired at %s before a worker began it', m.expires_at)), null, null);
    return 'expired';
  end if;
  perform set_config('synchronous_commit', 'off', true);
  insert into pgqueue.activity as a (id, token, worker_id, backend_pid) values (m.id, m.token, m.worker_id, pg_backend_pid())
  on conflict on constraint activity_pkey do update
  set token = excluded.token, worker_id = excluded.worker_id, backend_pid = excluded.backend_pid, started_at = excluded.started_at,
      progress_pct = null, progress_msg = null;
  return null;
end
$$;
comment on function pgqueue._begin_any_job(bigint, bigint) is
  'Makes a claimed job visible as running. NULL: continue; gone: the claim is lost; canceled, expired: it has ended so. For workers';
grant execute on function pgqueue._begin_any_job(bigint, bigint) to pgqueue_worker;

create or replace function pgqueue._begin_job(id bigint, token bigint)
  returns pgqueue.ending
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  submitter oid := (select q.submitter from pgqueue.message q where q.id = _begin_job.id and q.token = _begin_job.token);
begin
  if submitter is null then
    return 'gone';
  end if;
  perform pgqueue._check_runner(id, submitter);
  return pgqueue._begin_any_job(id, token);
end
$$;
comment on function pgqueue._begin_job(bigint, bigint) is
  'pgqueue._begin_any_job for a session that is logged in as the submitter: before a statement that runs in no transaction of pgqueue''s';
grant execute on function pgqueue._begin_job(bigint, bigint) to pgqueue_user;

create or replace function pgqueue._forget_earlier_runs(ids bigint[])
  returns void
  language sql volatile security definer
  set search_path = pg_catalog, pg_temp
begin atomic
  delete from pgqueue.activity a using pgqueue.message m where a.id = any (ids) and m.id = a.id and m.token <> a.token;
end;
comment on function pgqueue._forget_earlier_runs(bigint[]) is
  'Deletes the notes of earlier runs: one may have been written just when it failed and was delayed';

create or replace function pgqueue._note_run(id bigint, token bigint, pid int, run_s float8)
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform set_config('synchronous_commit', 'off', true);
  perform pgqueue._forget_earlier_runs(array[id]);
  insert into pgqueue.activity (id, token, worker_id, backend_pid, started_at)
  select m.id, m.token, m.worker_id, _note_run.pid, clock_timestamp() - run_s * interval '1 s'
  from pgqueue.message m
  where m.id = _note_run.id and m.token = _note_run.token
  on conflict do nothing;
end
$$;
comment on function pgqueue._note_run(bigint, bigint, int, float8) is
  'Makes a job visible as running, if it was not, since this many seconds: a job that takes a while, reports progress or fails. For workers';
grant execute on function pgqueue._note_run(bigint, bigint, int, float8) to pgqueue_worker;

create or replace function pgqueue._lock_job(id bigint, token bigint)
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  submitter oid;
  expires_at timestamptz;
begin
  select q.submitter, q.expires_at into submitter, expires_at
  from pgqueue.message q where q.id = _lock_job.id and q.token = _lock_job.token for update;
  if not found then
    perform pgqueue._claim_lost(id);
  end if;
  perform pgqueue._check_runner(id, submitter);
  -- A session that waits for the job waits for this lock (pgqueue._wait_for_run). Other sessions hold it only for a moment, to
  -- see whether the job runs.
  perform pg_advisory_xact_lock(pgqueue._run_key_of(id, token));
  if exists (select from pgqueue.request r where r.id = _lock_job.id and r.kind = 'cancel') then
    raise exception 'canceling statement due to user request' using errcode = '57014';
  elsif expires_at <= clock_timestamp() then
    raise exception 'job % has expired', id using errcode = 'PQ005', hint = 'pgqueue._begin_job ends it so.';
  end if;
end
$$;
comment on function pgqueue._lock_job(bigint, bigint) is
  'First in the transaction of a job: while it runs no other session can take its claim';
grant execute on function pgqueue._lock_job(bigint, bigint) to pgqueue_user;

create or replace function pgqueue._enter_job(id bigint, token bigint, names text[], setting_values text[])
  returns void
  language plpgsql volatile
as $$
begin
  -- The function is planned once in a session; a query would be parsed and planned for each job. It has no SET clause, which
  -- would undo the search_path that the job receives.
  perform pgqueue._lock_job(id, token);
  perform pg_catalog.set_config(s.name, s.value, false)
  from rows from (pg_catalog.unnest(names), pg_catalog.unnest(setting_values)) as s (name, value);
end
$$;
comment on function pgqueue._enter_job(bigint, bigint, text[], text[]) is 'pgqueue._lock_job, and then the settings of the job in this order';
grant execute on function pgqueue._enter_job(bigint, bigint, text[], text[]) to pgqueue_user;

create or replace function pgqueue._tell_of_snapshot(id bigint)
  returns void
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- Jobs that wait for this one may be newer than the snapshot (pgqueue._settle_dependants). The worker looks for them after the commit.
  if current_setting('transaction_isolation') not like 'read %' then
    raise info using errcode = 'PQ011', message = id::text;
  end if;
end
$$;
comment on function pgqueue._tell_of_snapshot(bigint) is 'At the end of a job: tells its worker to call pgqueue._check_dependencies after the commit, if this transaction does not see all that is committed';

create or replace function pgqueue._complete_job(id bigint, token bigint, command_tags text[], row_count bigint, columns jsonb, rows jsonb, output_settings jsonb,
                                      has_committed boolean default false)
  returns pgqueue.ending
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  m pgqueue.message;
  snooze_ms text := current_setting('pgqueue.snooze_ms', true);
begin
  if snooze_ms ~ '^[0-9]{1,12}$' and not has_committed then
    select q.* into m from pgqueue.message q where q.id = _complete_job.id and q.token = _complete_job.token;
    perform pgqueue._check_runner(m.id, m.submitter);
    perform set_config('pgqueue.snooze_ms', '', true);
    perform pgqueue._put_off(id, token, snooze_ms::bigint);
    perform pgqueue._refuse_canceled(id);
    return 'snoozed';
  end if;
  delete from pgqueue.message q where q.id = _complete_job.id and q.token = _complete_job.token returning * into m;
  if not found then
    perform pgqueue._claim_lost(id);
  end if;
  perform pgqueue._check_runner(m.id, m.submitter);
  perform pgqueue._put_result(m, command_tags, row_count, columns, rows, output_settings);
  if has_committed then
    -- A cancel came too late.
    delete from pgqueue.request r where r.id = m.id;
  else
    perform pgqueue._refuse_canceled(m.id);
  end if;
  perform pgqueue._tell_of_snapshot(m.id);
  return 'succeeded';
end
$$;
comment on function pgqueue._complete_job(bigint, bigint, text[], bigint, jsonb, jsonb, jsonb, boolean) is
  'Last in the transaction of a job: its effects, its result and its removal commit together. has_committed: it ran outside a transaction. A job that has called pgqueue.snooze is delayed instead';
grant execute on function pgqueue._complete_job(bigint, bigint, text[], bigint, jsonb, jsonb, jsonb, boolean) to pgqueue_user;

create or replace function pgqueue._reset_session()
  returns void
  language plpgsql volatile
as $$
begin
  -- This is DISCARD ALL without DISCARD PLANS: planning pgqueue's own functions again would cost each job some milliseconds. The
  -- search_path comes first, because the job may have set it; so this function has none of its own.
  reset all;
  execute 'close all';
  set session authorization default;
  deallocate all;
  unlisten *;
  discard temp;
  discard sequences;
  perform pg_catalog.pg_advisory_unlock_all();
end
$$;
comment on function pgqueue._reset_session() is 'Clears the session state that a job has left';
grant execute on function pgqueue._reset_session() to pgqueue_user;
