-- Running a job: begin, lock, complete or fail. Called by an executor's session, which is logged in as the submitter; what
-- guards these functions is the token of the claim, which only the worker knows.

create function pgqueue._archive(m pgqueue.message, state pgqueue.job_state, error jsonb, command_tags text[], row_count bigint)
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  ran pgqueue.activity;
  -- A short run that succeeds was never noted: its transaction says all that there is to say.
  is_own boolean := state = 'succeeded';
  detached boolean := false;
begin
  if current_setting('transaction_isolation') like 'read %' then
    delete from pgqueue.activity a where a.id = m.id returning * into ran;
  else
    begin
      delete from pgqueue.activity a where a.id = m.id returning * into ran;
    exception when serialization_failure then
      -- It has told its progress since its snapshot: the row is newer than what this transaction may delete, and left to pgqueue._tick.
      select a.* into ran from pgqueue.activity a where a.id = m.id;
    end;
  end if;
  if ran.token <> coalesce(m.token, 0) then
    ran := null;
  end if;
  if exists (select from pgqueue.request r where r.id = m.id) then
    -- The end of a run looks for a cancel last of all.
    with gone as (delete from pgqueue.request r where r.id = m.id and not (is_own and r.kind = 'cancel') returning r.kind)
    select coalesce(bool_or(kind = 'detach'), false) into detached from gone;
  end if;
  insert into pgqueue.history (id, cookie, session_id, launched_at, eta, started_at, submitter, state, kept, backend_pid, progress_pct,
                               row_count, priority, attempts, max_attempts, queue, sql, label, worker, progress_msg, command_tags, error)
  values (m.id, m.cookie, m.session_id, m.launched_at, m.due_at, coalesce(ran.started_at, case when is_own then transaction_timestamp() end), m.submitter,
          _archive.state, m.kept, coalesce(ran.backend_pid, case when is_own then pg_backend_pid() end), ran.progress_pct,
          _archive.row_count, m.priority, m.attempts + (ran.id is not null or is_own)::int, m.max_attempts, m.queue, m.sql, m.label,
          (select w.name from pgqueue.worker w where w.id = m.worker_id), ran.progress_msg, _archive.command_tags, _archive.error);
  if detached then
    delete from pgqueue.result r where r.id = m.id;
  elsif m.kept <> 'none' and _archive.state <> 'succeeded' then
    insert into pgqueue.result (id, seq) values (m.id, 0);
  end if;
end
$$;
comment on function pgqueue._archive(pgqueue.message, pgqueue.job_state, jsonb, text[], bigint) is 'The end of a job: from the queue, whose row the caller has deleted, to the history';

create function pgqueue._claim_lost(id bigint)
  returns void
  language plpgsql immutable
  set search_path = pg_catalog, pg_temp
as $$
begin
  raise exception 'the claim on job % is lost', id using errcode = 'PQ002', hint = 'Another worker has the job, or it has ended. This run must not commit.';
end
$$;
comment on function pgqueue._claim_lost(bigint) is 'Raises PQ002';

create function pgqueue._check_runner(id bigint, submitter oid)
  returns void
  language plpgsql stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- session_user, which nobody but a superuser changes. A job was given to a name, and the name may be another role's by now.
  if submitter <> quote_ident(session_user)::regrole::oid then
    raise exception 'permission denied for job %', id using errcode = '42501', hint = 'It belongs to another role.';
  end if;
end
$$;
comment on function pgqueue._check_runner(bigint, oid) is
  'A token is no key for strangers: only a session that is logged in as the submitter may act on its claim. Workers have functions of their own';

create function pgqueue._begin_any_job(id bigint, token bigint)
  returns text
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
  return 'run';
end
$$;
comment on function pgqueue._begin_any_job(bigint, bigint) is 'Makes a claimed job visible as running. run: go on; gone: forget it; canceled, expired: it has ended so. For workers';

create function pgqueue._begin_job(id bigint, token bigint)
  returns text
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
comment on function pgqueue._begin_job(bigint, bigint) is 'pgqueue._begin_any_job for a session that is logged in as the submitter: before a statement that runs in no transaction of pgqueue''s';

create function pgqueue._forget_earlier_runs(ids bigint[])
  returns void
  language sql volatile security definer
  set search_path = pg_catalog, pg_temp
begin atomic
  delete from pgqueue.activity a using pgqueue.message m where a.id = any (ids) and m.id = a.id and m.token <> a.token;
end;
comment on function pgqueue._forget_earlier_runs(bigint[]) is 'Makes room for the runs of now: an earlier one may have been noted just when it failed and was put off';

create function pgqueue._note_run(id bigint, token bigint, pid int, run_s float8)
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
  'Makes a job visible as running, if it was not, since so many seconds: one that takes a while, tells its progress or fails. For workers';

create function pgqueue._lock_job(id bigint, token bigint)
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
  -- Who waits for the job waits for this lock (pgqueue._wait_for_run). Nobody has it but, for a moment, who looks whether the job runs.
  perform pg_advisory_xact_lock(pgqueue._run_key_of(id, token));
  if exists (select from pgqueue.request r where r.id = _lock_job.id and r.kind = 'cancel') then
    raise exception 'canceling statement due to user request' using errcode = '57014';
  elsif expires_at <= clock_timestamp() then
    raise exception 'job % has expired', id using errcode = 'PQ005', hint = 'pgqueue._begin_job ends it so.';
  end if;
end
$$;
comment on function pgqueue._lock_job(bigint, bigint) is 'First in the transaction of a job: while it runs nobody can take its claim';

create function pgqueue._enter_job(id bigint, token bigint, names text[], setting_values text[])
  returns void
  language plpgsql volatile
as $$
begin
  -- Planned once in a session, where the same as a query would be parsed and planned for each job. No SET clause here: it would
  -- take back the search_path that the job is given.
  perform pgqueue._lock_job(id, token);
  perform pg_catalog.set_config(s.name, s.value, false)
  from rows from (pg_catalog.unnest(names), pg_catalog.unnest(setting_values)) as s (name, value);
end
$$;
comment on function pgqueue._enter_job(bigint, bigint, text[], text[]) is 'pgqueue._lock_job, and then the settings of the job in this order';

create function pgqueue._are_notices(notices jsonb)
  returns boolean
  language sql immutable
  set search_path = pg_catalog, pg_temp
as $$
  -- Not PQ001, which is progress: the worker of a reader would take it for the reader's.
  select jsonb_typeof(notices) is not distinct from 'array' and not exists (
    select from jsonb_array_elements(case jsonb_typeof(notices) when 'array' then notices end) n
    where case when jsonb_typeof(n) <> 'object' then true
               else n - '{severity,sqlstate,message,detail,hint}'::text[] <> '{}'
                 or jsonb_path_exists(n, 'strict $.* ? (@.type() <> "string")')
                 or (n ->> 'severity' in ('WARNING', 'NOTICE', 'INFO', 'LOG', 'DEBUG')) is not true
                 or n ->> 'sqlstate' !~ '^[0-9A-Z]{5}$' or n ->> 'sqlstate' = 'PQ001' end)
$$;
comment on function pgqueue._are_notices(jsonb) is 'Whether these are notices as pgqueue._forward_notices raises them';

create function pgqueue._kept_error(error jsonb)
  returns jsonb
  language sql immutable
  set search_path = pg_catalog, pg_temp
as $$
  -- The end of a job is never refused: what is no field of an error is left out, and what is no SQLSTATE becomes one.
  select coalesce((
      select jsonb_object_agg(f.key, left(f.value, 65536))
      from jsonb_each_text(case jsonb_typeof(error) when 'object' then error end) f
      where f.value is not null and f.key in ('message', 'detail', 'hint', 'context', 'schema', 'table', 'column', 'datatype', 'constraint', 'session_lost')), '{}')
    || jsonb_build_object('sqlstate', case when error ->> 'sqlstate' ~ '^[0-9A-Z]{5}$' then error ->> 'sqlstate' else 'XX000' end)
$$;
comment on function pgqueue._kept_error(jsonb) is 'The fields of an error that are kept of it, all of them text';

create function pgqueue._refuse_result(what text)
  returns void
  language plpgsql immutable
  set search_path = pg_catalog, pg_temp
as $$
begin
  raise exception '% of the result are not what a worker hands in', what using errcode = '22023', hint = 'Results are stored by workers, not by jobs.';
end
$$;
comment on function pgqueue._refuse_result(text) is 'Says that a result is none';

create function pgqueue._are_rows(rows jsonb)
  returns boolean
  language sql immutable
begin atomic
  -- One look at all of them. Of what is no list of lists the operator says NULL.
  select (rows @? 'strict $[*][*] ? (@.type() <> "string" && @.type() <> "null")') is not distinct from false;
end;
comment on function pgqueue._are_rows(jsonb) is 'Whether these are rows of a result: lists of texts and NULLs';

create function pgqueue._check_result(columns jsonb, rows jsonb, output_settings jsonb)
  returns void
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- Each job that keeps a result passes here. What is no number or no list, the server says itself.
  if columns is null then
    if rows is not null then
      perform pgqueue._refuse_result('rows');
    end if;
  elsif (select bool_and(c.name is not null and c.oid is not null and c.typmod is not null) is false or count(*) > 1664
         from jsonb_to_recordset(columns) c (name text, oid oid, typmod int)) then
    perform pgqueue._refuse_result('columns');
  elsif not pgqueue._are_rows(rows) or jsonb_path_exists(rows, 'strict $[*] ? (@.size() <> $n)', jsonb_build_object('n', jsonb_array_length(columns))) then
    perform pgqueue._refuse_result('rows');
  end if;
  -- As a rule they are those that the job has left. Whether others are values of these settings, the server says.
  if output_settings <> jsonb_build_object('DateStyle', current_setting('DateStyle'), 'IntervalStyle', current_setting('IntervalStyle'),
                                           'TimeZone', current_setting('TimeZone')) then
    if jsonb_path_exists(output_settings, 'strict $ ? (@.type() <> "object" || @.*.type() <> "string")')
       or output_settings - '{DateStyle,IntervalStyle,TimeZone}'::text[] <> '{}' then
      perform pgqueue._refuse_result('settings');
    end if;
    perform set_config(s.key, s.value, true) from jsonb_each_text(output_settings) s;
  end if;
end
$$;
comment on function pgqueue._check_result(jsonb, jsonb, jsonb) is 'Refuses a result that its reader could not take for one';

create function pgqueue._append_result(id bigint, token bigint, seq int, rows jsonb)
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  submitter oid;
begin
  select q.submitter into submitter from pgqueue.message q where q.id = _append_result.id and q.token = _append_result.token;
  if not found then
    perform pgqueue._claim_lost(id);
  end if;
  perform pgqueue._check_runner(id, submitter);
  if (_append_result.seq >= 1) is not true or not pgqueue._are_rows(_append_result.rows) then
    perform pgqueue._refuse_result('rows');
  end if;
  insert into pgqueue.result (id, seq, rows) values (_append_result.id, _append_result.seq, _append_result.rows);
end
$$;
comment on function pgqueue._append_result(bigint, bigint, int, jsonb) is 'Adds a chunk of rows, numbered from 1, to the result of the job that runs';

create function pgqueue._keep_notices(id bigint, token bigint, notices jsonb)
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  m pgqueue.message;
begin
  select * into m from pgqueue.message q where q.id = _keep_notices.id and q.token = _keep_notices.token;
  if not found then
    return;  -- what ends the run will say so
  end if;
  perform pgqueue._check_runner(id, m.submitter);
  if pgqueue._are_notices(notices) is not true then
    perform pgqueue._refuse_result('notices');
  elsif m.kept <> 'none' then
    -- Those of an earlier attempt are not the job's.
    delete from pgqueue.result r where r.id = _keep_notices.id and r.seq = -1;
    insert into pgqueue.result (id, seq, rows) values (_keep_notices.id, -1, _keep_notices.notices);
  end if;
end
$$;
comment on function pgqueue._keep_notices(bigint, bigint, jsonb) is 'What the job has said, for the reader of its result: chunk -1';

create function pgqueue._refuse_canceled(id bigint)
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- By now the transaction has written to the history, which whoever cancels sees in pg_locks (pgqueue._is_canceled).
  if current_setting('transaction_isolation') like 'read %' then
    if not exists (select from pgqueue.request r where r.id = _refuse_canceled.id and r.kind = 'cancel') then
      return;
    end if;
  else
    -- The snapshot is older than a request may be. The index is not.
    begin
      insert into pgqueue.request (id, kind) values (_refuse_canceled.id, 'cancel');
      delete from pgqueue.request r where r.id = _refuse_canceled.id and r.kind = 'cancel';
      return;
    exception when unique_violation or serialization_failure then
      null;
    end;
  end if;
  raise exception 'canceling statement due to user request' using errcode = '57014';
end
$$;
comment on function pgqueue._refuse_canceled(bigint) is 'At the end of a run, when its history is written: a job for which a cancel was committed does not commit';

create function pgqueue._time_allowed(timeout interval, settings jsonb)
  returns interval
  language sql stable
begin atomic
  -- No cast may fail, whatever a role has written: then nobody would look after the other jobs.
  select least(timeout, case when settings ->> 'statement_timeout' ~ '^([1-9][0-9]{0,9}ms|[1-9][0-9]{0,8}(s|min|h|d))$'
                             then (settings ->> 'statement_timeout')::interval end);
end;
comment on function pgqueue._time_allowed(interval, jsonb) is 'How long a job of the batch lane may take; NULL: as long as it likes';

create function pgqueue._refuse_overdue(id bigint)
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  if exists (select from pgqueue.message m
             where m.id = _refuse_overdue.id and clock_timestamp() - transaction_timestamp() > pgqueue._time_allowed(m.timeout, m.settings)) then
    raise exception 'canceling statement due to statement timeout' using errcode = '57014';
  end if;
end
$$;
comment on function pgqueue._refuse_overdue(bigint) is 'At the end of a run in the batch lane: a job that has caught its timeout, or was not stopped in time, does not commit';

create function pgqueue._complete_job(id bigint, token bigint, command_tags text[], row_count bigint, columns jsonb, rows jsonb, output_settings jsonb,
                                      has_committed boolean default false)
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  m pgqueue.message;
begin
  delete from pgqueue.message q where q.id = _complete_job.id and q.token = _complete_job.token returning * into m;
  if not found then
    perform pgqueue._claim_lost(id);
  end if;
  perform pgqueue._check_runner(m.id, m.submitter);
  if array_ndims(command_tags) > 1 or array_position(command_tags, null) is not null then
    perform pgqueue._refuse_result('command tags');
  elsif m.kept <> 'none' then
    perform pgqueue._check_result(columns, rows, output_settings);
    insert into pgqueue.result (id, seq, columns, rows, output_settings)
    values (m.id, 0, _complete_job.columns, _complete_job.rows, _complete_job.output_settings);
  end if;
  perform pgqueue._archive(m, 'succeeded', null, command_tags, row_count);
  if has_committed then
    -- A cancel came too late.
    delete from pgqueue.request r where r.id = m.id;
  else
    perform pgqueue._refuse_canceled(m.id);
  end if;
end
$$;
comment on function pgqueue._complete_job(bigint, bigint, text[], bigint, jsonb, jsonb, jsonb, boolean) is
  'Last in the transaction of a job: its effects, its result and its removal commit together. has_committed: it ran outside a transaction';

create table pgqueue.lost_session (
  id bigint primary key,
  suspicions int not null default 0,
  acquittals int not null default 0
);
comment on table pgqueue.lost_session is
  'Jobs whose sessions ended while they ran. Not columns of the message, whose row is locked while it runs again: a worker may find out late';
comment on column pgqueue.lost_session.suspicions is 'How often nobody knows why';
comment on column pgqueue.lost_session.acquittals is 'How often the server ended all sessions, and the job was rescued, which counted, before its worker could say so';
alter table pgqueue.lost_session enable row level security;

create function pgqueue._suspect(ids bigint[])
  returns void
  language sql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
  insert into pgqueue.lost_session as l (id, suspicions)
  select m.id, 1 from unnest(ids) with ordinality c (id, n) join pgqueue.message m on m.id = c.id order by c.n limit 1
  on conflict on constraint lost_session_pkey do update set suspicions = l.suspicions + 1
$$;
comment on function pgqueue._suspect(bigint[]) is 'The session that ran the first of these jobs that is left has ended, and nobody knows why: the job, an operator, or the kernel that needed memory';

create function pgqueue._is_given_up(id bigint, max_attempts int)
  returns boolean
  language sql stable security definer
  set search_path = pg_catalog, pg_temp
as $$
  select exists (
    select from pgqueue.lost_session l
    where l.id = _is_given_up.id and l.suspicions >= greatest(pgqueue._worker_number('max_lost_sessions', 3, 1, 32767), max_attempts))
$$;
comment on function pgqueue._is_given_up(bigint, int) is 'Whether a job was suspected so often that it runs no more';

create function pgqueue._suspect_unclaimed(ids bigint[], error jsonb)
  returns text
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  m pgqueue.message;
begin
  if error ? 'session_lost' then
    perform pgqueue._suspect(ids);
    -- What runs again is looked at when that run ends.
    select q.* into m from pgqueue.message q
    where q.id = (select r.id from unnest(ids) with ordinality c (id, n) join pgqueue.message r on r.id = c.id order by c.n limit 1)
      and q.state in ('ready', 'delayed')
    for update skip locked;
    if found and pgqueue._is_given_up(m.id, m.max_attempts) then
      perform pgqueue._give_up(m, error);
      return 'failed';
    end if;
  end if;
  return 'gone';
end
$$;
comment on function pgqueue._suspect_unclaimed(bigint[], jsonb) is
  'pgqueue._suspect of jobs whose claims are lost: the crash of the server has undone them, or another worker was back earlier. failed: the job was given up';

create function pgqueue._give_up(m pgqueue.message, error jsonb)
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  delete from pgqueue.message q where q.id = m.id;
  perform pgqueue._archive(m, 'failed', error - 'session_lost' ||
    '{"hint": "Its session has ended too often while it ran: the job seems to end it, or the server. It was given up."}', null, null);
end
$$;
comment on function pgqueue._give_up(pgqueue.message, jsonb) is 'Fails a job for good whose session has ended too often';

create function pgqueue._fail_any_job(id bigint, token bigint, error jsonb)
  returns text
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  m pgqueue.message;
  sqlstate_ text;
  canceled boolean;
  is_awaited boolean;
  retry boolean;
begin
  error := pgqueue._kept_error(error);
  sqlstate_ := error ->> 'sqlstate';
  select * into m from pgqueue.message q where q.id = _fail_any_job.id and q.token = _fail_any_job.token for update;
  if not found then
    return pgqueue._suspect_unclaimed(array[_fail_any_job.id], error);
  end if;
  -- Whatever it ended with: a job may catch the cancel and fail in its own way.
  canceled := exists (select from pgqueue.request r where r.id = m.id and r.kind = 'cancel');
  if error ? 'session_lost' then
    -- This is no attempt of the job, but it does not go on for ever.
    perform pgqueue._suspect(array[m.id]);
    if not canceled and pgqueue._is_given_up(m.id, m.max_attempts) then
      perform pgqueue._give_up(m, error);
      return 'failed';
    elsif not canceled then
      update pgqueue.message q
      set state = 'ready', token = null, worker_id = null, deliveries = greatest(q.deliveries - 1, 0), last_error = error - 'session_lost'
      where q.id = m.id;
      delete from pgqueue.activity a where a.id = m.id;
      perform pgqueue._wake(m.queue);
      return 'released';
    end if;
    error := error - 'session_lost';
  end if;
  -- Without max_attempts, conflicts with other transactions are retried, and what the server had no room for: neither is the job's own making.
  -- Not a deadlock with whoever waits for the job: it would come again. The server names the lock in every language alike.
  is_awaited := sqlstate_ = '40P01' and strpos(error ->> 'detail', format('[%s,%s,%s,1]',
    (select d.oid from pg_database d where d.datname = current_database()),
    pgqueue._run_key_of(id, token) >> 32 & 4294967295, pgqueue._run_key_of(id, token) & 4294967295)) > 0;
  retry := not canceled and is_awaited is not true and m.attempts + 1 < coalesce(m.max_attempts, case when sqlstate_ in ('40001', '40P01', '53100', '53300') then 10 else 1 end);
  if retry then
    update pgqueue.message q
    set state = 'delayed', token = null, worker_id = null, deliveries = 0, attempts = m.attempts + 1, last_error = error,
        due_at = clock_timestamp() + least(interval '1 hour',
          coalesce(m.backoff, case when m.max_attempts is null and starts_with(sqlstate_, '40') then interval '20 ms' else interval '1 s' end) * power(2, least(m.attempts, 20)) * (0.75 + random() / 2))
    where q.id = m.id;
    delete from pgqueue.activity a where a.id = m.id;
    perform pgqueue._wake(m.queue);
    return 'retried';
  end if;
  delete from pgqueue.message q where q.id = m.id;
  perform pgqueue._archive(m, case when canceled then 'canceled' else 'failed' end::pgqueue.job_state, error, null, null);
  return case when canceled then 'canceled' else 'failed' end;
end
$$;
comment on function pgqueue._fail_any_job(bigint, bigint, jsonb) is
  'A run ended with an error and was rolled back: retried later, failed or canceled. released: it ended with its session and runs again. gone: the claim is lost. For workers';

create function pgqueue._fail_job(id bigint, token bigint, error jsonb, run_s float8 default null)
  returns text
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  submitter oid := (select q.submitter from pgqueue.message q where q.id = _fail_job.id and q.token = _fail_job.token);
begin
  if submitter is null then
    return 'gone';
  end if;
  perform pgqueue._check_runner(id, submitter);
  if run_s is not null then
    perform pgqueue._note_run(id, token, pg_backend_pid(), run_s);
  end if;
  return pgqueue._fail_any_job(id, token, error);
end
$$;
comment on function pgqueue._fail_job(bigint, bigint, jsonb, float8) is
  'pgqueue._fail_any_job for a session that is logged in as the submitter. run_s: how long the job ran; NULL: it did not begin';

create function pgqueue._reset_session()
  returns void
  language plpgsql volatile
as $$
begin
  -- DISCARD ALL but for DISCARD PLANS: planning pgqueue's own functions again would cost each job some milliseconds. First the
  -- search_path, which the job may have set; so this function has none of its own.
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
comment on function pgqueue._reset_session() is 'Forgets what a job has left in its session';

create function pgqueue._acquit(ids bigint[], tokens bigint[])
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  ran bigint;
  is_rescued boolean;
begin
  -- They run in this order, and one that has ended is gone.
  select c.id, q.token is distinct from c.token into ran, is_rescued
  from unnest(ids, tokens) with ordinality c (id, token, n)
  join pgqueue.message q on q.id = c.id
  order by c.n
  limit 1;
  perform pgqueue._release(ids, tokens, true);
  if is_rescued then
    -- A worker that was back before us has found it without an owner, and counted that.
    insert into pgqueue.lost_session as l (id, acquittals) values (ran, 1)
    on conflict on constraint lost_session_pkey do update set acquittals = l.acquittals + 1;
  end if;
end
$$;
comment on function pgqueue._acquit(bigint[], bigint[]) is
  'The server has ended the session that ran the first of these that is left, with all others: they are ready again, and it does not count for any. For workers';

create function pgqueue._defer_job(id bigint, token bigint, note text, delay interval, longest interval)
  returns boolean
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  m pgqueue.message;
  deferrals int;
begin
  select * into m from pgqueue.message q where q.id = _defer_job.id and q.token = _defer_job.token for update;
  if found and not exists (select from pg_roles r where r.oid = m.submitter) then
    -- Nobody can ever run it. A role that is given the name of the dropped one is another role.
    delete from pgqueue.message q where q.id = m.id;
    perform pgqueue._archive(m, 'failed', jsonb_build_object('sqlstate', '42704', 'message', format('role %s, which handed the job in, does not exist any more', m.submitter)), null, null);
    return true;
  end if;
  -- Each job counts for itself: another worker may be able to run it.
  deferrals := coalesce((m.last_error ->> 'deferrals')::int, 0);
  update pgqueue.message q
  set state = 'delayed', token = null, worker_id = null, deliveries = greatest(q.deliveries - 1, 0),
      due_at = clock_timestamp() + least(longest, delay * power(2, least(deferrals, 20))),
      last_error = jsonb_build_object('sqlstate', '28000', 'message', note, 'deferrals', deferrals + 1)
  where q.id = _defer_job.id and q.token = _defer_job.token;
  return found;
end
$$;
comment on function pgqueue._defer_job(bigint, bigint, text, interval, interval) is
  'A job that cannot run here now stays queued, and says why. It is tried again after delay, then after twice that, and so on, up to longest';

create function pgqueue._retry_deferred(role oid)
  returns bigint
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  queues text[];
begin
  with waiting as (
    select m.id from pgqueue.message m
    where m.state = 'delayed' and m.submitter = role and m.last_error ? 'deferrals'
    for update skip locked
  ), ready as (
    update pgqueue.message m set state = 'ready' from waiting w where m.id = w.id returning m.queue
  )
  select array_agg(r.queue) into queues from ready r;
  perform pgqueue._wake(q) from (select distinct unnest(queues)) r (q);
  return coalesce(cardinality(queues), 0);
end
$$;
comment on function pgqueue._retry_deferred(oid) is
  'What the jobs of a role that could not run have waited for has come: they are ready at once. Returns how many they are';

create function pgqueue._request_cancel(id bigint, token bigint)
  returns boolean
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  insert into pgqueue.request (id, kind)
  select q.id, 'cancel' from pgqueue.message q where q.id = _request_cancel.id and q.token = _request_cancel.token
  on conflict do nothing;
  return exists (select from pgqueue.request r where r.id = _request_cancel.id and r.kind = 'cancel');
end
$$;
comment on function pgqueue._request_cancel(bigint, bigint) is 'A worker was told by Celery to revoke a job that it has: the job ends as canceled';

create function pgqueue._cancel_requests(ids bigint[], tokens bigint[])
  returns table (id bigint, terminate_at timestamptz, seconds_left float8)
  language sql stable security definer
begin atomic
  -- By the claims and not by the worker: one that lost its presence has another number, and its jobs run on.
  select r.id, r.terminate_at, extract(epoch from r.terminate_at - clock_timestamp())::float8
  from unnest(_cancel_requests.ids, _cancel_requests.tokens) held (id, token)
  join pgqueue.request r on r.id = held.id and r.kind = 'cancel'
  join pgqueue.message m on m.id = held.id and m.token = held.token;
end;
comment on function pgqueue._cancel_requests(bigint[], bigint[]) is
  'Which of these claims are to be canceled, and when to end the session of the job (NULL: never). A worker believes this and no notification';

create function pgqueue._claim_awaited(waiter_id bigint, waiter_token bigint, awaited_id bigint)
  returns table (id bigint, token bigint, message json)
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  waiter pgqueue.message;
  living_id int;
begin
  select m.* into waiter from pgqueue.message m where m.id = waiter_id and m.token = waiter_token and m.kind = 'job';
  if not found then
    return;
  end if;
  -- A job whose transaction is open keeps the number of its worker when that registers anew: its row is locked.
  living_id := (select coalesce(w.successor, w.id) from pgqueue.worker w where w.id = waiter.worker_id);
  -- Also one that some worker has claimed and not begun: its executors may all wait, for this one too. That claim is void then, as if
  -- the worker had lost it: who comes with its token gets nothing.
  return query
  with free as (
    select m.id, m.state from pgqueue.message m
    where m.id = awaited_id and m.kind = 'job' and m.state in ('ready', 'claimed') and pg_has_role(waiter.submitter, m.submitter, 'member')
      and exists (select from pgqueue.worker w where w.id = living_id and m.queue = any (w.queues))
      and not exists (select from pgqueue.queue_switch q where q.name = m.queue and q.paused)
      -- What runs outside a transaction locks no row.
      and not exists (select from pgqueue.activity a where a.id = m.id and a.token = m.token)
    for update of m skip locked
  ), claimed as (
    update pgqueue.message m
    set state = 'claimed', token = pgqueue._random_bigint(), worker_id = living_id,
        deliveries = least(m.deliveries + (f.state = 'ready')::int, 32767),
        settings = case when exists (select from pgqueue.queue_switch q where q.name = m.queue and q.durability = 'async')
                        then '{"synchronous_commit": "off"}' || coalesce(m.settings, '{}') else m.settings end
    from free f
    where m.id = f.id
    returning m.*
  )
  select c.id, c.token,
         case when k.runner is not null and c.kept = 'none' and not c.top_level
                and not c.settings ?| array['default_transaction_isolation', 'default_transaction_read_only', 'default_transaction_deferrable']
                and (c.params is null or strpos(rtrim(c.sql, E'; \t\r\n'), ';') = 0)
              then to_json(c.submitter::bigint)
              else pgqueue._job_document(c.id, c.token, c.queue, c.attempts, c.submitter, c.sql, c.params, c.settings, c.timeout, c.kept, c.label) end
  from claimed c
  left join pgqueue.role_key k on k.role = c.submitter;
end
$$;
comment on function pgqueue._claim_awaited(bigint, bigint, bigint) is
  'Claims a job for which one that runs waits, for the worker of that one, out of turn and also from a worker that has not begun it. As pgqueue._claim of kind batch';

create function pgqueue._set_progress(id bigint, token bigint, pct int, msg text)
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform set_config('synchronous_commit', 'off', true);
  update pgqueue.activity a
  set progress_pct = greatest(0, least(100, pct)), progress_msg = pgqueue._cut(msg, 63)
  where a.id = _set_progress.id and a.token = _set_progress.token;
end
$$;
comment on function pgqueue._set_progress(bigint, bigint, int, text) is 'Writes the progress of a running job, from another session than its own';
