-- after: celery_repr
-- Sending a Celery task from SQL.

create or replace function pgqueue._callback(task text)
  returns jsonb
  language sql immutable
begin atomic
  select case when task is null then 'null' else jsonb_build_array(jsonb_build_object(
    'task', task, 'args', '[]'::jsonb, 'kwargs', '{}'::jsonb, 'options', '{}'::jsonb, 'subtask_type', null, 'immutable', false)) end;
end;
comment on function pgqueue._callback(text) is 'A task by its name as a list of one Celery signature, JSON null for none';
grant execute on function pgqueue._callback(text) to pgqueue_user;

create or replace function pgqueue._task_message(task text, args jsonb, kwargs jsonb, queue text, priority int, due_at timestamptz, expires timestamptz,
                                      task_id text, headers jsonb, ignore_result boolean, link text, errback text)
  returns json
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  callbacks jsonb := pgqueue._callback(link);
  errbacks jsonb := pgqueue._callback(errback);
begin
  -- This is Celery's message protocol, version 2. The queue handles the due time: the worker sees no eta, the task does.
  return json_build_object(
    'body', json_build_array(args, kwargs, json_build_object('callbacks', callbacks, 'errbacks', errbacks, 'chain', null, 'chord', null))::text,
    'content-type', 'application/json',
    'content-encoding', 'utf-8',
    'headers', jsonb_build_object(
      'lang', 'py', 'task', task, 'id', task_id, 'shadow', null, 'eta', null, 'expires', pgqueue._utc_text(expires),
      'group', null, 'group_index', null, 'retries', 0, 'timelimit', '[null, null]'::jsonb, 'root_id', task_id, 'parent_id', null,
      'argsrepr', pgqueue._args_repr(args), 'kwargsrepr', pgqueue._kwargs_repr(kwargs),
      'origin', concat(pg_backend_pid(), '@', current_database()),
      'ignore_result', ignore_result, 'replaced_task_nesting', 0, 'stamped_headers', null, 'stamps', '{}'::jsonb)
      || case when due_at is null then '{}' else jsonb_build_object('published_eta', pgqueue._utc_text(due_at)) end || coalesce(headers, '{}'),
    'properties', json_build_object(
      'correlation_id', task_id, 'reply_to', '', 'delivery_mode', 2, 'priority', priority,
      'delivery_info', json_build_object('exchange', '', 'routing_key', queue)));
end
$$;
comment on function pgqueue._task_message(text, jsonb, jsonb, text, int, timestamptz, timestamptz, text, jsonb, boolean, text, text) is
  'A task as a Celery message (protocol 2)';
grant execute on function pgqueue._task_message(text, jsonb, jsonb, text, int, timestamptz, timestamptz, text, jsonb, boolean, text, text) to pgqueue_user;

create or replace function pgqueue._prints_alike(json_text text)
  returns boolean
  language sql immutable
begin atomic
  -- This covers whole numbers, short decimal fractions, and strings in which nothing needs to be escaped.
  select length(json_text) <= 1000
    and json_text ~ E'^(?:[][{}:, ]|-?[0-9]+[],}]|-?[0-9]{1,9}\\.[0-9]{0,3}[1-9][],}]|"[^"''\\\\\\u007f-\\u00a0\\u00ad]*")*$';
end;
comment on function pgqueue._prints_alike(text) is 'Whether Python would print these arguments as JSON does, but for the kind of quotes';
grant execute on function pgqueue._prints_alike(text) to pgqueue_user;

create or replace function pgqueue._plain_task_message(task text, args jsonb, kwargs jsonb, queue text, priority int, task_id text, ignore_result boolean)
  returns json
  language sql stable
begin atomic
  -- The result equals that of pgqueue._task_message, as a part of the inserting statement and with few expressions, because each
  -- one costs time.
  select concat(
    '{"body": ', to_json(concat('[', args, ', ', kwargs, ', {"callbacks": null, "errbacks": null, "chain": null, "chord": null}]')),
    ', "content-type": "application/json", "content-encoding": "utf-8", "headers": {"lang": "py", "task": ', to_json(task), ', "id": ', to_json(task_id),
    ', "shadow": null, "eta": null, "expires": null, "group": null, "group_index": null, "retries": 0, "timelimit": [null, null], "root_id": ', to_json(task_id),
    ', "parent_id": null, "argsrepr": ', to_json(
      case when pgqueue._prints_alike(args::text)
        then concat('(', substr(translate(args::text, '"', ''''), 2, length(args::text) - 2), case when jsonb_array_length(args) = 1 then ',)' else ')' end)
        else pgqueue._args_repr(args) end),
    ', "kwargsrepr": ', to_json(case when pgqueue._prints_alike(kwargs::text) then translate(kwargs::text, '"', '''') else pgqueue._kwargs_repr(kwargs) end),
    ', "origin": ', to_json(concat(pg_backend_pid(), '@', current_database())), ', "ignore_result": ', to_json(coalesce(ignore_result, false)),
    ', "replaced_task_nesting": 0, "stamped_headers": null, "stamps": {}}, "properties": {"correlation_id": ', to_json(task_id),
    ', "reply_to": "", "delivery_mode": 2, "priority": ', priority, ', "delivery_info": {"exchange": "", "routing_key": ', to_json(queue), '}}}')::json;
end;
comment on function pgqueue._plain_task_message(text, jsonb, jsonb, text, int, text, boolean) is
  'A task as a Celery message: like pgqueue._task_message without due time, expiry, headers and callbacks';
grant execute on function pgqueue._plain_task_message(text, jsonb, jsonb, text, int, text, boolean) to pgqueue_user;

create or replace view pgqueue.sent_listener with (security_barrier) as
  select b.exchange from pgqueue.binding b where b.exchange = 'celeryev' and b.declared_by = 0 and '.task.sent' ~ b.pattern;
comment on view pgqueue.sent_listener is
  'One row for each binding over which Celery''s monitors receive events of sent tasks. Workers listen to each other there as well';
grant select on pgqueue.sent_listener to pgqueue_user;

create or replace function pgqueue._tell_sent(message json, queue text)
  returns void
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  headers json := message -> 'headers';
  -- All sessions use one name: monitors keep counters by name, and never drop one.
  sender text := concat('sql@', current_database());
begin
  if not exists (select from pgqueue.sent_listener) then
    return;
  end if;
  perform pgqueue._publish('celeryev', 'task.sent', json_build_object(
    'body', json_build_object(
      'type', 'task-sent', 'timestamp', extract(epoch from clock_timestamp()), 'hostname', sender, 'pid', pg_backend_pid(),
      'uuid', headers ->> 'id', 'root_id', headers ->> 'root_id', 'parent_id', null, 'name', headers ->> 'task', 'args', headers ->> 'argsrepr',
      'kwargs', headers ->> 'kwargsrepr', 'retries', 0, 'eta', headers ->> 'published_eta', 'expires', headers ->> 'expires',
      'queue', queue, 'exchange', '', 'routing_key', queue)::text,
    'content-type', 'application/json',
    'content-encoding', 'utf-8',
    'headers', json_build_object('hostname', sender),
    'properties', json_build_object(
      'delivery_mode', 1, 'priority', 0, 'delivery_info', json_build_object('exchange', 'celeryev', 'routing_key', 'task.sent'))),
    0, null, null);
end
$$;
comment on function pgqueue._tell_sent(json, text) is
  'Sends the event that a task was sent to Celery''s monitors, if there are any: Flower, celery events';
grant execute on function pgqueue._tell_sent(json, text) to pgqueue_user;

create or replace function pgqueue._seconds_in(value jsonb)
  returns interval
  language plpgsql immutable
  set search_path = pg_catalog, pg_temp
as $$
begin
  if jsonb_typeof(value) = 'number' then
    return make_interval(secs => value::float8);
  elsif jsonb_typeof(value) <> 'null' then
    raise exception 'the header unique_for must be a number of seconds' using errcode = '22023', hint = 'For example 3600 for an hour.';
  end if;
  return null;
end
$$;
comment on function pgqueue._seconds_in(jsonb) is 'The header unique_for as an interval';
grant execute on function pgqueue._seconds_in(jsonb) to pgqueue_user;

create or replace function pgqueue._send_otherwise(task text, args jsonb, kwargs jsonb, task_id text, headers jsonb, ignore_result boolean, link text, errback text,
                                        options pgqueue.job_options)
  returns text
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  id text := coalesce(task_id, gen_random_uuid()::text);
  due_at timestamptz;
  message json;
  kept_id text;
begin
  if task is null or trim(task) = '' then
    raise exception 'task cannot be NULL or empty' using errcode = case when task is null then '22004' else '22023' end;
  elsif args is null or jsonb_typeof(args) <> 'array' then
    raise exception 'args must be a JSON array' using errcode = '22023', hint = 'For example jsonb_build_array(1, ''a'').';
  elsif kwargs is null or jsonb_typeof(kwargs) <> 'object' then
    raise exception 'kwargs must be a JSON object' using errcode = '22023', hint = 'For example jsonb_build_object(''name'', ''a'').';
  elsif headers is not null and jsonb_typeof(headers) <> 'object' then
    raise exception 'headers must be a JSON object' using errcode = '22023';
  elsif trim(link) = '' or trim(errback) = '' then
    raise exception '% cannot be empty', case when trim(link) = '' then 'link' else 'errback' end
      using errcode = '22023', hint = 'Name a task, or leave it out.';
  end if;
  options.limit_key := coalesce(options.limit_key, headers ->> 'limit_key');
  options.unique_key := coalesce(options.unique_key, headers ->> 'unique_key');
  options.unique_for := coalesce(options.unique_for, pgqueue._seconds_in(headers -> 'unique_for'));
  options.on_conflict := coalesce(nullif(options.on_conflict, 'keep'), headers ->> 'on_conflict', options.on_conflict);
  due_at := pgqueue._check_options('task', options);
  if options.limit_key is not null then
    headers := coalesce(headers, '{}') || jsonb_build_object('limit_key', options.limit_key);  -- A retry of the task has it as well.
  end if;
  if options.unique_key is not null then
    headers := coalesce(headers, '{}')
      || jsonb_strip_nulls(jsonb_build_object('unique_key', options.unique_key, 'unique_for', extract(epoch from options.unique_for), 'on_conflict', options.on_conflict));
  end if;
  headers := pgqueue._with_trace(headers);
  perform pgqueue._require_enrolled();
  message := pgqueue._task_message(task, args, kwargs, options.queue, options.priority, coalesce(due_at, options.eta), options.expires, id, headers,
                                   coalesce(ignore_result, false), link, errback);
  if options.unique_key is not null or options.after <> '{}' or options.batch is not null then
    kept_id := (pgqueue._publish_keyed(
      null, options.queue, message, options.priority, due_at, options.expires, options.limit_key, options.unique_key, options.unique_for, options.on_conflict,
      jsonb_build_object('after', options.after, 'on_parent_failure', options.on_parent_failure, 'batch', options.batch))).task_id;
    if kept_id = id then
      perform pgqueue._tell_sent(message, options.queue);
    end if;
    return kept_id;
  end if;
  insert into pgqueue.outbox (queue, kind, state, priority, due_at, expires_at, payload, limit_key)
  values (options.queue, 'task', case when due_at is null then 'ready' else 'delayed' end::pgqueue.message_state, options.priority, due_at,
          options.expires, message, options.limit_key);
  perform pgqueue._wake_for(options.queue, due_at);
  perform pgqueue._tell_sent(message, options.queue);
  return id;
end
$$;
comment on function pgqueue._send_otherwise(text, jsonb, jsonb, text, jsonb, boolean, text, text, pgqueue.job_options) is
  'Sends a task that has options, or raises an error';
grant execute on function pgqueue._send_otherwise(text, jsonb, jsonb, text, jsonb, boolean, text, text, pgqueue.job_options) to pgqueue_user;

create or replace function pgqueue._is_plain_task(task text, args jsonb, kwargs jsonb, queue text, priority int, delay interval, eta timestamptz, expires timestamptz,
                                       headers jsonb, link text, errback text, limit_key text, unique_key text, unique_for interval, on_conflict text,
                                       after pgqueue.handle[], on_parent_failure text, batch bigint)
  returns boolean
  language sql stable
begin atomic
  select trim(task) <> '' and jsonb_typeof(args) = 'array' and jsonb_typeof(kwargs) = 'object' and queue is not null and priority between 0 and 9
    and num_nonnulls(delay, eta, expires, headers, link, errback, limit_key, unique_key, unique_for, after, batch) = 0
    and coalesce(on_conflict = 'keep', true) and coalesce(on_parent_failure = 'cancel', true)
    and coalesce(current_setting('pgqueue.traceparent', true), '') = '';
end;
comment on function pgqueue._is_plain_task(text, jsonb, jsonb, text, int, interval, timestamptz, timestamptz, jsonb, text, text, text, text, interval, text, pgqueue.handle[], text, bigint) is
  'Whether a task is valid, belongs to no trace, and has no option but its queue, priority and id';
grant execute on function pgqueue._is_plain_task(text, jsonb, jsonb, text, int, interval, timestamptz, timestamptz, jsonb, text, text, text, text, interval, text, pgqueue.handle[], text, bigint) to pgqueue_user;

create or replace function pgqueue.send_task(task text, args jsonb default '[]', kwargs jsonb default '{}', queue text default 'celery',
                                  priority int default 0, delay interval default null, eta timestamptz default null,
                                  expires timestamptz default null, task_id text default null, headers jsonb default null,
                                  ignore_result boolean default false, link text default null, errback text default null,
                                  limit_key text default null, unique_key text default null, unique_for interval default null,
                                  on_conflict text default 'keep', after pgqueue.handle[] default null, on_parent_failure text default 'cancel',
                                  batch bigint default null)
  returns text
  language plpgsql volatile
as $$
#variable_conflict use_variable
declare
  id pg_catalog.text;
  nothing_left pg_catalog.bool;
begin
  -- The usual task is one statement, as in pgqueue._enqueue: each further expression and SET clause would cost time. So every
  -- name that could be shadowed is used in functions and views that are bound to the objects they use.
  if pgqueue._is_plain_task(task, args, kwargs, queue, priority, delay, eta, expires, headers, link, errback, limit_key, unique_key, unique_for, on_conflict,
                            after, on_parent_failure, batch) is not true then
    return pgqueue._send_otherwise(
      task, args, kwargs, task_id, headers, ignore_result, link, errback,
      row(queue, priority, delay, eta, expires, null, null, null, unique_key, null, null, null, limit_key, after, on_parent_failure, batch, unique_for, on_conflict)::pgqueue.job_options);
  end if;
  id := coalesce(task_id, pg_catalog.gen_random_uuid()::pg_catalog.text);
  insert into pgqueue.outbox (queue, kind, priority, payload)
  select queue, 'task', priority, pgqueue._plain_task_message(task, args, kwargs, queue, priority, id, ignore_result)
  from pgqueue.own_key
  returning pgqueue._nobody_sleeps(queue) and not exists (select from pgqueue.sent_listener) into nothing_left;
  if nothing_left then
    return id;
  elsif nothing_left is null then
    -- No row was inserted: the role is not enrolled, or was enrolled only after the statement began.
    return pgqueue._send_otherwise(task, args, kwargs, id, headers, ignore_result, link, errback, pgqueue._options(queue, priority));
  end if;
  perform pgqueue._wake(queue);
  perform pgqueue._tell_sent(pgqueue._plain_task_message(task, args, kwargs, queue, priority, id, ignore_result), queue);
  return id;
end
$$;
comment on function pgqueue.send_task(text, jsonb, jsonb, text, int, interval, timestamptz, timestamptz, text, jsonb, boolean, text, text, text, text, interval, text, pgqueue.handle[], text, bigint) is
  'Sends a Celery task when the caller commits, and never if the caller rolls back. Returns the id of the task, or of the one that has its unique key';
grant execute on function pgqueue.send_task(text, jsonb, jsonb, text, int, interval, timestamptz, timestamptz, text, jsonb, boolean, text, text, text, text, interval, text, pgqueue.handle[], text, bigint) to pgqueue_user;
