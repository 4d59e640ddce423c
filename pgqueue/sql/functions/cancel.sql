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
comment on function pgqueue._request_cancel(bigint, bigint) is 'A worker was told by Celery to revoke a job that it has: the job ends as canceled';
grant execute on function pgqueue._request_cancel(bigint, bigint) to pgqueue_worker;

create or replace function pgqueue._cancel_requests(ids bigint[], tokens bigint[])
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
grant execute on function pgqueue._cancel_requests(bigint[], bigint[]) to pgqueue_worker;
