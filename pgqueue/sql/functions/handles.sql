-- Handles: the number of a job and its secret, checked and found.

create or replace function pgqueue._handle(id bigint)
  returns pgqueue.handle
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  return (id, (select (c.answer ->> 'cookie')::bigint from pgqueue._call('cookie', jsonb_build_object('id', id)) c (answer)));
end
$$;
comment on function pgqueue._handle(bigint) is 'The handle of a job, without its cookie for roles that may not use it';
grant execute on function pgqueue._handle(bigint) to pgqueue_user;

create or replace function pgqueue._handle(id int)
  returns pgqueue.handle
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  return pgqueue._handle(id::bigint);
end
$$;
comment on function pgqueue._handle(int) is 'As of a bigint';
grant execute on function pgqueue._handle(int) to pgqueue_user;

create or replace function pgqueue._handle(id smallint)
  returns pgqueue.handle
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  return pgqueue._handle(id::bigint);
end
$$;
comment on function pgqueue._handle(smallint) is 'As of a bigint. Drivers send small numbers as smallint';
grant execute on function pgqueue._handle(smallint) to pgqueue_user;

create or replace function pgqueue._request(handle pgqueue.handle)
  returns jsonb
  language sql stable
begin atomic
  select jsonb_build_object('id', (handle).id, 'cookie', (handle).cookie);
end;
comment on function pgqueue._request(pgqueue.handle) is 'A handle as the gate takes it';
grant execute on function pgqueue._request(pgqueue.handle) to pgqueue_user;

create or replace function pgqueue._check_handle(role oid, handle pgqueue.handle, submitter oid, cookie bigint, wrong_cookie text, by_administrators boolean default false)
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

create or replace function pgqueue._ended_job(id bigint)
  returns pgqueue.history
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan
as $$
declare
  ended pgqueue.history;
begin
  -- Most jobs are looked up soon after their end: then one partition is read, not all of them.
  select h.* into ended from pgqueue.history h
  where h.id = _ended_job.id and h.ended_at > statement_timestamp() - interval '1 h' and h.ended_at < statement_timestamp() + interval '1 min';
  if not found then
    select h.* into ended from pgqueue.history h where h.id = _ended_job.id;
  end if;
  return ended;
end
$$;
comment on function pgqueue._ended_job(bigint) is 'A job that has ended; NULLs if there is none';

create or replace function pgqueue._held_key(id bigint, token bigint)
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
  -- The subtransaction releases a lock that was taken here, whatever happens. A job that begins meanwhile waits that long.
  if pg_try_advisory_xact_lock_shared(run_key) then
    raise assert_failure;
  end if;
  return run_key;
exception when assert_failure then
  return null;
end
$$;
comment on function pgqueue._held_key(bigint, bigint) is 'The key of pgqueue._run_key_of if the job runs in a transaction now, else NULL';

create or replace function pgqueue._locate(role oid, handle pgqueue.handle, wrong_cookie text, by_administrators boolean default false, out live boolean, out state pgqueue.job_state,
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
         case when a.id is not null then 'running' when m.state = 'waiting' then 'waiting' else 'queued' end, pgqueue._held_key(m.id, m.token)
  into submitter, cookie, kept, worker_id, running, state, run_key
  from pgqueue.message m left join pgqueue.activity a on a.id = m.id and a.token = m.token
  where m.id = handle.id and m.kind = 'job';
  if not found then
    -- A job moves from the queue to the history and never back, so reading the history second finds it.
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
comment on function pgqueue._locate(oid, pgqueue.handle, text, boolean) is
  'The place of a job, after the checks: 42704 unknown, 42501 another role''s, then the cookie';

create or replace function pgqueue._cookie_of(role oid, id bigint)
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
    -- A job moves from the queue to the history and never back, so reading the history second finds it.
    ended := pgqueue._ended_job(id);
    submitter := ended.submitter;
    cookie := ended.cookie;
  end if;
  return case when pg_has_role(role, submitter, 'member') then cookie end;
end
$$;
comment on function pgqueue._cookie_of(oid, bigint) is 'The cookie of a job, for roles that may use it; else NULL';
