-- after: enrollment, quotas
-- What may be inserted into pgqueue.message. All inserts go through the view pgqueue.inbox, those of roles through
-- pgqueue.outbox.

create or replace function pgqueue._rank(priority smallint, id bigint)
  returns bigint
  language sql immutable
begin atomic
  select (9 - priority)::bigint << 58 | id;
end;
comment on function pgqueue._rank(smallint, bigint) is
  'The order of a role''s messages in a queue: high priority first, then by id. One value, so that no other index has this order';

create or replace function pgqueue._is_own_event(payload json)
  returns boolean
  language plpgsql stable security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  event jsonb;
begin
  if payload ->> 'content-type' is distinct from 'application/json' or payload #>> '{headers,compression}' is not null
    or payload #>> '{properties,body_encoding}' is not null
  then
    return false;  -- nobody here could read it
  end if;
  event := (payload ->> 'body')::jsonb;
  -- Of jobs, and in the name of workers, only workers speak. The rest is there lest a monitor stumbles over it.
  return coalesce(jsonb_typeof(event) = 'object' and event ->> 'type' = 'task-sent' and not event ? '__type__'
                  and jsonb_typeof(event -> 'uuid') = 'string' and event ->> 'uuid' not like 'job-%'
                  and jsonb_typeof(event -> 'hostname') = 'string' and jsonb_typeof(event -> 'timestamp') = 'number'
                  and coalesce(jsonb_typeof(event -> 'utcoffset'), 'number') = 'number'
                  and not exists (select from pgqueue.worker w where w.name = event ->> 'hostname'), false);
exception when data_exception or program_limit_exceeded or statement_too_complex then
  return false;
end
$$;
comment on function pgqueue._is_own_event(json) is
  'Whether a message is what a program that sends tasks may tell Celery''s monitors: that a task was sent, and not in the name of a worker';
grant execute on function pgqueue._is_own_event(json) to pgqueue_user;

create or replace function pgqueue._may_enter(submitter oid, queue text, payload json)
  returns boolean
  language sql stable
begin atomic
  -- Celery obeys whatever is in the queues of control commands: it can stop workers and cancel anybody's jobs. Monitors believe whatever is in
  -- those of events. NULL, for a role that was dropped, is no.
  select right(queue, 7) <> '.pidbox' and left(queue, 9) <> 'celeryev.'
    or coalesce(pg_has_role(submitter, 'pgqueue_worker', 'member') or pg_has_role(submitter, 'pgqueue_admin', 'member'), false)
    or right(queue, 7) <> '.pidbox' and (payload is null or pgqueue._is_own_event(payload));
end;
comment on function pgqueue._may_enter(oid, text, json) is
  'The door of the queues: whether a message of this role may be in that queue. Whatever puts a message into a queue asks it, for the message''s submitter and not for who moves it';
grant execute on function pgqueue._may_enter(oid, text, json) to pgqueue_user;

create or replace function pgqueue._is_acceptable(m pgqueue.message)
  returns boolean
  language plpgsql stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  return (m.kind = 'job') = (m.payload is null)
    and (m.payload is not null and m.sql is null and m.settings is null
         or m.cookie is not null and m.settings is not null and trim(m.sql, E' \t\r\n') <> '')
    and (m.state = 'ready' or m.due_at is not null and m.state = 'delayed' or m.token is not null and m.worker_id is not null and m.state = 'claimed')
    and m.priority between 0 and 9
    and octet_length(m.queue) between 1 and 255
    -- Workers count with these: one infinite value would stop every claim of the queue.
    and (m.due_at is null or isfinite(m.due_at))
    and (m.timeout is null or m.timeout > interval '0' and isfinite(m.timeout))
    and (m.backoff is null or m.backoff between interval '0' and interval '1 year')
    -- One message that is too large to be handed out, or that cannot be retried, would hold up its whole queue.
    and (m.params is null or coalesce(array_ndims(m.params), 1) = 1 and cardinality(m.params) <= 65535
                             and octet_length(array_to_string(m.params, '')) <= 16777216)
    and (m.sql is null or octet_length(m.sql) <= 16777216)
    and (m.payload is null or octet_length(m.payload::text) <= 67108864)
    and (m.settings is null or jsonb_typeof(m.settings) = 'object' and octet_length(m.settings::text) <= 1000000
                               and not jsonb_path_exists(m.settings, 'strict $.* ? (@.type() <> "string")'))
    and (m.label is null or octet_length(m.label) <= 10000)
    and pgqueue._may_enter(m.submitter, m.queue, m.payload);
end
$$;
comment on function pgqueue._is_acceptable(pgqueue.message) is 'The shape of a message, which workers rely on';
grant execute on function pgqueue._is_acceptable(pgqueue.message) to pgqueue_user;

create or replace function pgqueue._refuse_message(m pgqueue.message)
  returns boolean
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- What is the caller's fault is said as the functions say it. What is left then is the fault of whoever writes the outbox directly.
  if not pgqueue._may_enter(m.submitter, m.queue, null) then
    raise exception 'permission denied for queue "%"', m.queue
      using errcode = '42501', hint = 'Control commands are for workers and administrators: grant pgqueue_worker or pgqueue_admin.';
  elsif m.queue like 'celeryev.%' and not pgqueue._is_own_event(m.payload) then
    raise exception 'permission denied to tell monitors of the work of others'
      using errcode = '42501', hint = 'Events are sent by workers, but for those about tasks that were sent. If this role works: grant pgqueue_worker.';
  elsif m.kind = 'job' or m.payload is null then
    perform pgqueue._check_options(m.sql, pgqueue._options(m.queue, m.priority, eta => m.due_at, timeout => m.timeout, backoff => m.backoff));
  else
    perform pgqueue._check_options('task', pgqueue._options(m.queue, m.priority, eta => m.due_at));
  end if;
  if array_ndims(m.params) > 1 then
    perform pgqueue._refuse_params();
  elsif cardinality(m.params) > 65535 or octet_length(array_to_string(m.params, '')) > 16777216 then
    raise exception 'params are more than 65535 or have more than 16 MB' using errcode = '54000', hint = 'Put the data into a table first.';
  elsif octet_length(m.label) > 10000 then
    raise exception 'label has more than 10000 bytes' using errcode = '54000', hint = 'A label is a short name.';
  elsif octet_length(m.payload::text) > 67108864 then
    raise exception 'message has more than 64 MB' using errcode = '54000', hint = 'Put the data into a table first.';
  elsif octet_length(m.settings::text) > 1000000 then
    raise exception 'settings have more than 1 MB' using errcode = '54000', hint = 'Name fewer or shorter settings in pgqueue.inherit.';
  end if;
  raise exception 'message has not the shape that workers rely on'
    using errcode = '23514', schema = 'pgqueue', table = 'message',
          hint = 'Hand in with pgqueue.enqueue or pgqueue.send_task instead of writing pgqueue.outbox.';
end
$$;
comment on function pgqueue._refuse_message(pgqueue.message) is 'Says what is wrong with a message that pgqueue.inbox does not take';
grant execute on function pgqueue._refuse_message(pgqueue.message) to pgqueue_user;

-- The rules stand in a view and not in CHECKs, which every statement that inserts reads anew: ten of them took 24 µs. Even here
-- each condition costs a statement something, so first comes what the usual message fulfils, and all the rest is asked of a function.
-- What is small, even if it were compressed, is not measured.
create or replace view pgqueue.inbox as
  select * from pgqueue.message
  where case
    when state = 'ready' and priority between 0 and 9 and num_nonnulls(due_at, timeout, backoff, label) = 0
     and octet_length(queue) between 1 and 255 and right(queue, 7) <> '.pidbox' and left(queue, 9) <> 'celeryev.'
     and case when payload is null
           then kind = 'job' and cookie is not null and strpos(E' \t\r\n', left(sql, 1)) = 0 and octet_length(sql) <= 16777216
                and pg_column_size(settings) <= 2000 and not jsonb_path_exists(settings, 'strict $ ? (@.type() <> "object" || @.*.type() <> "string")')
                and (params is null or array_ndims(params) = 1 and pg_column_size(params) <= 2000)
           else kind = 'task' and pg_column_size(payload) <= 100000 and num_nonnulls(sql, settings, params) = 0 end
    then true
    else pgqueue._is_acceptable(message) or pgqueue._refuse_message(message) end
  with check option;
comment on view pgqueue.inbox is
  'The shape of a message that is handed in, which workers rely on. Everything that inserts does it through here; what does not fit is refused by pgqueue._refuse_message';

create or replace view pgqueue.outbox with (security_barrier) as
  select id, cookie, session_id, due_at, expires_at, kind, state, kept, priority, max_attempts, queue, sql, params, settings,
         timeout, backoff, label, unique_key, payload, launched_at
  from pgqueue.inbox
  where submitter = quote_ident(current_user)::regrole::oid
    and (exists (select from pgqueue.role_key k where k.role = submitter and (k.over_quota is null or pgqueue._refuse_excess(submitter, k.over_quota)))
         or pg_has_role('pgqueue_worker', 'member') or pg_has_role('pgqueue_admin', 'member')
         or pgqueue._refuse_stranger(submitter))
  with local check option;
comment on view pgqueue.outbox is
  'Where a role inserts its own messages. The table fills in the submitter: current_user, which a view does not change';
-- Column by column: with a right on the whole of a view LOCK TABLE locks the tables under it.
grant insert (cookie, session_id, due_at, expires_at, kind, state, kept, priority, max_attempts, queue, sql, params, settings, timeout, backoff, label, unique_key, payload) on pgqueue.outbox to pgqueue_user;
grant select (id, cookie, unique_key) on pgqueue.outbox to pgqueue_user;
