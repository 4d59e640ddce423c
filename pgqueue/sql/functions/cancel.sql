-- Canceling and detaching a job.

create or replace function pgqueue._cancel(role oid, handle pgqueue.handle, grace_ms bigint)
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
    -- A claim, a start or an end of a job locks its row. With the row locked here, none of these happens until the commit.
    select * into m from pgqueue.message q where q.id = handle.id for update skip locked;
    if found and m.state <> 'claimed' then
      delete from pgqueue.message q where q.id = handle.id;
      perform pgqueue._archive(m, 'canceled', '{"sqlstate": "57014", "message": "canceling statement due to user request"}', null, null);
      return true;
    elsif found or place.running or (attempt > 1 and place.worker_id is not null) then
      -- A worker has the job: prefetched (pgqueue._lock_job will see the request) or running (the worker is notified), also if
      -- the run was not noted yet. Or the job is ending, and the request comes too late: pgqueue._is_canceled finds that out.
      insert into pgqueue.request (id, kind, terminate_at) values (handle.id, 'cancel', ends_at) on conflict do nothing;
      if not found and ends_at is not null then
        -- A job that is ending has locked the row of its request to delete it: then this is skipped.
        update pgqueue.request r set terminate_at = least(r.terminate_at, ends_at)
        where r.id = handle.id and r.kind = 'cancel'
          and exists (select from pgqueue.request l where l.id = handle.id and l.kind = 'cancel' for update skip locked);
      end if;
      -- The notification is only a hint, because any role can notify: the worker asks pgqueue._cancel_requests. The row is newer
      -- than the place: the job may have been claimed between the two reads.
      perform pg_notify('pgqueue.w.' || coalesce(m.worker_id, place.worker_id), '');
      -- With the row locked here, the job cannot begin before it sees the request.
      return case when m.id is not null and not exists (select from pgqueue.activity a where a.id = m.id and a.token = m.token) then true end;
    end if;
    perform pg_sleep(0.005);  -- A claim or an end that is about to commit has locked the row.
  end loop;
  raise exception 'job % is busy', handle.id using errcode = '55P03', hint = 'Try again.';
end
$$;
comment on function pgqueue._cancel(oid, pgqueue.handle, bigint) is
  'The gate''s half of cancel. True: canceled. False: it had ended. NULL: requested; pgqueue._is_canceled has the answer after the commit';

create or replace function pgqueue._is_canceled(role oid, handle pgqueue.handle)
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
  -- The request is committed. A job that begins now sees it first. A job that runs sees it at its end: it writes its history, and
  -- then looks for a request. So a running job that has not begun to write its history will see it.
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
    -- A transaction that does not hold the lock of a run claims the job, gives it back, or records a job that ran outside a
    -- transaction.
    return case when runs then true end;
  end if;
  -- A job that runs outside a transaction holds no lock: its end shows the result.
  return case when not place.running then true end;
end
$$;
comment on function pgqueue._is_canceled(oid, pgqueue.handle) is
  'Whether a job is canceled for which pgqueue._cancel has committed a request at least 10 ms ago: true, it will not commit; false, it has ended otherwise; NULL, not known yet';

create or replace function pgqueue._detach(role oid, handle pgqueue.handle)
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

create or replace function pgqueue.cancel(handle pgqueue.handle, grace interval default '0')
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
  -- A running job may be ending: then its end shows the result.
  while is_canceled is null loop
    perform pg_sleep(pause);
    pause := least(pause * 1.5, 0.2);
    select nullif(c.answer, 'null')::boolean into is_canceled from pgqueue._call('canceled', pgqueue._request(handle)) c (answer);
  end loop;
  if is_canceled and grace > interval '0' then
    -- After the grace period the worker ends the session of the job, which takes a moment.
    perform pgqueue.wait(handle, grace + interval '2 s');
  end if;
  return is_canceled;
end
$$;
comment on function pgqueue.cancel(pgqueue.handle, interval) is
  'Cancels a queued or running job at once, also if the caller rolls back. True: the job will not commit. False: it has ended. With grace, the call waits that long and then ends the job''s session';
grant execute on function pgqueue.cancel(pgqueue.handle, interval) to pgqueue_user;

create or replace function pgqueue.detach(handle pgqueue.handle)
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
comment on function pgqueue.detach(pgqueue.handle) is 'Drops the result of a job. The job continues and commits';
grant execute on function pgqueue.detach(pgqueue.handle) to pgqueue_user;

create or replace function pgqueue._request_cancel(id bigint, token bigint)
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
comment on function pgqueue._request_cancel(bigint, bigint) is
  'Requests the cancel of a job that a worker has and that Celery was asked to revoke: the job ends as canceled';
grant execute on function pgqueue._request_cancel(bigint, bigint) to pgqueue_worker;

create or replace function pgqueue._cancel_requests(ids bigint[], tokens bigint[])
  returns table (id bigint, terminate_at timestamptz, seconds_left float8)
  language sql stable security definer
begin atomic
  -- Claims identify the jobs, not the worker: a worker that lost its session has another number, and its jobs continue.
  select r.id, r.terminate_at, extract(epoch from r.terminate_at - clock_timestamp())::float8
  from unnest(_cancel_requests.ids, _cancel_requests.tokens) held (id, token)
  join pgqueue.request r on r.id = held.id and r.kind = 'cancel'
  join pgqueue.message m on m.id = held.id and m.token = held.token;
end;
comment on function pgqueue._cancel_requests(bigint[], bigint[]) is
  'Which of these claims are to be canceled, and when to end the session of the job (NULL: never). Workers rely on this and not on notifications';
grant execute on function pgqueue._cancel_requests(bigint[], bigint[]) to pgqueue_worker;
