-- The limits of a run that has begun: a cancel, a timeout.

create or replace function pgqueue._refuse_canceled(id bigint)
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- By now the transaction has written to the history, which a canceling session sees in pg_locks (pgqueue._is_canceled).
  if current_setting('transaction_isolation') like 'read %' then
    if not exists (select from pgqueue.request r where r.id = _refuse_canceled.id and r.kind = 'cancel') then
      return;
    end if;
  else
    -- The snapshot may be older than a request. The index is not.
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

create or replace function pgqueue._time_allowed(timeout interval, settings jsonb)
  returns interval
  language sql stable
begin atomic
  -- No cast may fail, whatever a role has written: an error would leave the other jobs without monitoring.
  select least(timeout, case when settings ->> 'statement_timeout' ~ '^([1-9][0-9]{0,9}ms|[1-9][0-9]{0,8}(s|min|h|d))$'
                             then (settings ->> 'statement_timeout')::interval end);
end;
comment on function pgqueue._time_allowed(interval, jsonb) is 'How long a job of the batch lane may run; NULL: without a limit';

create or replace function pgqueue._refuse_overdue(id bigint)
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  if exists (select from pgqueue.message m
             where m.id = _refuse_overdue.id and clock_timestamp() - transaction_timestamp() > pgqueue._time_allowed(coalesce(m.timeout, m.queue_timeout), m.settings)) then
    raise exception 'canceling statement due to statement timeout' using errcode = '57014';
  end if;
end
$$;
comment on function pgqueue._refuse_overdue(bigint) is
  'At the end of a run in the batch lane: a job that has caught its timeout, or was not stopped in time, does not commit';
