-- Submit one job: launch, submit, enqueue.

create or replace function pgqueue._put_keyed_job(submitter oid, kept pgqueue.result_kept, settings jsonb, session_id bigint, sql text, params text[],
                                                  options pgqueue.job_options, cookie bigint, due_at timestamptz)
  returns pgqueue.handle
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  handle pgqueue.handle;
  outcome text;
begin
  if submitter is null then
    insert into pgqueue.keyed_outbox as k (cookie, session_id, due_at, expires_at, kind, kept, priority, max_attempts, queue, sql, params, settings, timeout,
                                           backoff, label, unique_key, limit_key, unique_for, on_conflict, after, on_parent_failure, batch)
    values (cookie, session_id, due_at, options.expires, 'job', kept, options.priority, options.max_attempts, options.queue, sql, params, settings,
            options.timeout, options.backoff, options.label, options.unique_key, options.limit_key, options.unique_for, options.on_conflict,
            options.after, options.on_parent_failure, options.batch)
    returning k.id, k.cookie, k.outcome into handle.id, handle.cookie, outcome;
  else
    insert into pgqueue.keyed_outbox as k (submitter, cookie, session_id, due_at, expires_at, kind, kept, priority, max_attempts, queue, sql, params, settings,
                                           timeout, backoff, label, unique_key, limit_key, unique_for, on_conflict, after, on_parent_failure, batch)
    values (submitter, cookie, session_id, due_at, options.expires, 'job', kept, options.priority, options.max_attempts, options.queue, sql, params, settings,
            options.timeout, options.backoff, options.label, options.unique_key, options.limit_key, options.unique_for, options.on_conflict,
            options.after, options.on_parent_failure, options.batch)
    returning k.id, k.cookie, k.outcome into handle.id, handle.cookie, outcome;
  end if;
  if outcome <> 'put' and exists (select from unnest(options.after) p where p.id = handle.id) then
    raise exception 'job % cannot wait for itself', handle.id
      using errcode = '22023', hint = 'It has the unique key of the call, and has not ended: the call returns it. Leave it out of after.';
  end if;
  return handle;
end
$$;
comment on function pgqueue._put_keyed_job(oid, pgqueue.result_kept, jsonb, bigint, text, text[], pgqueue.job_options, bigint, timestamptz) is
  'The part of pgqueue._put_job for a job that has a unique key';
grant execute on function pgqueue._put_keyed_job(oid, pgqueue.result_kept, jsonb, bigint, text, text[], pgqueue.job_options, bigint, timestamptz) to pgqueue_user;

create or replace function pgqueue._put_job(submitter oid, kept pgqueue.result_kept, settings jsonb, session_id bigint, sql text, params text[],
                                            options pgqueue.job_options, cookie bigint)
  returns pgqueue.handle
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  due_at timestamptz := pgqueue._check_options(sql, options);
  handle pgqueue.handle;
begin
  if array_ndims(params) > 1 then
    perform pgqueue._refuse_params();
  end if;
  options.timeout := coalesce(options.timeout, pgqueue._inherited_timeout(settings));
  settings := pgqueue._settings_of_job(settings, options);
  if options.unique_key is not null then
    return pgqueue._put_keyed_job(submitter, kept, settings, session_id, sql, params, options, cookie, due_at);
  end if;
  if submitter is null then
    insert into pgqueue.outbox (cookie, session_id, due_at, expires_at, kind, state, kept, priority, max_attempts, queue, sql, params,
                                settings, timeout, backoff, label, limit_key)
    values (cookie, session_id, due_at, options.expires, 'job', case when due_at is null then 'ready' else 'delayed' end::pgqueue.message_state,
            kept, options.priority, options.max_attempts, options.queue, sql, params, settings, options.timeout, options.backoff,
            options.label, options.limit_key)
    returning outbox.id, outbox.cookie into handle.id, handle.cookie;
  else
    insert into pgqueue.inbox (submitter, cookie, session_id, due_at, expires_at, kind, state, kept, priority, max_attempts, queue, sql,
                                 params, settings, timeout, backoff, label, limit_key)
    values (submitter, cookie, session_id, due_at, options.expires, 'job', case when due_at is null then 'ready' else 'delayed' end::pgqueue.message_state,
            kept, options.priority, options.max_attempts, options.queue, sql, params, settings, options.timeout, options.backoff,
            options.label, options.limit_key)
    returning inbox.id, inbox.cookie into handle.id, handle.cookie;
  end if;
  if options.after <> '{}' or options.batch is not null then
    perform pgqueue._depend(array[handle.id], array[handle.cookie], options);
  end if;
  if options.after <> '{}' then
    null;  -- Releasing it wakes a worker.
  elsif due_at is not null then
    perform pgqueue._wake_for(options.queue, due_at);
  elsif submitter is not null then
    perform pgqueue._announce(options.queue, handle.id, kept);
  else
    perform pgqueue._wake(options.queue);
  end if;
  return handle;
end
$$;
comment on function pgqueue._put_job(oid, pgqueue.result_kept, jsonb, bigint, text, text[], pgqueue.job_options, bigint)
  is
  'Inserts a job. submitter NULL: as the current role, which the table fills in';
grant execute on function pgqueue._put_job(oid, pgqueue.result_kept, jsonb, bigint, text, text[], pgqueue.job_options, bigint) to pgqueue_user;

create or replace function pgqueue._hand_in(kept pgqueue.result_kept, settings jsonb, sql text, params text[], options pgqueue.job_options)
  returns pgqueue.handle
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  handle pgqueue.handle;
  given jsonb;
  state text;
  message text;
  detail text;
  hint text;
begin
  if sql is null or sql ~ '^[[:space:]]*$'
     or pgqueue._is_plain_call(options) is not true
  then
    -- The gate would refuse the same, but over the loopback, with a long CONTEXT. And a delay of a day ends in the caller's time
    -- zone.
    options.eta := pgqueue._check_options(sql, options);
    options.delay := null;
    options.on_conflict := nullif(options.on_conflict, 'keep');
    options.on_parent_failure := nullif(options.on_parent_failure, 'cancel');
    given := to_jsonb(options);
  else
    given := jsonb_build_object('queue', options.queue, 'priority', 0);
  end if;
  begin
    select (c.answer ->> 'id')::bigint, (c.answer ->> 'cookie')::bigint into handle.id, handle.cookie
    from pgqueue._call('launch', jsonb_strip_nulls(jsonb_build_object(
      'kept', kept, 'settings', settings, 'session_id', pgqueue._session_id(), 'sql', sql, 'params', params,
      'options', given, 'cookie', pgqueue._random_bigint()))) c (answer);
  exception when others then
    get stacked diagnostics state = returned_sqlstate, message = message_text, detail = pg_exception_detail, hint = pg_exception_hint;
    if pgqueue._raise_again(state, message, detail, hint) then
      null;  -- It is an expression, because the CONTEXT would show a PERFORM as a statement.
    end if;
  end;
  return handle;
end
$$;
comment on function pgqueue._hand_in(pgqueue.result_kept, jsonb, text, text[], pgqueue.job_options)
  is 'Submits a job over the loopback';
grant execute on function pgqueue._hand_in(pgqueue.result_kept, jsonb, text, text[], pgqueue.job_options) to pgqueue_user;

create or replace function pgqueue.launch(sql text, params text[] default null, queue text default 'default', priority int default 0,
                               delay interval default null, eta timestamptz default null, expires timestamptz default null,
                               timeout interval default null, max_attempts int default null, backoff interval default null,
                               unique_key text default null, label text default null, durability text default null,
                               traceparent text default null, limit_key text default null,
                               after pgqueue.handle[] default null, on_parent_failure text default 'cancel', batch bigint default null,
                               unique_for interval default null, on_conflict text default 'keep')
  returns pgqueue.handle
  language plpgsql volatile
as $$
declare
  settings pg_catalog.jsonb;
begin
  select s.settings into settings from pgqueue.own_settings s;
  return pgqueue._hand_in(
    'once', coalesce(settings, pgqueue._settings()), sql, params,
    row(queue, priority, delay, eta, expires, timeout, max_attempts, backoff, unique_key, label, durability, traceparent, limit_key,
        after, on_parent_failure, batch, unique_for, on_conflict)::pgqueue.job_options);
end
$$;
comment on function pgqueue.launch(text, text[], text, int, interval, timestamptz, timestamptz, interval, int, interval, text, text, text, text, text, pgqueue.handle[], text, bigint, interval, text)
  is 'Runs SQL in a transaction of its own, at once, also if the caller rolls back. The result can be read once with pgqueue.result';
grant execute on function pgqueue.launch(text, text[], text, int, interval, timestamptz, timestamptz, interval, int, interval, text, text, text, text, text, pgqueue.handle[], text, bigint, interval, text) to pgqueue_user;

create or replace function pgqueue.submit(sql text, params text[] default null, queue text default 'default', priority int default 0,
                               delay interval default null, eta timestamptz default null, expires timestamptz default null,
                               timeout interval default null, max_attempts int default null, backoff interval default null,
                               unique_key text default null, label text default null, durability text default null,
                               traceparent text default null, limit_key text default null,
                               after pgqueue.handle[] default null, on_parent_failure text default 'cancel', batch bigint default null,
                               unique_for interval default null, on_conflict text default 'keep')
  returns pgqueue.handle
  language plpgsql volatile
as $$
declare
  settings pg_catalog.jsonb;
begin
  select s.settings into settings from pgqueue.own_settings s;
  return pgqueue._hand_in(
    'none', coalesce(settings, pgqueue._settings()), sql, params,
    row(queue, priority, delay, eta, expires, timeout, max_attempts, backoff, unique_key, label, durability, traceparent, limit_key,
        after, on_parent_failure, batch, unique_for, on_conflict)::pgqueue.job_options);
end
$$;
comment on function pgqueue.submit(text, text[], text, int, interval, timestamptz, timestamptz, interval, int, interval, text, text, text, text, text, pgqueue.handle[], text, bigint, interval, text)
  is 'Runs SQL as pgqueue.launch does, but keeps no result. Errors are kept in pgqueue.jobs';
grant execute on function pgqueue.submit(text, text[], text, int, interval, timestamptz, timestamptz, interval, int, interval, text, text, text, text, text, pgqueue.handle[], text, bigint, interval, text) to pgqueue_user;

create or replace function pgqueue._enqueue(kept pgqueue.result_kept, settings jsonb, sql text, params text[], options pgqueue.job_options)
  returns pgqueue.handle
  language plpgsql volatile
as $$
#variable_conflict use_variable
declare
  handle pgqueue.handle;
  nobody_sleeps boolean;
begin
  if kept operator(pg_catalog.<>) 'none' then
    perform pgqueue._require_login(pg_catalog.quote_ident(current_user)::pg_catalog.regrole);
  end if;
  if pgqueue._is_plain_call(options) then
    -- The usual job is one statement, and pgqueue.inbox refuses a bad one. Each further expression would be prepared again in
    -- each transaction, and a SET clause would cost as much. So every name that could be shadowed is used in functions that are
    -- bound to the objects they use.
    insert into pgqueue.outbox (cookie, session_id, kind, kept, queue, sql, params, settings, timeout)
    values (pgqueue._random_bigint(), pgqueue._session_id(), 'job', kept, options.queue, sql, params, pgqueue._inherited(settings),
            pgqueue._inherited_timeout(settings))
    returning outbox.id, outbox.cookie, pgqueue._nobody_sleeps(options.queue) into handle.id, handle.cookie, nobody_sleeps;
    if not nobody_sleeps then
      perform pgqueue._wake(options.queue);
    end if;
    return handle;
  end if;
  return pgqueue._put_job(null, kept, settings, pgqueue._session_id(), sql, params, options, pgqueue._random_bigint());
end
$$;
comment on function pgqueue._enqueue(pgqueue.result_kept, jsonb, text, text[], pgqueue.job_options)
  is
  'Inserts a job in the caller''s transaction. Capturing the settings has checked that the role is enrolled';
grant execute on function pgqueue._enqueue(pgqueue.result_kept, jsonb, text, text[], pgqueue.job_options) to pgqueue_user;

create or replace function pgqueue.enqueue(sql text, params text[] default null, queue text default 'default', priority int default 0,
                                delay interval default null, eta timestamptz default null, expires timestamptz default null,
                                timeout interval default null, max_attempts int default null, backoff interval default null,
                                unique_key text default null, label text default null, durability text default null,
                                keep_result boolean default false, traceparent text default null, limit_key text default null,
                               after pgqueue.handle[] default null, on_parent_failure text default 'cancel', batch bigint default null,
                                unique_for interval default null, on_conflict text default 'keep')
  returns pgqueue.handle
  language plpgsql volatile
as $$
declare
  settings pg_catalog.jsonb;
begin
  -- No SET clause here: it would hide the search_path that the job inherits.
  select s.settings into settings from pgqueue.own_settings s;
  return pgqueue._enqueue(case when keep_result then 'many' else 'none' end::pgqueue.result_kept, coalesce(settings, pgqueue._settings()), sql,
                          params, row(queue, priority, delay, eta, expires, timeout, max_attempts, backoff, unique_key, label, durability, traceparent, limit_key,
        after, on_parent_failure, batch, unique_for, on_conflict)::pgqueue.job_options);
end
$$;
comment on function pgqueue.enqueue(text, text[], text, int, interval, timestamptz, timestamptz, interval, int, interval, text, text, text, boolean, text, text, pgqueue.handle[], text, bigint, interval, text)
  is 'Runs SQL after the caller has committed, and never if the caller rolls back. With keep_result, the result can be read until retention';
grant execute on function pgqueue.enqueue(text, text[], text, int, interval, timestamptz, timestamptz, interval, int, interval, text, text, text, boolean, text, text, pgqueue.handle[], text, bigint, interval, text) to pgqueue_user;
