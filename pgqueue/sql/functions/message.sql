-- after: caller, enrollment, quotas
-- The rules for rows of pgqueue.message. All inserts use the view pgqueue.inbox, those of roles use pgqueue.outbox. The exceptions
-- are jobs without options, of which the same is checked: pgqueue.job_outbox for programs that send one, and pgqueue._put_row_job for
-- row triggers.

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
    return false;  -- No one could read it here.
  end if;
  event := (payload ->> 'body')::jsonb;
  -- Only workers send events about jobs, and in the name of workers. The other conditions protect monitors from malformed events.
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
  'Whether a message is an event that a program which sends tasks may send to Celery''s monitors: a task was sent, and not in the name of a worker';
grant execute on function pgqueue._is_own_event(json) to pgqueue_user;

create or replace function pgqueue._may_enter(submitter oid, queue text, payload json)
  returns boolean
  language sql stable
begin atomic
  -- Celery obeys every message in the queues of control commands: one can stop workers and cancel jobs of any role. Monitors
  -- believe every message in the queues of events. NULL, for a dropped role, counts as no.
  select right(queue, 7) <> '.pidbox' and left(queue, 9) <> 'celeryev.'
    or coalesce(pg_has_role(submitter, 'pgqueue_worker', 'member') or pg_has_role(submitter, 'pgqueue_admin', 'member'), false)
    or right(queue, 7) <> '.pidbox' and (payload is null or pgqueue._is_own_event(payload));
end;
comment on function pgqueue._may_enter(oid, text, json) is
  'Whether a message of this role may be in that queue. Every statement that puts a message into a queue checks it, for the submitter of the message and not for the role that moves it';
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
    and (m.kind = 'job' or m.kept = 'none' and num_nonnulls(m.session_id, m.params, m.max_attempts, m.timeout, m.backoff) = 0
                           -- A schedule of a task gives it a label, and a cookie to know it by.
                           and (num_nonnulls(m.cookie, m.label) = 0 or has_table_privilege('pgqueue.message', 'insert')))
    and (m.state in ('ready', 'waiting') or m.due_at is not null and m.state = 'delayed' or m.token is not null and m.worker_id is not null and m.state = 'claimed')
    -- Functions of the owner write these, together with the row that says what the message waits for, or which task gets the result.
    and (m.state <> 'waiting' and m.kept <> 'task' or has_table_privilege('pgqueue.message', 'insert'))
    and (m.kept not in ('once', 'many') or pgqueue._may_keep_result(m.submitter))
    and (m.max_attempts is null or m.max_attempts between 1 and 1000)
    and m.priority between 0 and 9
    and octet_length(m.queue) between 1 and 255
    -- Workers calculate with these: one infinite value would stop every claim of the queue.
    and (m.due_at is null or isfinite(m.due_at))
    and (m.timeout is null or m.timeout > interval '0' and isfinite(m.timeout))
    and (m.backoff is null or m.backoff between interval '0' and interval '1 year')
    -- One message that is too large to be delivered, or that cannot be retried, would block its whole queue.
    and (m.params is null or coalesce(array_ndims(m.params), 1) = 1 and cardinality(m.params) <= 65535
                             and octet_length(array_to_string(m.params, '')) <= 16777216)
    and (m.sql is null or octet_length(m.sql) <= 16777216)
    and (m.payload is null or octet_length(m.payload::text) <= 67108864)
    and (m.settings is null or jsonb_typeof(m.settings) = 'object' and octet_length(m.settings::text) <= 1000000
                               and not jsonb_path_exists(m.settings, 'strict $.* ? (@.type() <> "string")'))
    and (m.label is null or octet_length(m.label) <= 10000)
    and (m.limit_key is null or octet_length(m.limit_key) between 1 and 255)
    and pgqueue._may_enter(m.submitter, m.queue, m.payload);
end
$$;
comment on function pgqueue._is_acceptable(pgqueue.message) is 'The form of a message, on which workers rely';
grant execute on function pgqueue._is_acceptable(pgqueue.message) to pgqueue_user;

create or replace function pgqueue._refuse_message(m pgqueue.message)
  returns boolean
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- Mistakes of a caller are reported in the words of the public functions. The remaining ones come from code that writes the
  -- outbox directly.
  if not pgqueue._may_enter(m.submitter, m.queue, null) then
    raise exception 'permission denied for queue "%"', m.queue
      using errcode = '42501', hint = 'Control commands are for workers and administrators: grant pgqueue_worker or pgqueue_admin.';
  elsif m.queue like 'celeryev.%' and not pgqueue._is_own_event(m.payload) then
    raise exception 'permission denied to tell monitors of the work of others'
      using errcode = '42501', hint = 'Events are sent by workers, but for those about tasks that were sent. If this role works: grant pgqueue_worker.';
  elsif m.kind = 'job' or m.payload is null then
    perform pgqueue._check_options(m.sql, pgqueue._options(m.queue, m.priority, eta => m.due_at, timeout => m.timeout, max_attempts => m.max_attempts, backoff => m.backoff));
    if m.kept in ('once', 'many') then
      perform pgqueue._require_login(m.submitter);
    end if;
  else
    perform pgqueue._check_options('task', pgqueue._options(m.queue, m.priority, eta => m.due_at));
  end if;
  if octet_length(m.limit_key) not between 1 and 255 then
    raise exception 'limit_key must have 1 to 255 bytes' using errcode = '22023', hint = 'It names whose limit counts, for example a tenant. Leave it out for none.';
  elsif array_ndims(m.params) > 1 then
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
comment on function pgqueue._refuse_message(pgqueue.message) is 'Raises the error for a message that pgqueue.inbox refuses';
grant execute on function pgqueue._refuse_message(pgqueue.message) to pgqueue_user;

create or replace function pgqueue._is_usual_queue(queue text)
  returns boolean
  language sql immutable
begin atomic
  select queue <> '' and octet_length(queue) <= 255 and queue not like '%.pidbox' and queue not like 'celeryev.%';
end;
comment on function pgqueue._is_usual_queue(text) is 'Whether a queue is neither for control commands nor for events, so that every role may use it';
grant execute on function pgqueue._is_usual_queue(text) to pgqueue_user;

create or replace function pgqueue._is_usual_job(cookie bigint, sql text, params text[], settings jsonb)
  returns boolean
  language sql stable
begin atomic
  select cookie is not null and left(sql, 1) > ' ' collate "C" and octet_length(sql) <= 16777216
    and pg_column_size(settings) <= 2000 and not jsonb_path_exists(settings, 'strict $ ? (@.type() <> "object" || @.*.type() <> "string")')
    and (params is null or array_upper(params, 2) is null and pg_column_size(params) <= 2000);
end;
comment on function pgqueue._is_usual_job(bigint, text, text[], jsonb) is
  'The short condition for a job that pgqueue._is_acceptable accepts. The planner inlines it. The sizes of columns that are small even if compressed are not checked';
grant execute on function pgqueue._is_usual_job(bigint, text, text[], jsonb) to pgqueue_user;

-- The rules are in views and not in CHECKs, which every inserting statement reads again: ten of them took 24 µs. Here, too, each
-- function and each operator costs a statement 0.5 µs, used or not. So a few of them tell a usual message, and one function checks
-- the rest.
create or replace view pgqueue.inbox as
  select * from pgqueue.message
  where case
    when state = 'ready' and (kept = 'none' or kept <> 'task' and pgqueue._may_keep_result(submitter)) and priority = any ('{0,1,2,3,4,5,6,7,8,9}')
     and (due_at, timeout, backoff, label, limit_key, max_attempts) is null
     and pgqueue._is_usual_queue(queue)
     and case when payload is null
           then kind = 'job' and pgqueue._is_usual_job(cookie, sql, params, settings)
           else kind = 'task' and kept = 'none' and pg_column_size(payload) <= 100000 and (cookie, session_id, sql, settings, params) is null end
    then true
    else pgqueue._is_acceptable(message) or pgqueue._refuse_message(message) end
  with check option;
comment on view pgqueue.inbox is
  'The form of a submitted message, on which workers rely. All inserts but those into pgqueue.job_outbox and of pgqueue._put_row_job use this view; pgqueue._refuse_message refuses a message of another form';

create or replace view pgqueue.outbox with (security_barrier) as
  select id, cookie, session_id, due_at, expires_at, kind, state, kept, priority, max_attempts, queue, sql, params, settings,
         timeout, backoff, label, unique_key, limit_key, payload, launched_at
  from pgqueue.inbox
  where submitter = quote_ident(current_user)::regrole::oid
    and (exists (select from pgqueue.role_key k where k.role = submitter and (k.over_quota is null or pgqueue._refuse_excess(submitter, k.over_quota)))
         or pgqueue._require_operator(submitter))
  with local check option;
comment on view pgqueue.outbox is
  'Where a role inserts its own messages. The table fills in the submitter: current_user, which a view does not change';
-- The right is granted by column: with a right on the whole view, LOCK TABLE locks the tables under it.
grant insert (cookie, session_id, due_at, expires_at, kind, state, kept, priority, max_attempts, queue, sql, params, settings, timeout, backoff, label, limit_key, payload) on pgqueue.outbox to pgqueue_user;
grant select (id, cookie) on pgqueue.outbox to pgqueue_user;

create or replace view pgqueue.job_outbox with (security_barrier) as
  -- Not on pgqueue.inbox: the conditions of two views, and a second check of rights, would cost each job 15 µs. The columns that are
  -- missing here need no condition: their defaults make the job ready, with priority 0 and without a kept result.
  select id, cookie, session_id, kind, queue, sql, params, settings
  from pgqueue.message
  where submitter = quote_ident(current_user)::regrole::oid
    and case when kind = 'job' and pgqueue._is_usual_queue(queue) and pgqueue._is_usual_job(cookie, sql, params, settings)
      then true
      else pgqueue._is_acceptable(message) or pgqueue._refuse_message(message) end
    and (exists (select from pgqueue.role_key k where k.role = submitter and (k.over_quota is null or pgqueue._refuse_excess(submitter, k.over_quota)))
         or pgqueue._require_operator(submitter))
  with check option;
alter view pgqueue.job_outbox alter column kind set default 'job';
comment on view pgqueue.job_outbox is
  'Where a role inserts its own jobs without options: the short way of pgqueue.outbox, with the same rules';
grant insert (cookie, session_id, queue, sql, params, settings) on pgqueue.job_outbox to pgqueue_user;
grant select (id, cookie) on pgqueue.job_outbox to pgqueue_user;
