-- A job that puts itself off: its transaction commits, and the job stays in the queue.
--
-- pgqueue.snooze only leaves a note in a setting of the transaction, which a rollback takes back, also to a savepoint: so an error after it
-- wins. The end of the run finds the note (pgqueue._snooze_job, pgqueue._complete_job).

create or replace function pgqueue._check_snooze(id bigint)
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  m pgqueue.message;
  run_key bigint;
begin
  select q.* into m from pgqueue.message q where q.id = _check_snooze.id and q.state = 'claimed';
  run_key := pgqueue._run_key_of(m.id, m.token);
  if m.id is null or not exists (
    select from pg_locks l
    where l.locktype = 'advisory' and l.pid = pg_backend_pid() and l.granted and l.objsubid = 1
      and (l.classid::bigint << 32 | l.objid::bigint) = run_key)
  then
    raise exception 'pgqueue.snooze can only be called in the transaction of a job'
      using errcode = '0A000', hint = 'A statement that runs outside a transaction, such as a CALL that commits, cannot be put off.';
  elsif m.snoozes >= 10000 then
    raise exception 'job % has been put off 10000 times', m.id using errcode = '54000', hint = 'For work that repeats, make a schedule: pgqueue.schedule.';
  end if;
end
$$;
comment on function pgqueue._check_snooze(bigint) is 'Raises an error unless this session runs this job, in a transaction, and may put it off';
grant execute on function pgqueue._check_snooze(bigint) to pgqueue_user;

create or replace function pgqueue.snooze(delay interval)
  returns void
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  id text := current_setting('pgqueue.job_id', true);
begin
  if delay is null then
    raise exception 'delay must not be NULL' using errcode = '22004';
  elsif delay < interval '0' or not isfinite(delay) or delay > interval '1 year' then
    raise exception 'delay must be between 0 and 1 year' using errcode = '22023', hint = 'For example pgqueue.snooze(''5 min'').';
  elsif id is null or id !~ '^[0-9]{1,18}$' then
    raise exception 'pgqueue.snooze can only be called from a job' using errcode = '0A000', hint = 'To put off a job from outside: pgqueue.update(handle, eta => ...).';
  end if;
  perform pgqueue._check_snooze(id::bigint);
  perform set_config('pgqueue.snooze_ms', ceil(extract(epoch from delay) * 1000)::bigint::text, true);
end
$$;
comment on function pgqueue.snooze(interval) is
  'Puts off the job that calls it: when its statements have ended, the transaction commits, and the job runs again after the delay. No attempt is spent, and the result of this run is dropped. If the job fails after the call, it has failed';
grant execute on function pgqueue.snooze(interval) to pgqueue_user;

create or replace function pgqueue._put_off(id bigint, token bigint, delay_ms bigint)
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  queue text;
  due_at timestamptz;
begin
  update pgqueue.message q
  set state = 'delayed', token = null, worker_id = null, deliveries = 0, snoozes = least(coalesce(q.snoozes, 0) + 1, 32767),
      due_at = clock_timestamp() + least(delay_ms, 31622400000) * interval '1 ms'
  where q.id = _put_off.id and q.token = _put_off.token
  returning q.queue, q.due_at into queue, due_at;
  if not found then
    perform pgqueue._claim_lost(id);
  end if;
  if current_setting('transaction_isolation') like 'read %' then
    delete from pgqueue.activity a where a.id = _put_off.id;
  else
    begin
      delete from pgqueue.activity a where a.id = _put_off.id;
    exception when serialization_failure then
      null;  -- It is newer than the snapshot, because the job has reported progress. pgqueue._tick deletes it.
    end;
  end if;
  delete from pgqueue.result r where r.id = _put_off.id;
  -- A canceling session takes this lock for the end of a run (pgqueue._is_canceled).
  lock table pgqueue.history in row exclusive mode;
  perform pgqueue._wake_for(queue, due_at);
end
$$;
comment on function pgqueue._put_off(bigint, bigint, bigint) is 'At the end of a run that is put off: the job is delayed. The caller looks for a cancel afterwards';

create or replace function pgqueue._snooze_job(id bigint, token bigint, note text)
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform pgqueue._refuse_overdue(id);
  perform pgqueue._put_off(id, token, coalesce(substring(note from '[0-9]{1,12}$')::bigint, 0));
  perform pgqueue._refuse_canceled(id);
  -- For the worker, to whom a job that is not mentioned has succeeded.
  raise info using errcode = 'PQ008', message = id::text;
end
$$;
comment on function pgqueue._snooze_job(bigint, bigint, text) is
  'A part of pgqueue_run.finish_job, for a job that has called pgqueue.snooze. note ends with the delay in ms';
