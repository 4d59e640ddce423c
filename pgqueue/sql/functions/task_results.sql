-- Results of Celery tasks. Roles that may send tasks may store and read results by their ids, as on every result backend of
-- Celery.

create or replace function pgqueue._state_rank(state text)
  returns int
  language sql immutable
begin atomic
  select case when state = 'SUCCESS' then 2 when state in ('FAILURE', 'REVOKED') then 1 else 0 end;
end;
comment on function pgqueue._state_rank(text) is
  'The order of a task''s states: a success counts more than anything, an end more than an intermediate state';

create or replace function pgqueue._task_results(task_ids text[])
  returns table (task_id text, state text, content_type text, stored_at timestamptz, payload bytea)
  language plpgsql stable security definer
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan  -- Planning for all partitions takes ten times as long as reading them.
as $$
#variable_conflict use_column
begin
  -- It is not a function in SQL, which would be planned again, with all its partitions, at each call.
  return query
  select wanted.id, best.state, best.content_type, best.stored_at, best.payload
  from (select distinct unnest(task_ids)) wanted (id)
  cross join lateral (
    select r.*
    from pgqueue.task_result r
    where r.task_id = wanted.id and r.expires_at > clock_timestamp()
    -- The first success stays; otherwise the latest state counts.
    order by pgqueue._state_rank(r.state) desc, case when r.state = 'SUCCESS' then r.stored_at end, r.stored_at desc
    limit 1
  ) best;
end
$$;
comment on function pgqueue._task_results(text[]) is 'The state that counts of each of these tasks; an unknown task has no row';
grant execute on function pgqueue._task_results(text[]) to pgqueue_user, pgqueue_worker;

create or replace function pgqueue.task_result(task_id text)
  returns jsonb
  language plpgsql stable security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  found_result record;
  document jsonb;
  summary jsonb;
begin
  select * into found_result from pgqueue._task_results(array[task_result.task_id]);
  if not found then
    return null;
  end if;
  summary := jsonb_build_object('task_id', task_result.task_id, 'state', found_result.state);
  begin
    if found_result.content_type = 'application/json' then
      document := convert_from(found_result.payload, 'UTF8')::jsonb - 'status';
    end if;
  exception when data_exception or untranslatable_character or character_not_in_repertoire then
    null;  -- The document is compressed, or has values that jsonb cannot hold: NUL characters, infinite numbers.
  end;
  return coalesce(document, jsonb_build_object(
    'result', null, 'traceback', null, 'children', null, 'content_type', found_result.content_type,
    'date_done', case when pgqueue._state_rank(found_result.state) > 0 then found_result.stored_at end)) || summary;
end
$$;
comment on function pgqueue.task_result(text) is
  'Returns the stored result of a Celery task: task_id, state, result, traceback, children, date_done. NULL: no result is known. Only results in JSON can be read here';
grant execute on function pgqueue.task_result(text) to pgqueue_user, pgqueue_worker;

create or replace function pgqueue._store_task_result(task_id text, state text, content_type text, payload bytea, lifetime interval, patience text default '200ms')
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  waiter int;
  old_timeout text := current_setting('lock_timeout');
begin
  -- The lock is shared until the commit: a session that begins to wait passes through it after it has registered, and so either
  -- reads this result or is seen here.
  if not pg_try_advisory_xact_lock_shared(pgqueue._lock_class('storing'), hashtext(task_id) & 63) and patience is not null then
    begin
      perform set_config('lock_timeout', patience, true);
      perform pg_advisory_xact_lock_shared(pgqueue._lock_class('storing'), hashtext(task_id) & 63);
    exception when lock_not_available then
      null;  -- Any role can take and keep it; the waiting session finds the result at its next poll.
    end;
    perform set_config('lock_timeout', old_timeout, true);
  end if;
  insert into pgqueue.task_result (task_id, state, content_type, payload, expires_at)
  values (task_id, state, content_type, payload, coalesce(clock_timestamp() + lifetime, 'infinity'));
  for waiter in select w.pid from pgqueue.result_waiter w where w.task_id = _store_task_result.task_id loop
    -- A sleeping session holds it exclusively. An awake one polls again before it sleeps, when this transaction has committed.
    if not pg_try_advisory_xact_lock_shared(pgqueue._lock_class('result_waiter'), waiter) then
      perform pg_notify('pgqueue.r.' || waiter, '');
    end if;
  end loop;
end
$$;
comment on function pgqueue._store_task_result(text, text, text, bytea, interval, text) is
  'Appends a state of a task, and notifies sleeping sessions that wait for it. Readers decide which state counts';
grant execute on function pgqueue._store_task_result(text, text, text, bytea, interval, text) to pgqueue_user, pgqueue_worker;

create or replace function pgqueue._forget_task_result(task_id text)
  returns void
  language sql volatile security definer
begin atomic
  delete from pgqueue.task_result r where r.task_id = _forget_task_result.task_id;
end;
comment on function pgqueue._forget_task_result(text) is 'Deletes the stored states of a task';
grant execute on function pgqueue._forget_task_result(text) to pgqueue_user, pgqueue_worker;

create or replace function pgqueue._end_task(m pgqueue.message, state text, reason text)
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  task_id text := pgqueue._text_in(m.payload, '{headers,id}');
  embed jsonb;
  is_awaited boolean;
  letter json;
begin
  if task_id is null or m.kind <> 'task' or pgqueue._text_in(m.payload, '{headers,task}') is null
    or pgqueue._text_in(m.payload, '{headers,pgqueue_end,state}') is not null
  then
    return;
  end if;
  is_awaited := pgqueue._text_in(m.payload, '{headers,ignore_result}') is distinct from 'true';
  begin
    if m.payload ->> 'content-type' = 'application/json' and m.payload #>> '{properties,body_encoding}' is null
      and m.payload #>> '{headers,compression}' is null
    then
      embed := (m.payload ->> 'body')::jsonb -> 2;
    end if;
    -- A body that cannot be read here is left to a worker. A revoked task calls no errbacks and ends no chain, as with Celery.
    if embed is null and (m.payload #>> '{headers,group}' is not null or state = 'FAILURE')
      or jsonb_typeof(embed -> 'chord') = 'object'
      or state = 'FAILURE' and (embed -> 'errbacks' ->> 0 is not null or embed -> 'chain' ->> 0 is not null)
    then
      letter := jsonb_set(m.payload::jsonb, '{headers,pgqueue_end}', jsonb_build_object('state', state, 'reason', reason))::json;
    end if;
  exception when data_exception or program_limit_exceeded or statement_too_complex then
    null;  -- A worker could not read it either.
  end;
  if letter is not null then
    insert into pgqueue.inbox (queue, kind, priority, submitter, payload) values (m.queue, 'task', m.priority, m.submitter, letter);
    perform pgqueue._wake(m.queue);
  end if;
  if is_awaited then
    -- The document is JSON whatever the application's serializer is: its beginning tells the result backend (results/backend.py).
    -- This waits for no lock: upkeep and claims end many tasks at once, and any role can hold one.
    perform pgqueue._store_task_result(
      task_id, state, 'application/json',
      convert_to(json_build_object(
        'ended_by', 'pgqueue', 'status', state,
        'result', json_build_object('exc_type', case state when 'FAILURE' then 'WorkerLostError' else 'TaskRevokedError' end,
                                    'exc_message', json_build_array(reason), 'exc_module', 'celery.exceptions'),
        'traceback', null, 'children', '[]'::json, 'date_done', pgqueue._utc_text(clock_timestamp()), 'task_id', task_id)::text, 'UTF8'),
      interval '1 day', null);
  end if;
end
$$;
comment on function pgqueue._end_task(pgqueue.message, text, text) is
  'Stores how a task ended that no worker will run: FAILURE or REVOKED, and why. A worker of its queue gets a message to end the rest (its chord, errbacks, the rest of its chain)';

create or replace function pgqueue._expire_task_results()
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  expired_until timestamptz := clock_timestamp();  -- This is a value, not a volatile call, so the indexes can be used.
begin
  -- A session that holds one of them in an open transaction does not block the others.
  delete from pgqueue.task_group g
  where g.id = any (array(select e.id from pgqueue.task_group e where e.expires_at < expired_until for update skip locked));
  delete from pgqueue.chord c
  where c.group_id = any (array(select e.group_id from pgqueue.chord e where e.expires_at < expired_until for update skip locked));
  -- These are sessions that waited and are gone. One with the same number may have begun since.
  delete from pgqueue.result_waiter w
  where not exists (select from pg_stat_activity a where a.pid = w.pid and coalesce(a.backend_start <= w.waits_since, true));
end
$$;
comment on function pgqueue._expire_task_results() is 'Deletes groups and chords that have expired, and the waits of lost sessions';
