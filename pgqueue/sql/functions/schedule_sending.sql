-- after: send_task
-- How a scheduled task is sent, beyond its arguments, queue and priority: by its options, or as the message that Celery has made of it.

create or replace function pgqueue._sending_of(headers jsonb, expires interval, ignore_result boolean, link text, errback text)
  returns jsonb
  language sql immutable
begin atomic
  select nullif(
    case when headers is not null then jsonb_build_object('headers', headers) else '{}' end
    || case when expires is not null then jsonb_build_object('expires', extract(epoch from expires)) else '{}' end
    || case when ignore_result is not null then jsonb_build_object('ignore_result', ignore_result) else '{}' end
    || case when link is not null then jsonb_build_object('link', link) else '{}' end
    || case when errback is not null then jsonb_build_object('errback', errback) else '{}' end, '{}');
end;
comment on function pgqueue._sending_of(jsonb, interval, boolean, text, text) is 'The options of a scheduled task as one value; NULL: it has none';
grant execute on function pgqueue._sending_of(jsonb, interval, boolean, text, text) to pgqueue_user;

create or replace function pgqueue._check_sending(sending jsonb)
  returns void
  language plpgsql immutable
  set search_path = pg_catalog, pg_temp
as $$
begin
  if sending is null then
    return;
  elsif octet_length(sending::text) > 16777216 then
    raise exception 'what is sent has more than 16 MB' using errcode = '54000', hint = 'Put the data into a table first.';
  elsif jsonb_typeof(coalesce(sending -> 'headers', '{}')) <> 'object' then
    raise exception 'headers must be a JSON object' using errcode = '22023', hint = 'For example jsonb_build_object(''tenant'', ''a'').';
  elsif trim(sending ->> 'link') = '' or trim(sending ->> 'errback') = '' then
    raise exception '% cannot be empty', case when trim(sending ->> 'link') = '' then 'link' else 'errback' end
      using errcode = '22023', hint = 'Name a task, or leave it out.';
  elsif jsonb_typeof(sending -> 'expires') <> 'number' or (sending -> 'expires')::numeric not between 0.001 and 315360000 then
    raise exception 'expires is out of range' using errcode = '22023', hint = 'It is how long each run may wait before it is dropped: more than nothing, at most ten years.';
  elsif jsonb_typeof(sending) <> 'object'
    or jsonb_typeof(coalesce(sending #> '{message,headers,task}', '""')) <> 'string' or jsonb_typeof(coalesce(sending #> '{message,properties}', '{}')) <> 'object'
    or sending ? 'message' and jsonb_typeof(sending #> '{message,headers}') is distinct from 'object'
    or jsonb_typeof(coalesce(sending -> 'ignore_result', 'false')) <> 'boolean'
    or jsonb_typeof(coalesce(sending -> 'delay', '1')) <> 'number' or jsonb_typeof(coalesce(sending -> 'ttl', '1')) <> 'number'
    or exists (select from jsonb_object_keys(sending) k
               where k not in ('headers', 'expires', 'ignore_result', 'link', 'errback', 'message', 'exchange', 'delay', 'eta', 'ttl', 'until', 'task_id'))
  then
    raise exception 'sending has not the shape that workers rely on' using errcode = '22023', hint = 'Use the functions of the schema pgqueue.';
  end if;
end
$$;
comment on function pgqueue._check_sending(jsonb) is 'Refuses options of a scheduled task that make no sense';

create or replace function pgqueue._send_at(sending jsonb, jitter interval)
  returns timestamptz
  language sql volatile
begin atomic
  select case when jitter is not null or sending ? 'delay' or (sending ->> 'eta')::timestamptz > clock_timestamp()
              then greatest(clock_timestamp() + coalesce(jitter, interval '0') + coalesce(make_interval(secs => (sending ->> 'delay')::float8), interval '0'),
                            (sending ->> 'eta')::timestamptz) end;
end;
comment on function pgqueue._send_at(jsonb, interval) is 'When a run that is fired now is to begin; NULL: at once';

create or replace function pgqueue._task_expiry(sending jsonb, due_at timestamptz)
  returns timestamptz
  language sql volatile
begin atomic
  -- As Celery counts it: from when the task is sent, its countdown included.
  select coalesce(due_at - coalesce(make_interval(secs => (sending ->> 'delay')::float8), interval '0'), clock_timestamp())
         + make_interval(secs => (sending ->> 'expires')::float8);
end;
comment on function pgqueue._task_expiry(jsonb, timestamptz) is 'When a run that is fired now is too late; NULL: never';

create or replace function pgqueue._expire_at(sending jsonb, due_at timestamptz, queue text, role oid)
  returns timestamptz
  language sql volatile
begin atomic
  -- Of a message that Celery has made the task's expiry is for the worker, which says that it was revoked.
  select case when sending ? 'message'
              then least(clock_timestamp() + make_interval(secs => (sending ->> 'ttl')::float8), (sending ->> 'until')::timestamptz, clock_timestamp() + (select d.message_ttl from pgqueue._declared(queue, role) d))
              else pgqueue._task_expiry(sending, due_at) end;
end;
comment on function pgqueue._expire_at(jsonb, timestamptz, text, oid) is 'When the message of a run expires in the queue; NULL: never';

create or replace function pgqueue._message_to_send(sending jsonb, task text, args jsonb, kwargs jsonb, queue text, priority int, due_at timestamptz, task_id text)
  returns json
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  expires timestamptz := pgqueue._task_expiry(sending, due_at);
  message jsonb;
begin
  if not sending ? 'message' then
    return pgqueue._task_message(task, args, kwargs, queue, priority, due_at, expires, task_id, sending -> 'headers', coalesce((sending ->> 'ignore_result')::boolean, false),
                                 sending ->> 'link', sending ->> 'errback');
  end if;
  -- The id stands in several places, and perhaps in headers of the application's own.
  message := replace((sending -> 'message')::text, '00000000-0000-4000-8000-000000000000', task_id)::jsonb;
  return jsonb_set(message, '{headers}', (message -> 'headers')
    || jsonb_build_object('origin', concat(pg_backend_pid(), '@', current_database()))
    || case when due_at is null then '{}' else jsonb_build_object('published_eta', pgqueue._utc_text(due_at)) end
    || case when expires is null then '{}' else jsonb_build_object('expires', pgqueue._utc_text(expires)) end)::json;
end
$$;
comment on function pgqueue._message_to_send(jsonb, text, jsonb, jsonb, text, int, timestamptz, text) is 'The message of one run of a scheduled task that has options';
