-- What is done with a handle: wait, result, cancel, detach, progress. The caller's half runs as the caller and asks over the
-- loopback, so it sees the present in any isolation level and acts in a read-only transaction; pgqueue._gate is the other half.

create function pgqueue._check_handle(role oid, handle pgqueue.handle, submitter oid, cookie bigint, wrong_cookie text, by_administrators boolean default false)
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  if submitter is null then
    raise exception 'job % is not known', handle.id
      using errcode = '42704', hint = 'Either it never was committed, or retention has removed it (pgqueue.result_ttl).';
  elsif pg_has_role(role, submitter, 'member') is not true and not (by_administrators and pg_has_role(role, 'pgqueue_admin', 'member')) then
    raise exception 'permission denied for job %', handle.id using errcode = '42501', hint = 'It belongs to another role.';
  elsif cookie is distinct from handle.cookie and not (handle.cookie is null and pg_has_role(role, 'pgqueue_admin', 'member')) then
    raise exception 'cookie mismatch for job %', handle.id using errcode = wrong_cookie, hint = 'The handle is not the one that the launcher returned.';
  end if;
end
$$;
comment on function pgqueue._check_handle(oid, pgqueue.handle, oid, bigint, text, boolean) is
  'The checks of a handle: 42704 unknown, 42501 another role''s, then the cookie. by_administrators: what they may do with jobs of any role, which is to cancel them';

create function pgqueue._ended_job(id bigint)
  returns pgqueue.history
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan
as $$
declare
  ended pgqueue.history;
begin
  -- Most are asked for as soon as they have ended: then one partition is read, not all of them.
  select h.* into ended from pgqueue.history h
  where h.id = _ended_job.id and h.ended_at > statement_timestamp() - interval '1 h' and h.ended_at < statement_timestamp() + interval '1 min';
  if not found then
    select h.* into ended from pgqueue.history h where h.id = _ended_job.id;
  end if;
  return ended;
end
$$;
comment on function pgqueue._ended_job(bigint) is 'A job that has ended; NULLs if there is none';

create function pgqueue._run_key_of(id bigint, token bigint)
  returns bigint
  language sql immutable
begin atomic
  -- Anybody sees the key of a lock that is held. From one round of the hash a patient reader could reckon the token.
  select hashint8extended(hashint8extended(id, token), token);
end;
comment on function pgqueue._run_key_of(bigint, bigint) is
  'The key of the advisory lock that a job holds while it runs. Before it does nobody can know the key, and the next run has another';

create function pgqueue._held_key(id bigint, token bigint)
  returns bigint
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  run_key bigint := pgqueue._run_key_of(id, token);
begin
  if run_key is null then
    return null;
  end if;
  -- A lock that this got is given back with the subtransaction, whatever comes between. A job that begins meanwhile waits that long.
  if pg_try_advisory_xact_lock_shared(run_key) then
    raise assert_failure;
  end if;
  return run_key;
exception when assert_failure then
  return null;
end
$$;
comment on function pgqueue._held_key(bigint, bigint) is 'The key of pgqueue._run_key_of if the job runs in a transaction now, else NULL';

create function pgqueue._locate(role oid, handle pgqueue.handle, wrong_cookie text, by_administrators boolean default false, out live boolean, out state pgqueue.job_state,
                                out kept pgqueue.result_kept, out worker_id int, out running boolean, out run_key bigint)
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  submitter oid;
  cookie bigint;
  ended pgqueue.history;
begin
  live := true;
  select m.submitter, m.cookie, m.kept, m.worker_id, a.id is not null,
         case when a.id is not null then 'running' else 'queued' end, pgqueue._held_key(m.id, m.token)
  into submitter, cookie, kept, worker_id, running, state, run_key
  from pgqueue.message m left join pgqueue.activity a on a.id = m.id and a.token = m.token
  where m.id = handle.id and m.kind = 'job';
  if not found then
    -- A job moves from the queue to the history and never back, so looking there second finds it.
    live := false;
    running := false;
    run_key := null;
    ended := pgqueue._ended_job(handle.id);
    submitter := ended.submitter;
    cookie := ended.cookie;
    kept := ended.kept;
    state := ended.state;
  end if;
  perform pgqueue._check_handle(role, handle, submitter, cookie, wrong_cookie, by_administrators);
end
$$;
comment on function pgqueue._locate(oid, pgqueue.handle, text, boolean) is 'Where a job is, after the checks: 42704 unknown, 42501 another role''s, then the cookie';

create function pgqueue._cookie_of(role oid, id bigint)
  returns bigint
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  submitter oid;
  cookie bigint;
  ended pgqueue.history;
begin
  select m.submitter, m.cookie into submitter, cookie from pgqueue.message m where m.id = _cookie_of.id and m.kind = 'job';
  if not found then
    -- A job moves from the queue to the history and never back, so looking there second finds it.
    ended := pgqueue._ended_job(id);
    submitter := ended.submitter;
    cookie := ended.cookie;
  end if;
  return case when pg_has_role(role, submitter, 'member') then cookie end;
end
$$;
comment on function pgqueue._cookie_of(oid, bigint) is 'The cookie of a job, for roles that may use it; else NULL';

create function pgqueue._gate(op text, role oid, nonce bigint, request text, proof text)
  returns setof jsonb
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  args jsonb := request::jsonb;
  handle pgqueue.handle;
  nobody_sleeps boolean;
begin
  if transaction_timestamp() <> statement_timestamp() then
    -- Somebody has sent a BEGIN over the loopback: what is done here would not be committed.
    raise exception 'the loopback is inside a transaction' using errcode = '25001';
  end if;
  if op = 'launch' then
    -- The usual launch, proven and for the first time, is one statement. Of all others this does nothing.
    with proven as (
      select k.role from pgqueue.role_key k
      where k.role = _gate.role and k.over_quota is null and args -> 'priority' = '0' and args ? 'queue' and (args ->> 'kept' = 'none' or pgqueue._may_log_in(_gate.role))
        and not args ?| '{delay,eta,expires,timeout,max_attempts,backoff,unique_key,label,durability,max_workers}'
        and (proof = encode(sha256(convert_to(concat_ws(' ', pgqueue._minute_key(k.key, 0), op, _gate.nonce, request), 'UTF8')), 'hex')
             or proof = encode(sha256(convert_to(concat_ws(' ', pgqueue._minute_key(k.key, 1), op, _gate.nonce, request), 'UTF8')), 'hex'))
    ), once as (
      insert into pgqueue.nonce (nonce) select _gate.nonce from proven on conflict do nothing returning 1
    ), put as (
      insert into pgqueue.inbox (submitter, cookie, session_id, kind, kept, queue, sql, params, settings, timeout)
      select proven.role, r.cookie, r.session_id, 'job', r.kept, r.queue, r.sql, r.params, pgqueue._inherited(r.settings),
             pgqueue._inherited_timeout(r.settings)
      from proven, once, jsonb_to_record(args) r (cookie bigint, session_id bigint, kept pgqueue.result_kept, queue text, sql text, params text[],
                                                  settings jsonb)
      returning inbox.id, inbox.cookie, pgqueue._nobody_sleeps(inbox.queue) as nobody_sleeps
    )
    select put.id, put.cookie, put.nobody_sleeps into handle.id, handle.cookie, nobody_sleeps from put;
    if found then
      if not nobody_sleeps then
        perform pgqueue._wake(args ->> 'queue');
      end if;
      return next to_jsonb(handle);
      return;
    end if;
  end if;
  handle := ((args ->> 'id')::bigint, (args ->> 'cookie')::bigint);
  if op = 'enroll_member' then
    -- Without proof: who asks has no key yet.
    return query select to_jsonb(pgqueue._enroll_member(role));
    return;
  elsif not exists (
    select from pgqueue.role_key k
    where k.role = _gate.role
      and (proof = encode(sha256(convert_to(concat_ws(' ', pgqueue._minute_key(k.key, 0), op, _gate.nonce, request), 'UTF8')), 'hex')
           or proof = encode(sha256(convert_to(concat_ws(' ', pgqueue._minute_key(k.key, 1), op, _gate.nonce, request), 'UTF8')), 'hex')))
  then
    raise exception 'request is not proven' using errcode = '42501', hint = 'Call the functions of the schema pgqueue, not its loopback. In a copy of a database its owner has to run: select pgqueue._repair_loopback().';
  end if;
  if op in ('status', 'result') and args ? 'wait_ms' then
    perform pgqueue._await_end(role, handle.id, (args ->> 'wait_ms')::int);
  end if;
  if op = 'status' then
    return query select to_jsonb(l) from pgqueue._locate(role, handle, '55000', true) l;
    return;
  elsif op = 'cookie' then
    return query select jsonb_build_object('cookie', pgqueue._cookie_of(role, handle.id));
    return;
  elsif op = 'canceled' then
    return query select coalesce(to_jsonb(pgqueue._is_canceled(role, handle)), 'null');
    return;
  elsif op = 'progress' then
    return query select to_jsonb(p) from pgqueue._progress_of(role, handle) p;
    return;
  elsif op = 'tracked' and not args ? 'read' then
    return query select * from pgqueue._tracked(role, args);
    return;
  end if;
  if op not in ('launch', 'launch_tracked', 'cancel', 'cancel_tracked') then
    -- What a crash could undo here is a read of a result, which then can be read again: no need to wait for the disk.
    perform set_config('synchronous_commit', 'off', true);
  end if;
  insert into pgqueue.nonce (nonce) values (_gate.nonce) on conflict do nothing;
  if not found then
    -- The answer to this request was lost with the caller's connection, and it was sent again. (Or somebody replays it.)
    if op in ('launch', 'launch_tracked') then
      return query
      select jsonb_strip_nulls(jsonb_build_object('id', d.id, 'cookie', d.cookie, 'pid', (select t.pid from pgqueue.tracked_job t where t.id = d.id)))
      from (select m.id, m.cookie from pgqueue.message m where m.submitter = _gate.role and m.cookie = handle.cookie
            union all
            select h.id, h.cookie from pgqueue.history h where h.submitter = _gate.role and h.cookie = handle.cookie) d
      limit 1;
      if found then
        return;
      end if;
    end if;
    raise exception 'request was handed in before' using errcode = '42501';
  end if;
  case op
    when 'launch' then return query select to_jsonb(l) from pgqueue._launch(role, args) l;
    when 'result' then return query select * from pgqueue._result_of(role, handle, args ? 'hold');
    when 'consume' then return query select to_jsonb(pgqueue._consume(role, handle));
    when 'cancel' then return query select coalesce(to_jsonb(pgqueue._cancel(role, handle, (args ->> 'grace_ms')::bigint)), 'null');
    when 'detach' then return query select to_jsonb(pgqueue._detach(role, handle));
    when 'statement' then return query select to_jsonb(pgqueue._statement_of(role, handle));
    when 'launch_tracked' then return query select pgqueue._launch_tracked(role, args);
    when 'tracked' then return query select * from pgqueue._tracked(role, args);
    when 'cancel_tracked' then return query select pgqueue._cancel_tracked(role, args);
    when 'untrack' then return query select to_jsonb(pgqueue._untrack(role, args));
  end case;
end
$$;
comment on function pgqueue._gate(text, oid, bigint, text, text) is 'All that the loopback''s login may call: checks who asks and that it asks once, then does it';

create function pgqueue._await_end(role oid, id bigint, max_ms int)
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  since timestamptz := clock_timestamp();
  until timestamptz := since + least(max_ms, 1000) * interval '1 ms';
  token bigint;
  run_key bigint;
begin
  while clock_timestamp() < until loop
    -- Nobody learns from the time that this takes when another role's job ends.
    select m.token into token from pgqueue.message m
    where m.id = _await_end.id and (pg_has_role(role, m.submitter, 'member') or pg_has_role(role, 'pgqueue_admin', 'member'));
    exit when not found;
    run_key := pgqueue._held_key(id, token);
    if run_key is null then
      -- It does not run yet.
      perform pg_sleep(greatest(0.001, extract(epoch from clock_timestamp() - since) / 20));
    else
      -- Its commit wakes us.
      perform pgqueue._wait_for_run(run_key, ceil(greatest(1, extract(epoch from until - clock_timestamp()) * 1000))::bigint);
    end if;
  end loop;
end
$$;
comment on function pgqueue._await_end(oid, bigint, int) is
  'Sleeps in the gate until a job has ended or so long, a second at most: the caller cannot be canceled meanwhile before PostgreSQL 17';

create function pgqueue._launch(role oid, args jsonb)
  returns pgqueue.handle
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  max_workers int := (args ->> 'max_workers')::int;
  active bigint;
begin
  perform pgqueue._require_quota(role);
  if max_workers > 0 then
    select count(*) into active from (
      select from pgqueue.message m where m.session_id = (args ->> 'session_id')::bigint limit max_workers) m;
    if active >= max_workers then
      raise exception 'too many background workers'
        using errcode = '53400', detail = format('Current limit is %s unfinished jobs of a session.', max_workers),
              hint = 'Wait for jobs to end, or increase pgqueue.max_workers.';
    end if;
  end if;
  if args ->> 'kept' <> 'none' then
    perform pgqueue._require_login(role);
  end if;
  if args ->> 'durability' = 'async' then
    perform set_config('synchronous_commit', 'off', true);
  end if;
  return pgqueue._put_job(
    role, (args ->> 'kept')::pgqueue.result_kept, args -> 'settings', (args ->> 'session_id')::bigint, args ->> 'sql',
    case when jsonb_typeof(args -> 'params') = 'array' then array(select p #>> '{}' from jsonb_array_elements(args -> 'params') with ordinality e (p, n) order by n) end,
    args ->> 'queue', (args ->> 'priority')::int, (args ->> 'delay')::interval, (args ->> 'eta')::timestamptz,
    (args ->> 'expires')::timestamptz, (args ->> 'timeout')::interval, (args ->> 'max_attempts')::int, (args ->> 'backoff')::interval,
    args ->> 'unique_key', args ->> 'label', args ->> 'durability', (args ->> 'cookie')::bigint);
end
$$;
comment on function pgqueue._launch(oid, jsonb) is 'The gate''s half of launch and submit';

create function pgqueue._result_of(role oid, handle pgqueue.handle, holds boolean default false)
  returns setof jsonb
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan
as $$
declare
  ended pgqueue.history;
  chunk record;
  notices jsonb;
  kept pgqueue.result_kept;
  run_key bigint;
  has_result boolean := false;
  is_detached boolean;
  head record;
begin
  if exists (select from pgqueue.message m where m.id = handle.id) then
    select l.kept, l.run_key into kept, run_key from pgqueue._locate(role, handle, '42704') l where l.live;
  end if;
  if kept is null then
    ended := pgqueue._ended_job(handle.id);
    perform pgqueue._check_handle(role, handle, ended.submitter, ended.cookie, '42704');
    kept := ended.kept;
  end if;
  if kept = 'none' then
    raise exception 'results are disabled for job %', handle.id
      using errcode = '0A000', hint = 'Jobs keep a result when they are launched with pgqueue.launch, or enqueued with keep_result => true.';
  elsif ended.id is null then
    return query select jsonb_build_object('live', true, 'run_key', run_key);
    return;
  end if;
  -- A detach stands until upkeep if it came while the job was about to commit.
  is_detached := exists (select from pgqueue.request q where q.id = handle.id and q.kind = 'detach');
  if holds and kept = 'once' and not is_detached then
    -- Who reads it holds this transaction until it was read. Not with types whose functions might use the loopback meanwhile.
    for chunk in
      delete from pgqueue.result r
      where r.id = handle.id and r.ended_at > coalesce(ended.started_at, ended.ended_at) - interval '1 h' and r.ended_at < ended.ended_at + interval '1 h'
        and not exists (
          select from pgqueue.result o
          where o.id = handle.id and o.ended_at > coalesce(ended.started_at, ended.ended_at) - interval '1 h' and o.ended_at < ended.ended_at + interval '1 h'
            and (o.seq > 0 or exists (select from jsonb_array_elements(nullif(o.columns, 'null')) c where (c ->> 'oid')::oid >= 16384)))
      returning r.seq, r.columns, r.rows, r.output_settings
    loop
      if chunk.seq < 0 then
        notices := chunk.rows;
      else
        head := chunk;
        has_result := true;
      end if;
    end loop;
    if has_result then
      delete from pgqueue.tracked_job t where t.id = handle.id;
      return next pgqueue._head_of_result(role, ended, head.columns, head.output_settings, notices) || '{"held": true}';
      if head.rows is not null then
        return next head.rows;
      end if;
      return;
    end if;
  end if;
  for chunk in
    select r.seq, r.columns, r.rows, r.output_settings from pgqueue.result r
    where r.id = handle.id and r.ended_at > coalesce(ended.started_at, ended.ended_at) - interval '1 h' and r.ended_at < ended.ended_at + interval '1 h'
      and not is_detached
    order by r.seq
  loop
    if chunk.seq < 0 then
      notices := chunk.rows;
      continue;
    elsif chunk.seq = 0 then
      has_result := true;
      return next pgqueue._head_of_result(role, ended, chunk.columns, chunk.output_settings, notices);
    end if;
    if chunk.rows is not null then
      return next chunk.rows;
    end if;
  end loop;
  if not has_result then
    raise exception 'the result of job % is gone', handle.id
      using errcode = '42704', hint = 'It was read or detached before. The result of a launched job can be read once.';
  end if;
end
$$;
comment on function pgqueue._result_of(oid, pgqueue.handle, boolean) is
  'The result of an ended job: what it is, then its rows in chunks. Of another: {live, run_key}. holds: consumes it if it is small and plain, which the head then says';

create function pgqueue._reading_settings(settings jsonb)
  returns jsonb
  language sql stable
begin atomic
  -- Who reads a result sets these for the read: only what bends the text of values.
  select jsonb_strip_nulls(jsonb_build_object(
    'DateStyle', settings -> 'DateStyle', 'IntervalStyle', settings -> 'IntervalStyle', 'TimeZone', settings -> 'TimeZone'));
end;
comment on function pgqueue._reading_settings(jsonb) is 'Of the settings under which a result was printed, those that its reader needs';

create function pgqueue._runs_code(type oid, reader oid)
  returns boolean
  language plpgsql stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- What a type consists of, down to the types that came with PostgreSQL. A check of a domain may call anything, and so may a cast that
  -- somebody has made from varchar. Superusers are trusted, and so is the reader.
  return exists (
    with recursive part (oid) as (
      select type
      union
      select x.oid
      from part p
      join pg_type t on t.oid = p.oid
      cross join lateral (
        select t.typbasetype where t.typtype = 'd'
        union all select t.typelem where t.typelem <> 0
        union all select a.atttypid from pg_attribute a where t.typrelid <> 0 and a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped
        union all select r.rngsubtype from pg_range r where t.oid in (r.rngtypid, r.rngmultitypid)
      ) x (oid)
      where p.oid >= 16384
    )
    select from part p join pg_type t on t.oid = p.oid join pg_roles o on o.oid = t.typowner
    where p.oid >= 16384 and not o.rolsuper and o.oid <> reader
      and (exists (select from pg_constraint c where c.contypid = t.oid and c.contype = 'c')
           or exists (select from pg_cast k where k.casttarget = t.oid and k.castsource = 'varchar'::regtype)));
end
$$;
comment on function pgqueue._runs_code(oid, oid) is 'Whether reading a value of this type could run what neither the reader nor a superuser has made';

create function pgqueue._typed_columns(columns jsonb, stranger oid)
  returns jsonb
  language plpgsql stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- Each type is looked up by itself: a join would be planned to read all of pg_type. And planned once in a session, as a function in
  -- SQL is not.
  return (
    select jsonb_agg(jsonb_build_object('name', c ->> 'name', 'oid', c -> 'oid', 'typmod', c -> 'typmod')
                     || coalesce((
             -- No column definition list can name a pseudo-type (void, record): such columns are read as text. And so is, by
             -- another role than the submitter, what could run code of somebody else.
             select case when t.typtype = 'p' or stranger is not null and t.oid >= 16384 and pgqueue._runs_code(t.oid, stranger)
               then '{"type": "text", "cast": "pg_catalog.text"}'
               -- By way of varchar, for text may have a cast of somebody's making: the type's own input function is what is wanted.
               else jsonb_build_object('type', format_type(t.oid, (c ->> 'typmod')::int), 'cast', concat(
                 case when t.oid >= 16384 then 'pg_catalog.varchar::' end,
                 case when (c ->> 'typmod')::int < 0 then format('%I.%I', n.nspname, t.typname) else format_type(t.oid, (c ->> 'typmod')::int) end)) end
             from pg_type t join pg_namespace n on n.oid = t.typnamespace where t.oid = (c ->> 'oid')::oid),
             '{"type": "text", "cast": "pg_catalog.text"}') order by e.n)
    from jsonb_array_elements(nullif(columns, 'null')) with ordinality e (c, n));
end
$$;
comment on function pgqueue._typed_columns(jsonb, oid) is 'The columns of a result with the names of their types. stranger: who reads it, if not the submitter';

create function pgqueue._head_of_result(role oid, ended pgqueue.history, columns jsonb, output_settings jsonb, notices jsonb)
  returns jsonb
  language sql stable
begin atomic
  select jsonb_build_object(
    'state', (ended).state, 'error', (ended).error, 'command_tags', (ended).command_tags, 'backend_pid', (ended).backend_pid,
    'row_count', (ended).row_count, 'output_settings', pgqueue._reading_settings(output_settings), 'notices', notices,
    'columns', pgqueue._typed_columns(columns, case when (ended).submitter <> role then role end));
end;
comment on function pgqueue._head_of_result(oid, pgqueue.history, jsonb, jsonb, jsonb) is 'What a result is: how the job ended, and the columns of the rows that follow';

create function pgqueue._consume(role oid, handle pgqueue.handle)
  returns boolean
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan
as $$
declare
  ended pgqueue.history := pgqueue._ended_job(handle.id);
begin
  perform pgqueue._check_handle(role, handle, ended.submitter, ended.cookie, '42704');
  if ended.kept <> 'once' then
    return true;
  end if;
  delete from pgqueue.tracked_job t where t.id = handle.id;
  delete from pgqueue.result r
  where r.id = handle.id and r.ended_at > coalesce(ended.started_at, ended.ended_at) - interval '1 h' and r.ended_at < ended.ended_at + interval '1 h';
  return found;
end
$$;
comment on function pgqueue._consume(oid, pgqueue.handle) is 'Deletes the result of a launched job. False: somebody else has read it first';

create function pgqueue._detach(role oid, handle pgqueue.handle)
  returns boolean
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform pgqueue._locate(role, handle, '55000');
  insert into pgqueue.request (id, kind) values (handle.id, 'detach') on conflict do nothing;
  delete from pgqueue.tracked_job t where t.id = handle.id;
  delete from pgqueue.result r where r.id = handle.id;
  return true;
end
$$;
comment on function pgqueue._detach(oid, pgqueue.handle) is 'The gate''s half of detach';

create function pgqueue._statement_of(role oid, handle pgqueue.handle)
  returns text
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform pgqueue._locate(role, handle, '42704');
  return coalesce((select m.sql from pgqueue.message m where m.id = handle.id), (select h.sql from pgqueue.history h where h.id = handle.id));
end
$$;
comment on function pgqueue._statement_of(oid, pgqueue.handle) is 'The whole text of a job';

create function pgqueue._progress_of(role oid, handle pgqueue.handle, out progress_pct int, out progress_msg text)
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform pgqueue._locate(role, handle, '55000');
  select a.progress_pct, a.progress_msg into progress_pct, progress_msg
  from pgqueue.activity a join pgqueue.message m on m.id = a.id and m.token = a.token where a.id = handle.id;
  if not found then
    select h.progress_pct, h.progress_msg into progress_pct, progress_msg from pgqueue.history h where h.id = handle.id;
  end if;
exception when undefined_object then
  null;  -- unknown: no progress, as in pg_background
end
$$;
comment on function pgqueue._progress_of(oid, pgqueue.handle) is 'The last progress of a job';

create function pgqueue._cancel(role oid, handle pgqueue.handle, grace_ms bigint)
  returns boolean
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  place record;
  m pgqueue.message;
  ends_at timestamptz := case when grace_ms > 0 then clock_timestamp() + grace_ms * interval '1 ms' end;
begin
  for attempt in 1 .. 400 loop
    select * into place from pgqueue._locate(role, handle, '55000', true) l;
    if not place.live then
      return false;
    end if;
    -- Whoever claims, begins or ends a job locks its row; with the row locked here none of these happens until the commit.
    select * into m from pgqueue.message q where q.id = handle.id for update skip locked;
    if found and m.state <> 'claimed' then
      delete from pgqueue.message q where q.id = handle.id;
      perform pgqueue._archive(m, 'canceled', '{"sqlstate": "57014", "message": "canceling statement due to user request"}', null, null);
      return true;
    elsif found or place.running or (attempt > 1 and place.worker_id is not null) then
      -- Its worker has it: prefetched (pgqueue._lock_job will see the request) or running (the worker is told), also if that was
      -- not noted yet. Or it is just ending, and the request comes too late: pgqueue._is_canceled tells.
      insert into pgqueue.request (id, kind, terminate_at) values (handle.id, 'cancel', ends_at) on conflict do nothing;
      if not found and ends_at is not null then
        -- Skipped when the job is just ending: then its row of the request is locked, and about to go.
        update pgqueue.request r set terminate_at = least(r.terminate_at, ends_at)
        where r.id = handle.id and r.kind = 'cancel'
          and exists (select from pgqueue.request l where l.id = handle.id and l.kind = 'cancel' for update skip locked);
      end if;
      -- Only a hint, for anybody can notify: what to do the worker asks pgqueue._cancel_requests. The row is newer than
      -- the place: it may have been claimed between the two.
      perform pg_notify('pgqueue.w.' || coalesce(m.worker_id, place.worker_id), '');
      -- With the row locked here it cannot begin before it sees the request.
      return case when m.id is not null and not exists (select from pgqueue.activity a where a.id = m.id and a.token = m.token) then true end;
    end if;
    perform pg_sleep(0.005);  -- the row is locked by a claim or an end that is about to commit
  end loop;
  raise exception 'job % is busy', handle.id using errcode = '55P03', hint = 'Try again.';
end
$$;
comment on function pgqueue._cancel(oid, pgqueue.handle, bigint) is 'The gate''s half of cancel. True: canceled. False: it had ended. NULL: asked for, pgqueue._is_canceled tells once this is committed';

create function pgqueue._is_canceled(role oid, handle pgqueue.handle)
  returns boolean
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  place record := pgqueue._locate(role, handle, '55000', true);
  runs boolean;
  is_ending boolean;
begin
  if not place.live then
    return place.state = 'canceled';
  end if;
  -- The request is committed. A job that begins now sees it first of all, one that runs sees it at its end, which goes so: it writes its
  -- history, and then looks for a request. So one that runs and has not begun to write its history will see it.
  with locks as materialized (
    select * from pg_locks
  ), holder as (
    select l.pid, pgqueue._run_key_of(m.id, m.token) as run_key
    from pgqueue.message m join locks l on l.locktype = 'transactionid' and l.transactionid = m.xmax and l.granted and l.mode = 'ExclusiveLock'
    where m.id = handle.id
  )
  select (select exists (select from locks l where l.pid = holder.pid and l.locktype = 'advisory' and l.objsubid = 1 and l.granted
                         and (l.classid::bigint << 32 | l.objid::bigint) = holder.run_key) from holder),
         exists (select from holder join locks l on l.pid = holder.pid and l.locktype = 'relation' and l.relation = 'pgqueue.history'::regclass
                 and l.database = (select d.oid from pg_database d where d.datname = current_database()) and l.mode = 'RowExclusiveLock')
  into runs, is_ending;
  if is_ending or not exists (select from pgqueue.message m where m.id = handle.id) then
    return null;
  elsif runs is not null then
    -- Without the lock of a run it claims the job, gives it back, or puts down what ran outside a transaction.
    return case when runs then true end;
  end if;
  -- What runs outside a transaction holds nothing: its end tells.
  return case when not place.running then true end;
end
$$;
comment on function pgqueue._is_canceled(oid, pgqueue.handle) is
  'Whether a job is canceled for which pgqueue._cancel has committed a request 10 ms ago or longer: true, it will not commit; false, it has ended otherwise; NULL, not known yet';

create function pgqueue._request(handle pgqueue.handle)
  returns jsonb
  language sql stable
begin atomic
  select jsonb_build_object('id', (handle).id, 'cookie', (handle).cookie);
end;
comment on function pgqueue._request(pgqueue.handle) is 'A handle as the gate takes it';

create function pgqueue._handle(id bigint)
  returns pgqueue.handle
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  return (id, (select (c.answer ->> 'cookie')::bigint from pgqueue._call('cookie', jsonb_build_object('id', id)) c (answer)));
end
$$;
comment on function pgqueue._handle(bigint) is 'The handle of a job, without its cookie for roles that may not use it';

create function pgqueue._handle(id int)
  returns pgqueue.handle
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  return pgqueue._handle(id::bigint);
end
$$;
comment on function pgqueue._handle(int) is 'As of a bigint';

create function pgqueue._handle(id smallint)
  returns pgqueue.handle
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  return pgqueue._handle(id::bigint);
end
$$;
comment on function pgqueue._handle(smallint) is 'As of a bigint. Drivers send small numbers as smallint';

-- So pgqueue.cancel(7) and the like name a job by its number. Functions of the same names for numbers would make a call with a parameter
-- or a literal of unknown type ambiguous.
create cast (bigint as pgqueue.handle) with function pgqueue._handle(bigint) as implicit;
create cast (int as pgqueue.handle) with function pgqueue._handle(int) as implicit;
create cast (smallint as pgqueue.handle) with function pgqueue._handle(smallint) as implicit;

create function pgqueue._with_wait(request jsonb, since timestamptz, left_s float8 default 60)
  returns jsonb
  language sql volatile
begin atomic
  -- Most jobs are short: for them the gate waits, and one request is enough. Later it is the caller that sleeps (pgqueue._doze): only
  -- what waits in the caller's own session can be found to be a deadlock.
  select case when clock_timestamp() < since + interval '1 s'
         then request || jsonb_build_object('wait_ms', least(100, greatest(0, ceil(left_s * 1000)))::int) else request end;
end;
comment on function pgqueue._with_wait(jsonb, timestamptz, float8) is 'A request about a job that has been waited for since an instant: in the first second the gate waits a moment for its end';

create function pgqueue._tell_wait(id bigint)
  returns void
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  if nullif(current_setting('pgqueue.job_id', true), '') is not null then
    -- An INFO reaches the client in the middle of a statement. The client is the worker: it gives the job's place to another.
    raise info using errcode = 'PQ007', message = jsonb_build_object('job', current_setting('pgqueue.job_id'), 'waits_for', id)::text;
  end if;
end
$$;
comment on function pgqueue._tell_wait(bigint) is 'Inside a job: tells its worker for which other job it waits from now on, NULL for none';

create function pgqueue._status(handle pgqueue.handle, wait jsonb default '{}', out state pgqueue.job_state, out live boolean, out run_key bigint)
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  answer jsonb;
  code text;
  message text;
  detail text;
  hint text;
begin
  if handle is null or handle.id is null then
    raise exception 'handle cannot be NULL' using errcode = '22004';
  end if;
  begin
    select * into answer from pgqueue._call('status', pgqueue._request(handle) || wait);
  exception when others then
    -- Nobody else sees it. If the caller does, its own open transaction has enqueued it.
    if sqlstate = '42704' and exists (select from pgqueue.outbox o where o.id = handle.id) then
      raise exception 'job % was enqueued by this transaction, which has not committed', handle.id
        using errcode = '55000', hint = 'Commit first, or use pgqueue.launch, which does not wait for the commit.';
    end if;
    get stacked diagnostics code = returned_sqlstate, message = message_text, detail = pg_exception_detail, hint = pg_exception_hint;
    if pgqueue._raise_again(code, message, detail, hint) then
      null;
    end if;
  end;
  state := answer ->> 'state';
  live := answer ->> 'live';
  run_key := answer ->> 'run_key';
end
$$;
comment on function pgqueue._status(pgqueue.handle, jsonb) is 'The state of a job as it is now, in any isolation level; wait: of pgqueue._with_wait';

create function pgqueue._wait_for_run(run_key bigint, max_ms bigint)
  returns void
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform set_config('lock_timeout', max_ms::text, true), pg_advisory_xact_lock_shared(run_key);
  -- With the subtransaction ends what this has set and got, also after a cancel.
  raise assert_failure;
exception when assert_failure or lock_not_available then
  null;
end
$$;
comment on function pgqueue._wait_for_run(bigint, bigint) is
  'Sleeps until the transaction of a running job has ended, at most so long. A job that waits for the caller in turn is a deadlock, and found';

create function pgqueue._doze(run_key bigint, since timestamptz, left_s float8)
  returns timestamptz
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  if run_key is not null then
    -- Longer than PostgreSQL takes to look for a deadlock. Not for ever: once the job holds its lock any role sees the key, and can
    -- take the lock when the job has ended.
    perform pgqueue._wait_for_run(run_key, ceil(least(left_s, extract(epoch from current_setting('deadlock_timeout')::interval) + 1) * 1000)::bigint);
    -- It has just ended, or is about to be put down as failed: look soon again.
    return clock_timestamp();
  end if;
  -- Short waits are noticed at once, long ones cost next to nothing: a pause is a twentieth of the time waited so far.
  perform pg_sleep(least(left_s, 0.25, greatest(0.001, extract(epoch from clock_timestamp() - since) / 20)));
  return since;
end
$$;
comment on function pgqueue._doze(bigint, timestamptz, float8) is
  'Sleeps until a job may have ended, which has been waited for since an instant and holds this lock (NULL: none). Returns that instant, a newer one if it has just stopped running';

create function pgqueue._wait_on(handle pgqueue.handle, timeout interval)
  returns boolean
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  began timestamptz := clock_timestamp();
  since timestamptz := began;
  until timestamptz := began + timeout;
  is_told boolean := nullif(current_setting('pgqueue.job_id', true), '') is null;
  left_s float8;
  wait jsonb := '{}';
  is_live boolean;
  run_key bigint;
begin
  loop
    left_s := greatest(0.001, coalesce(extract(epoch from until - clock_timestamp()), 60));
    -- One that is to be told at once that this waits has to know first whether it does.
    wait := case when run_key is null and is_told then pgqueue._with_wait('{}', began, least(left_s, coalesce(extract(epoch from timeout), 60))) else '{}' end;
    select s.live, s.run_key into is_live, run_key from pgqueue._status(handle, wait) s;
    if not is_live or clock_timestamp() >= until then
      if is_told then
        perform pgqueue._tell_wait(null);
      end if;
      return not is_live;
    elsif not is_told then
      perform pgqueue._tell_wait(handle.id);
      is_told := true;
      continue;
    end if;
    if run_key is not null or wait = '{}' then
      since := pgqueue._doze(run_key, since, greatest(0.001, coalesce(extract(epoch from until - clock_timestamp()), 60)));
      -- What it ran for is over.
      run_key := null;
    end if;
  end loop;
end
$$;
comment on function pgqueue._wait_on(pgqueue.handle, interval) is 'Waits until a job has ended. False: the timeout came first';

create function pgqueue.wait(handle pgqueue.handle, timeout interval default null)
  returns boolean
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  if timeout < interval '0' then
    raise exception 'timeout is negative' using errcode = '22023';
  end if;
  return pgqueue._wait_on(handle, timeout);
end
$$;
comment on function pgqueue.wait(pgqueue.handle, interval) is 'Waits until a job has ended. False: the timeout came first';

create function pgqueue._say(level text, code text, message text, detail text, hint text)
  returns void
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- The level of RAISE is part of its text, and it takes no NULL for an option. What was said is data, whoever has written it.
  case level
    when 'WARNING' then
      if detail <> '' and hint <> '' then
        raise warning using errcode = code, message = message, detail = detail, hint = hint;
      elsif detail <> '' then
        raise warning using errcode = code, message = message, detail = detail;
      elsif hint <> '' then
        raise warning using errcode = code, message = message, hint = hint;
      else
        raise warning using errcode = code, message = message;
      end if;
    when 'NOTICE' then
      if detail <> '' and hint <> '' then
        raise notice using errcode = code, message = message, detail = detail, hint = hint;
      elsif detail <> '' then
        raise notice using errcode = code, message = message, detail = detail;
      elsif hint <> '' then
        raise notice using errcode = code, message = message, hint = hint;
      else
        raise notice using errcode = code, message = message;
      end if;
    when 'INFO' then
      if detail <> '' and hint <> '' then
        raise info using errcode = code, message = message, detail = detail, hint = hint;
      elsif detail <> '' then
        raise info using errcode = code, message = message, detail = detail;
      elsif hint <> '' then
        raise info using errcode = code, message = message, hint = hint;
      else
        raise info using errcode = code, message = message;
      end if;
    when 'LOG' then
      if detail <> '' and hint <> '' then
        raise log using errcode = code, message = message, detail = detail, hint = hint;
      elsif detail <> '' then
        raise log using errcode = code, message = message, detail = detail;
      elsif hint <> '' then
        raise log using errcode = code, message = message, hint = hint;
      else
        raise log using errcode = code, message = message;
      end if;
    else
      if detail <> '' and hint <> '' then
        raise debug using errcode = code, message = message, detail = detail, hint = hint;
      elsif detail <> '' then
        raise debug using errcode = code, message = message, detail = detail;
      elsif hint <> '' then
        raise debug using errcode = code, message = message, hint = hint;
      else
        raise debug using errcode = code, message = message;
      end if;
  end case;
end
$$;
comment on function pgqueue._say(text, text, text, text, text) is 'Raises one notice; detail and hint may be empty or NULL';

create function pgqueue._forward_notices(notices jsonb)
  returns void
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  notice jsonb;
begin
  if pgqueue._are_notices(notices) then
    for notice in select value from jsonb_array_elements(notices) loop
      perform pgqueue._say(notice ->> 'severity', coalesce(notice ->> 'sqlstate', '00000'), coalesce(notice ->> 'message', ''), notice ->> 'detail', notice ->> 'hint');
    end loop;
  end if;
end
$$;
comment on function pgqueue._forward_notices(jsonb) is 'Raises what a job said, for its reader';

create function pgqueue._raiser(said_at text)
  returns text
  language plpgsql immutable
  set search_path = pg_catalog, pg_temp
as $$
declare
  comment text := replace(replace(said_at, '/*', '/ *'), '*/', '* /');
begin
  -- RAISE cannot set CONTEXT, but the text of a statement stands in it: what the job's error said is a comment there. A text in which
  -- neither mark of a comment occurs can end none and begin none, so it is never read as SQL.
  if strpos(comment, '/*') > 0 or strpos(comment, '*/') > 0 then
    comment := '';
  end if;
  return 'select pgqueue._raise($1) /* ' || comment || ' */';
end
$$;
comment on function pgqueue._raiser(text) is 'The statement that raises an error whose CONTEXT says where it was raised at first';

create function pgqueue._error_of(handle pgqueue.handle, answer jsonb)
  returns jsonb
  language sql immutable
  set search_path = pg_catalog, pg_temp
as $$
  select coalesce(nullif(answer -> 'error', 'null'), jsonb_build_object('sqlstate', '57014', 'message', format('job %s is %s', handle.id, answer ->> 'state')))
$$;
comment on function pgqueue._error_of(pgqueue.handle, jsonb) is 'The error of a job that has not succeeded';

create function pgqueue._said_at(handle pgqueue.handle, answer jsonb)
  returns text
  language sql immutable
  set search_path = pg_catalog, pg_temp
as $$
  select concat_ws(chr(10), answer #>> '{error,context}', format('background worker, job %s, pid %s', handle.id, coalesce(answer ->> 'backend_pid', 'none')))
$$;
comment on function pgqueue._said_at(pgqueue.handle, jsonb) is 'What becomes part of the CONTEXT of the error of a job';

create function pgqueue._fetch_result(handle pgqueue.handle, may_hold boolean default false, out seq bigint, out answer jsonb)
  returns setof record
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  began timestamptz := clock_timestamp();
  since timestamptz := began;
  request jsonb;
  live jsonb;
  holds boolean := may_hold and pgqueue._setting('loopback', 'session') <> 'call';
  asked jsonb := case when holds then pgqueue._request(handle) || '{"hold": true}' else pgqueue._request(handle) end;
  is_told boolean := nullif(current_setting('pgqueue.job_id', true), '') is null;
begin
  loop
    live := null;
    request := case when is_told then pgqueue._with_wait(asked, began) else asked end;
    begin
      for answer, seq in select c.answer, c.n - 1 from pgqueue._call('result', request, holds) with ordinality c (answer, n) loop
        if holds and seq = 0 and not answer ? 'held' then
          perform pgqueue._end_hold(true);
        end if;
        if seq = 0 and answer ? 'live' then
          live := answer;
        else
          return next;
        end if;
      end loop;
    exception when undefined_object then
      perform pgqueue._status(handle);  -- says it better of a job that this transaction has enqueued
      raise;
    end;
    if live is null then
      if is_told then
        perform pgqueue._tell_wait(null);
      end if;
      exit;
    elsif not is_told then
      perform pgqueue._tell_wait(handle.id);
      is_told := true;
      continue;
    end if;
    continue when request ? 'wait_ms' and live ->> 'run_key' is null;
    since := pgqueue._doze((live ->> 'run_key')::bigint, since, 60);
  end loop;
end
$$;
comment on function pgqueue._fetch_result(pgqueue.handle, boolean) is
  'Waits, then reads the result: what it is (seq 0), then chunks of rows. It is still to be consumed, with pgqueue._consume_result; if it says held, which needs may_hold, with pgqueue._end_hold';

create function pgqueue._consume_result(handle pgqueue.handle, is_held boolean default false)
  returns void
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  if is_held and pgqueue._end_hold(true) then
    return;
  end if;
  if not (select c.answer::boolean from pgqueue._call('consume', pgqueue._request(handle)) c (answer)) then
    raise exception 'the result of job % is gone', handle.id
      using errcode = '42704', hint = 'Another session has read it at the same time. The result of a launched job can be read once.';
  end if;
end
$$;
comment on function pgqueue._consume_result(pgqueue.handle, boolean) is 'Ends a read of a result';

create function pgqueue.result(handle pgqueue.handle)
  returns setof record
  language plpgsql volatile
as $$
declare
  chunk pg_catalog.record;
  answer pg_catalog.jsonb;
  reader pg_catalog.text;
  casts pg_catalog.text[];
  misfit pg_catalog.text;
  old_settings pg_catalog.jsonb;
  is_held boolean;
  is_checked boolean := false;
  is_the_jobs boolean := false;
  code pg_catalog.text;
  message pg_catalog.text;
  detail pg_catalog.text;
  hint pg_catalog.text;
begin
  loop
    is_held := true;  -- maybe, until the answer says it
    misfit := null;
    begin
      for chunk in select * from pgqueue._fetch_result(handle, true) f loop
        if chunk.seq operator(pg_catalog.=) 0 then
          answer := chunk.answer;
          is_held := answer operator(pg_catalog.?) 'held';
          if casts is null and pg_catalog.jsonb_typeof(answer operator(pg_catalog.->) 'notices') operator(pg_catalog.=) 'array' then
            perform pgqueue._forward_notices(answer operator(pg_catalog.->) 'notices');
          end if;
          if answer operator(pg_catalog.->>) 'state' operator(pg_catalog.<>) 'succeeded' then
            perform pgqueue._consume_result(handle, is_held);
            is_held := false;
            is_the_jobs := true;
            execute pgqueue._raiser(pgqueue._said_at(handle, answer)) using pgqueue._error_of(handle, answer);
          end if;
          reader := pgqueue._result_reader(answer, casts);
          -- Values are read back under the settings under which they were printed.
          old_settings := pgqueue._swap_settings(answer operator(pg_catalog.->) 'output_settings');
          -- A result of rows has a chunk at least, and the first is the check of the caller's column definition list.
          continue when pg_catalog.jsonb_typeof(answer operator(pg_catalog.->) 'columns') operator(pg_catalog.=) 'array';
        end if;
        if chunk.seq operator(pg_catalog.=) 0 then
          return query execute reader using null::pg_catalog.jsonb,
            array(select pg_catalog.jsonb_array_elements_text(answer operator(pg_catalog.->) 'command_tags'));
        else
          return query execute reader using chunk.answer, array[]::pg_catalog.text[];
        end if;
        is_checked := true;
      end loop;
      if old_settings operator(pg_catalog.<>) '{}' then
        perform pgqueue._swap_settings(old_settings);
      end if;
      perform pgqueue._consume_result(handle, is_held);
      is_held := false;
      return;
    exception
      when query_canceled then
        -- Maybe in the middle of a request, whose answer nobody has read then.
        if is_held then
          perform pgqueue._end_hold(false);
        end if;
        raise;
      when others then
        if is_held and answer is not null then
          perform pgqueue._end_hold(false);
        end if;
        if reader is null and not is_the_jobs then
          get stacked diagnostics code = returned_sqlstate, message = message_text, detail = pg_exception_detail, hint = pg_exception_hint;
          if pgqueue._raise_again(code, message, detail, hint) then
            null;
          end if;
        elsif sqlstate operator(pg_catalog.<>) '42804' and sqlstate operator(pg_catalog.<>) '0A000' or reader is null or is_checked then
          raise;
        end if;
        begin
          return query execute reader using '[]'::pg_catalog.jsonb, array[]::pg_catalog.text[];
        exception
          when datatype_mismatch then
            get stacked diagnostics misfit = pg_exception_detail;
          when feature_not_supported then
            perform pgqueue._refuse_place();
        end;
        if misfit is null then
          raise;  -- a value said so, not the list
        end if;
    end;
    -- The list may name a length where the job's type has none, or another one: then values are read as of that. Else it does not fit.
    casts := pgqueue._fit_casts(answer, casts, misfit);
    if casts is null then
      raise exception using errcode = '42804', message = pgqueue._misfit(answer), hint = pgqueue._result_hint(answer);
    end if;
  end loop;
end
$$;
comment on function pgqueue.result(pgqueue.handle) is
  'Waits for a job and returns the rows of its last statement, or raises its error. Name the columns: select * from pgqueue.result(h) as (id int, name text)';

create function pgqueue._refuse_place()
  returns void
  language plpgsql stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  raise exception 'function returning record called in context that cannot accept type record'
    using errcode = '0A000', hint = 'Call it in FROM with a column definition list.';
end
$$;
comment on function pgqueue._refuse_place() is 'Says that a result is read where no columns can be named';

create function pgqueue._misfit(answer jsonb)
  returns text
  language sql immutable
  set search_path = pg_catalog, pg_temp
as $$
  select case when jsonb_typeof(answer -> 'columns') = 'array' then 'remote query result rowtype does not match the specified FROM clause rowtype'
              else 'remote query did not return a result set, but result rowtype is not a single text column' end
$$;
comment on function pgqueue._misfit(jsonb) is 'That a column definition list does not fit a result, in pg_background''s words';

create function pgqueue._fit_casts(answer jsonb, casts text[], misfit text)
  returns text[]
  language plpgsql stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  -- Only the server knows the list; it says which type it wants where. (In another language than English nothing is found, and the
  -- list has to be exact.)
  said text[] := regexp_match(misfit, '^Returned type .* does not match expected type ([a-z ]+[(][0-9, -]+[)][a-z ]*) in column .*?([0-9]+)[)]?[.]$');
  n int := said[2];
begin
  if said is null or casts[n] is not null or (answer #>> array['columns', (n - 1)::text, 'type']) is null
     or to_regtype(said[1]) is distinct from (answer #>> array['columns', (n - 1)::text, 'oid'])::oid
  then
    return null;
  end if;
  casts[n] := said[1];
  return casts;
end
$$;
comment on function pgqueue._fit_casts(jsonb, text[], text) is
  'What columns are read as, after PostgreSQL has refused a column definition list that differs in a type''s length or precision only. NULL: it differs in more';

create function pgqueue._result_reader(answer jsonb, casts text[] default null)
  returns text
  language plpgsql stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  if jsonb_typeof(answer -> 'columns') = 'array' then
    -- Of a list's own types the values are read as input is: what is too long is refused, not cut.
    return format('select %s from pg_catalog.jsonb_array_elements($1) with ordinality r (v, n) where pg_catalog.cardinality($2) operator(pg_catalog.=) 0 order by n',
                  (select string_agg(format(case when casts[n] is null then '(v operator(pg_catalog.->>) %s)::%s'
                     else '(select x.x from pg_catalog.jsonb_to_record(pg_catalog.jsonb_build_object(''x'', v operator(pg_catalog.->) %s)) x (x %s))' end,
                     n - 1, coalesce(casts[n], c ->> 'cast')), ', ' order by n)
                   from jsonb_array_elements(answer -> 'columns') with ordinality e (c, n)));
  end if;
  return 'select tag from pg_catalog.unnest($2) with ordinality t (tag, n) where $1 is null or true order by n';
end
$$;
comment on function pgqueue._result_reader(jsonb, text[]) is 'The query that turns a chunk of rows into the columns of a job, with their exact types, or with those of pgqueue._fit_casts';

create function pgqueue._result_hint(answer jsonb)
  returns text
  language sql stable
  set search_path = pg_catalog, pg_temp
as $$
  select case when jsonb_typeof(answer -> 'columns') = 'array'
    then format('The job returned (%s).', (select string_agg(format('%I %s', c ->> 'name', c ->> 'type'), ', ' order by n)
                                           from jsonb_array_elements(answer -> 'columns') with ordinality e (c, n)))
    else 'Its command tags can be read as (result text).' end
$$;
comment on function pgqueue._result_hint(jsonb) is 'Which column definition list fits a result';

create function pgqueue._swap_settings(settings jsonb)
  returns jsonb
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  old jsonb := '{}';
  setting record;
begin
  -- Arrays are read with their NULLs, whatever the reader's session takes NULL for.
  for setting in select key, value from jsonb_each_text('{"array_nulls": "on"}' || case when jsonb_typeof(settings) = 'object' then settings else '{}' end) loop
    if current_setting(setting.key) <> setting.value then
      old := old || jsonb_build_object(setting.key, current_setting(setting.key));
      perform set_config(setting.key, setting.value, true);
    end if;
  end loop;
  return old;
end
$$;
comment on function pgqueue._swap_settings(jsonb) is 'Sets settings for the rest of the transaction and returns what those were that had other values';

create function pgqueue._read_result(handle pgqueue.handle)
  returns table (seq int, answer jsonb)
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  is_held boolean := true;
begin
  for seq, answer in select f.seq, f.answer from pgqueue._fetch_result(handle, true) f loop
    if seq = 0 then
      is_held := answer ? 'held';
    end if;
    return next;
  end loop;
  perform pgqueue._consume_result(handle, is_held);
exception when query_canceled then
  if is_held then
    perform pgqueue._end_hold(false);
  end if;
  raise;
end
$$;
comment on function pgqueue._read_result(pgqueue.handle) is 'pgqueue.result for programs: seq 0 is {state, error, columns, command_tags, ...}, the others are chunks of rows of text. Raises no error of the job';

create function pgqueue.cancel(handle pgqueue.handle, grace interval default '0')
  returns boolean
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  is_canceled boolean;
  pause float8 := 0.01;
begin
  if grace is null or grace < interval '0' then
    raise exception 'grace must not be negative' using errcode = '22023';
  end if;
  perform pgqueue._status(handle);
  select nullif(c.answer, 'null')::boolean into is_canceled
  from pgqueue._call('cancel', pgqueue._request(handle) || jsonb_build_object('grace_ms', least(3600000, (extract(epoch from grace) * 1000)::bigint))) c (answer);
  -- A job that runs may be at its end just now: then its end tells.
  while is_canceled is null loop
    perform pg_sleep(pause);
    pause := least(pause * 1.5, 0.2);
    select nullif(c.answer, 'null')::boolean into is_canceled from pgqueue._call('canceled', pgqueue._request(handle)) c (answer);
  end loop;
  if is_canceled and grace > interval '0' then
    -- After the grace the worker ends the session of the job. That takes a moment.
    perform pgqueue.wait(handle, grace + interval '2 s');
  end if;
  return is_canceled;
end
$$;
comment on function pgqueue.cancel(pgqueue.handle, interval) is
  'Cancels a job, queued or running, at once and whatever becomes of the caller''s transaction. True: it will not commit. False: it has ended. With grace it waits that long, then ends the job''s session';

create function pgqueue.detach(handle pgqueue.handle)
  returns void
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  status record := pgqueue._status(handle);
begin
  perform pgqueue._call('detach', pgqueue._request(handle));
end
$$;
comment on function pgqueue.detach(pgqueue.handle) is 'Gives up the result of a job. It runs on and commits';

create function pgqueue.statement(handle pgqueue.handle)
  returns text
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  status record := pgqueue._status(handle);
begin
  return (select c.answer #>> '{}' from pgqueue._call('statement', pgqueue._request(handle)) c (answer));
end
$$;
comment on function pgqueue.statement(pgqueue.handle) is 'The whole text of a job; pgqueue.jobs shows its beginning';

create function pgqueue.get_progress(handle pgqueue.handle, out progress_pct int, out progress_msg text)
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  answer jsonb;
begin
  select * into answer from pgqueue._call('progress', pgqueue._request(handle));
  progress_pct := answer ->> 'progress_pct';
  progress_msg := answer ->> 'progress_msg';
end
$$;
comment on function pgqueue.get_progress(pgqueue.handle) is 'What a job said last with pgqueue.progress; NULLs when nothing or unknown';

create function pgqueue.progress(pct int, msg text default null)
  returns void
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  if nullif(current_setting('pgqueue.job_id', true), '') is null then
    raise exception 'pgqueue.progress can only be called from a job' using errcode = '0A000';
  elsif pct is null then
    raise exception 'pct must not be NULL' using errcode = '22004';
  end if;
  -- An INFO reaches the client in the middle of a statement, whatever client_min_messages says. The client is the worker.
  raise info using errcode = 'PQ001', message = jsonb_build_object('job', current_setting('pgqueue.job_id'), 'pct', greatest(0, least(100, pct)), 'msg', pgqueue._cut(msg, 63))::text;
end
$$;
comment on function pgqueue.progress(int, text) is 'Inside a job: says how far it is, 0 to 100. Others see it at once, before the job commits';

create function pgqueue._cut(value text, max_bytes int)
  returns text
  language plpgsql immutable
  set search_path = pg_catalog, pg_temp
as $$
begin
  value := left(value, max_bytes);
  while octet_length(value) > max_bytes loop
    value := left(value, -1);
  end loop;
  return value;
end
$$;
comment on function pgqueue._cut(text, int) is 'The beginning of a text, whole characters within so many bytes';
