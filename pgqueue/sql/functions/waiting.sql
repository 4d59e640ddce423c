-- Waiting for the end of a job. The caller waits for the lock of the run and asks over the loopback, so it sees the present state
-- in any isolation level.

create or replace function pgqueue._await_end(role oid, id bigint, max_ms int)
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
    -- A role must not learn from the duration when another role's job ends.
    select m.token into token from pgqueue.message m
    where m.id = _await_end.id and (pg_has_role(role, m.submitter, 'member') or pg_has_role(role, 'pgqueue_admin', 'member'));
    exit when not found;
    run_key := pgqueue._held_key(id, token);
    if run_key is null then
      -- The job does not run yet.
      perform pg_sleep(greatest(0.001, extract(epoch from clock_timestamp() - since) / 20));
    else
      -- The commit of the job ends this wait.
      perform pgqueue._wait_for_run(run_key, ceil(greatest(1, extract(epoch from until - clock_timestamp()) * 1000))::bigint);
    end if;
  end loop;
end
$$;
comment on function pgqueue._await_end(oid, bigint, int) is
  'Sleeps in the gate until a job has ended, for at most 1 s: before PostgreSQL 17 the caller cannot be canceled meanwhile';

create or replace function pgqueue._with_wait(request jsonb, since timestamptz, left_s float8 default 60)
  returns jsonb
  language sql volatile
begin atomic
  -- Most jobs are short: for them the gate waits, and one request is enough. Later the caller sleeps (pgqueue._doze), because a
  -- deadlock is only detected if the caller's own session waits.
  select case when clock_timestamp() < since + interval '1 s'
         then request || jsonb_build_object('wait_ms', least(100, greatest(0, ceil(left_s * 1000)))::int) else request end;
end;
comment on function pgqueue._with_wait(jsonb, timestamptz, float8) is
  'A request about a job that the caller has waited for since an instant: in the first second the gate waits up to 100 ms for its end';
grant execute on function pgqueue._with_wait(jsonb, timestamptz, float8) to pgqueue_user;

create or replace function pgqueue._tell_wait(id bigint)
  returns void
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  if nullif(current_setting('pgqueue.job_id', true), '') is not null then
    -- An INFO reaches the client during a statement. The client is the worker, which gives the job's place to another.
    raise info using errcode = 'PQ007', message = jsonb_build_object('job', current_setting('pgqueue.job_id'), 'waits_for', id)::text;
  end if;
end
$$;
comment on function pgqueue._tell_wait(bigint) is 'Inside a job: tells its worker for which other job it waits from now on, NULL for none';
grant execute on function pgqueue._tell_wait(bigint) to pgqueue_user;

create or replace function pgqueue._status(handle pgqueue.handle, wait jsonb default '{}', out state pgqueue.job_state, out live boolean, out run_key bigint)
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
    -- No other session sees the job. If the caller does, its own open transaction has enqueued it.
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
comment on function pgqueue._status(pgqueue.handle, jsonb) is
  'The current state of a job, in any isolation level; wait: of pgqueue._with_wait';
grant execute on function pgqueue._status(pgqueue.handle, jsonb) to pgqueue_user;

create or replace function pgqueue._wait_for_run(run_key bigint, max_ms bigint)
  returns void
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform set_config('lock_timeout', max_ms::text, true), pg_advisory_xact_lock_shared(run_key);
  -- The end of the subtransaction undoes the setting and releases the lock, also after a cancel.
  raise assert_failure;
exception when assert_failure or lock_not_available then
  null;
end
$$;
comment on function pgqueue._wait_for_run(bigint, bigint) is
  'Sleeps until the transaction of a running job has ended, for a limited time. If that job waits for the caller in turn, the deadlock is detected';
grant execute on function pgqueue._wait_for_run(bigint, bigint) to pgqueue_user;

create or replace function pgqueue._doze(run_key bigint, since timestamptz, left_s float8)
  returns timestamptz
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  if run_key is not null then
    -- It is longer than PostgreSQL's deadlock_timeout. It is limited, because once the job holds its lock any role sees the key,
    -- and can take the lock when the job has ended.
    perform pgqueue._wait_for_run(run_key, ceil(least(left_s, extract(epoch from current_setting('deadlock_timeout')::interval) + 1) * 1000)::bigint);
    -- The job has just ended, or is about to be recorded as failed: poll again soon.
    return clock_timestamp();
  end if;
  -- The end of a short wait is noticed at once, and a long wait costs little: a pause takes 5 % of the time waited so far.
  perform pg_sleep(least(left_s, 0.25, greatest(0.001, extract(epoch from clock_timestamp() - since) / 20)));
  return since;
end
$$;
comment on function pgqueue._doze(bigint, timestamptz, float8) is
  'Sleeps until a job may have ended, which the caller has waited for since an instant and which holds this lock (NULL: none). Returns that instant, or a later one if the job has just stopped running';
grant execute on function pgqueue._doze(bigint, timestamptz, float8) to pgqueue_user;

create or replace function pgqueue._wait_on(handle pgqueue.handle, timeout interval)
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
    -- The worker learns that this job waits only after it is known that it does.
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
      -- The purpose of its run is fulfilled.
      run_key := null;
    end if;
  end loop;
end
$$;
comment on function pgqueue._wait_on(pgqueue.handle, interval) is 'Waits until a job has ended. False: the timeout was reached first';
grant execute on function pgqueue._wait_on(pgqueue.handle, interval) to pgqueue_user;

create or replace function pgqueue.wait(handle pgqueue.handle, timeout interval default null)
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
comment on function pgqueue.wait(pgqueue.handle, interval) is 'Waits until a job has ended. False: the timeout was reached first';
grant execute on function pgqueue.wait(pgqueue.handle, interval) to pgqueue_user;
