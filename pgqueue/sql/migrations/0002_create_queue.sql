-- The queue: one hot table, and what describes its queues, its routes and its workers.

create table pgqueue.queue_switch (
  name text primary key,
  paused boolean not null default false,
  durability text,
  constraint queue_name_is_1_to_255_bytes check (octet_length(name) between 1 and 255),
  constraint queue_durability_is_known check (durability in ('sync', 'async'))
);
comment on table pgqueue.queue_switch is 'What administrators have switched for a queue; a queue that merely has messages needs no row';
comment on column pgqueue.queue_switch.durability is 'How jobs of this queue commit that do not say so themselves; NULL as sync';

-- Declarations. What a worker or an administrator declares holds for all messages; what another role declares holds for its own
-- messages only, so it deletes, diverts, copies and slows down nobody else's. None has a unique name: an insert would wait for a stranger's
-- transaction that declares the same. A change is one row more; of a name the last row counts, and who changes it deletes the others.

create table pgqueue.queue (
  id bigint generated always as identity primary key,
  name text not null,
  declared_by oid not null,
  durable boolean not null default true,
  exclusive boolean not null default false,
  auto_delete boolean not null default false,
  arguments jsonb not null default '{}',
  expires_after interval,
  message_ttl interval,
  max_deliveries int,
  dead_letter_exchange text,
  dead_letter_routing_key text,
  used_at timestamptz not null default clock_timestamp(),
  constraint queue_name_is_1_to_255_bytes check (octet_length(name) between 1 and 255),
  -- Roles declare queues themselves, and workers count with these: one value out of range would stop every upkeep.
  constraint queue_expires_in_range check (expires_after between interval '0' and interval '1000 years'),
  constraint queue_ttl_in_range check (message_ttl between interval '0' and interval '1000 years'),
  constraint queue_dead_letters_have_an_address check (octet_length(dead_letter_exchange) <= 255 and coalesce(octet_length(dead_letter_routing_key), 1) between 1 and 255),
  constraint queue_arguments_are_small check (octet_length(arguments::text) <= 10000)
);
comment on table pgqueue.queue is 'AMQP queues as they were declared; of those with the same name and declarer the last counts';
comment on column pgqueue.queue.declared_by is 'Whose messages it holds for. 0: for all, since a worker or an administrator has declared it; then it counts before all others';
comment on column pgqueue.queue.max_deliveries is 'How often a task of it may be handed out; NULL: as pgqueue.max_deliveries says';
create index queue_name on pgqueue.queue (name, declared_by, id);
comment on index pgqueue.queue_name is 'pgqueue._declared: the declaration that counts for a message';
create index queue_declared_by on pgqueue.queue (declared_by) where declared_by <> 0;
comment on index pgqueue.queue_declared_by is 'pgqueue._require_room: how many a role has';

create table pgqueue.exchange (
  id bigint generated always as identity primary key,
  name text not null,
  declared_by oid not null,
  type text not null,
  durable boolean not null,
  auto_delete boolean not null,
  arguments jsonb not null default '{}',
  constraint exchange_type_is_known check (type in ('direct', 'topic', 'fanout')),
  constraint exchange_name_is_at_most_255_bytes check (octet_length(name) <= 255),
  constraint exchange_arguments_are_small check (octet_length(arguments::text) <= 10000)
);
comment on table pgqueue.exchange is 'AMQP exchanges as they were declared, shared by all processes; of those with the same name and declarer the last counts';
comment on column pgqueue.exchange.declared_by is 'Whose messages it routes. 0: all';
create index exchange_name on pgqueue.exchange (name, declared_by, id);
comment on index pgqueue.exchange_name is 'pgqueue._route: the type of an exchange';
create index exchange_declared_by on pgqueue.exchange (declared_by) where declared_by <> 0;
comment on index pgqueue.exchange_declared_by is 'pgqueue._require_room: how many a role has';

create function pgqueue._topic_pattern(routing_key text)
  returns text
  language sql immutable
  set search_path = pg_catalog, pg_temp
as $$
  -- Words are matched with the dot before them: * is one word, # is none or more (AMQP 0-9-1, 3.1.3.3).
  select '^' || string_agg(case word when '#' then '([.][^.]*)*' when '*' then '[.][^.]+'
                           else '[.]' || regexp_replace(word, '([^[:alnum:]_])', E'\\\\\\1', 'g') end, '' order by n) || '$'
  from string_to_table(routing_key, '.') with ordinality w (word, n)
$$;
comment on function pgqueue._topic_pattern(text) is 'The binding key of a topic exchange as a regular expression for a dot and the routing key';

create table pgqueue.binding (
  id bigint generated always as identity primary key,
  exchange text not null,
  declared_by oid not null,
  routing_key text not null,
  queue text not null,
  pattern text not null generated always as (coalesce(pgqueue._topic_pattern(routing_key), '^[.]$')) stored,
  constraint binding_key_is_at_most_255_bytes check (octet_length(routing_key) <= 255)
);
comment on table pgqueue.binding is 'Which queues an exchange feeds';
comment on column pgqueue.binding.declared_by is 'Whose messages it feeds the queue with. 0: all. So the cost of routing a message does not grow with what strangers have bound';
comment on column pgqueue.binding.pattern is 'The routing key of a topic binding as a regular expression';
create index binding_exchange on pgqueue.binding (exchange, declared_by);
comment on index pgqueue.binding_exchange is 'pgqueue._route: where a message may go';
create index binding_queue on pgqueue.binding (queue, declared_by);
comment on index pgqueue.binding_queue is 'Deleting a queue deletes its bindings';
create index binding_declared_by on pgqueue.binding (declared_by) where declared_by <> 0;
comment on index pgqueue.binding_declared_by is 'pgqueue._require_room: how many a role has';

create table pgqueue.worker (
  id int generated always as identity primary key,
  name text not null,
  pid int not null,
  executors int not null,
  queues text[] not null default '{}',
  started_at timestamptz not null default clock_timestamp(),
  last_seen_at timestamptz not null default clock_timestamp(),
  items_processed bigint not null default 0,
  last_run_at timestamptz,
  lost_at timestamptz,
  successor int
);
comment on table pgqueue.worker is
  'Processes that consume. One lives as long as the session with its pid holds the advisory lock (pgqueue._lock_class_worker, id)';
comment on column pgqueue.worker.lost_at is 'When its session was first seen to be gone; -infinity: its process said so itself';
comment on column pgqueue.worker.successor is 'The number under which its process has registered anew, the last time';

create table pgqueue.message (
  id bigint generated always as identity primary key,
  cookie bigint,
  token bigint,
  session_id bigint,
  due_at timestamptz,
  expires_at timestamptz,
  launched_at timestamptz not null default clock_timestamp(),
  submitter oid not null default quote_ident(current_user)::regrole::oid,
  kind pgqueue.message_kind not null,
  state pgqueue.message_state not null default 'ready',
  kept pgqueue.result_kept not null default 'none',
  top_level boolean not null default false,
  worker_id int,
  priority smallint not null default 0,
  deliveries smallint not null default 0,
  attempts smallint not null default 0,
  max_attempts smallint,
  queue text not null,
  sql text,
  params text[],
  settings jsonb,
  timeout interval,
  backoff interval,
  label text,
  unique_key text,
  payload json,
  last_error jsonb
) with (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0,
        autovacuum_analyze_scale_factor = 0.2);
comment on table pgqueue.message is 'Jobs and Celery messages that are not done. Hot: a row is inserted, claimed and deleted';
comment on column pgqueue.message.submitter is 'Set by the server, never by the submitter: roles insert through pgqueue.outbox, which lacks this column';
comment on column pgqueue.message.token is 'The fencing token of the current claim; completing needs it';
comment on column pgqueue.message.deliveries is 'How often it was handed to a worker';
comment on column pgqueue.message.attempts is 'How often a job ran and failed';
comment on column pgqueue.message.top_level is 'A job that cannot run in the batch lane, as its first try has shown';
comment on column pgqueue.message.session_id is 'The session that handed the job in, for pgqueue.stats';

create function pgqueue._rank(priority smallint, id bigint)
  returns bigint
  language sql immutable
begin atomic
  select (9 - priority)::bigint << 58 | id;
end;
comment on function pgqueue._rank(smallint, bigint) is
  'The order of a role''s messages in a queue: high priority first, then by id. One value, so that no other index has this order';

-- Over the expression and not a call: whoever inserts would have to be allowed to call it. A generated column cost each INSERT of one
-- row 2.7 µs, a sixth of it.
create index message_ready on pgqueue.message (queue, kind, submitter, ((9 - priority)::bigint << 58 | id)) where state = 'ready';
comment on index pgqueue.message_ready is 'pgqueue._claim: the next messages of each role in a queue. Delayed and claimed ones are not in it';
create index message_delayed on pgqueue.message (due_at) where state = 'delayed';
comment on index pgqueue.message_delayed is 'pgqueue._promote: what has become due';
create index message_expiry on pgqueue.message (expires_at) where kind = 'task' and state <> 'claimed' and expires_at is not null;
comment on index pgqueue.message_expiry is 'pgqueue._expire_messages: tasks that nobody took in time';
create index message_claimed on pgqueue.message (worker_id) where state = 'claimed';
comment on index pgqueue.message_claimed is 'pgqueue._reclaim: what lost workers hold';
create unique index message_unique_key on pgqueue.message (submitter, unique_key) where unique_key is not null;
comment on index pgqueue.message_unique_key is 'One unfinished job for each unique key of a role';
create index message_session on pgqueue.message (session_id, submitter) where session_id is not null;
comment on index pgqueue.message_session is 'pgqueue.stats: the unfinished jobs of this session';

create function pgqueue._refuse_stranger(role oid)
  returns boolean
  language plpgsql stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  raise exception 'role "%" is not enrolled in pgqueue', pg_get_userbyid(role)
    using errcode = '42501', hint = format('Let an administrator run: select pgqueue.enroll(%L)', quote_ident(pg_get_userbyid(role)));
end
$$;
comment on function pgqueue._refuse_stranger(oid) is 'Raises 42501';

create function pgqueue._refuse_excess(role oid, over_quota text)
  returns boolean
  language plpgsql stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  if pg_has_role(role, 'pgqueue_worker', 'member') or pg_has_role(role, 'pgqueue_admin', 'member') then
    return false;  -- as these they may hand in
  end if;
  raise exception 'role "%" has more % than one role may have', pg_get_userbyid(role), over_quota
    using errcode = '53400',
          hint = format('Cancel or purge some, wait until workers have taken some, or let the owner of the database raise pgqueue.max_%s.',
                        case over_quota when 'delayed messages' then 'delayed' when 'megabytes of messages' then 'megabytes' else over_quota end);
end
$$;
comment on function pgqueue._refuse_excess(oid, text) is 'Raises 53400 for a role that is over its quota; false for workers and administrators';

create function pgqueue._refuse_message(m pgqueue.message)
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
    perform pgqueue._check_options(m.sql, m.queue, m.priority, null, m.due_at, null, m.timeout, null, m.backoff, null);
  else
    perform pgqueue._check_options('task', m.queue, m.priority, null, m.due_at, null, null, null, null, null);
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

create function pgqueue._is_own_event(payload json)
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

create function pgqueue._may_enter(submitter oid, queue text, payload json)
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

create function pgqueue._is_acceptable(m pgqueue.message)
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

-- The rules stand in a view and not in CHECKs, which every statement that inserts reads anew: ten of them took 24 µs. Even here
-- each condition costs a statement something, so first comes what the usual message fulfils, and all the rest is asked of a function.
-- What is small, even if it were compressed, is not measured.
create view pgqueue.inbox as
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

create table pgqueue.role_key (
  role oid primary key,
  key text not null default replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''),
  seal_key text not null default replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''),
  enrolled_at timestamptz not null default clock_timestamp(),
  runner oid,
  runner_xid xid,
  over_quota text
);
comment on table pgqueue.role_key is 'Enrolled roles, and the secrets from which their proofs and the seals of their settings are made. Only the owner reads it';
comment on column pgqueue.role_key.runner is 'The function that runs its jobs in the batch lane (pgqueue._make_runner). NULL: there is none';
comment on column pgqueue.role_key.runner_xid is 'Which transaction made it: one that was changed since is of another';
comment on column pgqueue.role_key.over_quota is 'Of what it has more than its quota: then nothing that it hands in is accepted. NULL: of nothing. Upkeep writes it (pgqueue._note_usage)';

create table pgqueue.role_usage (
  role oid primary key,
  messages bigint not null,
  delayed bigint not null,
  bytes bigint not null,
  counted_at timestamptz not null,
  seconds float8 not null
);
comment on table pgqueue.role_usage is 'What each role has in the queues, as upkeep counted it last. Empty while no quota is set';

create view pgqueue.outbox with (security_barrier) as
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

create view pgqueue.own_binding with (security_barrier) as
  select b.exchange, b.routing_key, b.pattern, b.queue
  from pgqueue.binding b
  where b.declared_by = quote_ident(current_user)::regrole::oid or (select pg_has_role('pgqueue_worker', 'member') or pg_has_role('pgqueue_admin', 'member'));
comment on view pgqueue.own_binding is 'Bindings that the role that runs has made; all if it is a worker or an administrator';

create view pgqueue.own_task with (security_barrier) as
  select m.queue
  from pgqueue.message m
  where m.kind = 'task' and m.state = 'ready'
    and (pg_has_role(m.submitter, 'member') or (select pg_has_role('pgqueue_worker', 'member') or pg_has_role('pgqueue_admin', 'member')));
comment on view pgqueue.own_task is 'The queues of the ready tasks of the role that runs and of roles it is a member of; of all if it is a worker or an administrator';

-- What roles declare, and what they publish by way of an exchange, is an INSERT into one of these two. A column's default sees who runs and
-- cannot be given; the trigger then acts as the owner of pgqueue. Nobody needs a right on a table for it, with which LOCK TABLE
-- could stop every worker, nor learns what strangers have bound.

create view pgqueue.declaration as
  select null::oid as role, null::text as act, null::text as name, null::jsonb as attributes
  where false;
alter view pgqueue.declaration alter column role set default quote_ident(current_user)::regrole::oid;
comment on view pgqueue.declaration is 'Where roles insert what they want to declare, bind, unbind or delete: pgqueue._carry_out does it';

create view pgqueue.dispatch as
  select null::oid as submitter, null::text as exchange, null::text as routing_key, null::json as payload, null::int as priority,
         null::timestamptz as due_at, null::timestamptz as expires_at, null::int as reached
  where false;
alter view pgqueue.dispatch alter column submitter set default quote_ident(current_user)::regrole::oid;
comment on view pgqueue.dispatch is 'Where roles insert what they publish by way of an exchange: pgqueue._dispatch routes it. reached: to how many queues';
