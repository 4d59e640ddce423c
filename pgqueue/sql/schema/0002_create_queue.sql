-- The queue: one hot table, and the tables of its queues, its routes and its workers.

create type pgqueue.job_options as (
  queue text,
  priority int,
  delay interval,
  eta timestamptz,
  expires timestamptz,
  timeout interval,
  max_attempts int,
  backoff interval,
  unique_key text,
  label text,
  durability text,
  traceparent text,
  limit_key text,
  after pgqueue.handle[],
  on_parent_failure text,
  batch bigint
);
comment on type pgqueue.job_options is 'The options of launch, submit, enqueue and enqueue_many as one value';

create table pgqueue.queue_switch (
  name text primary key,
  paused boolean not null default false,
  durability text,
  constraint queue_name_is_1_to_255_bytes check (octet_length(name) between 1 and 255),
  constraint queue_durability_is_known check (durability in ('sync', 'async'))
);
comment on table pgqueue.queue_switch is
  'The switches that administrators have set for a queue; a queue that only has messages needs no row';
comment on column pgqueue.queue_switch.durability is 'The durability of jobs of this queue that have none of their own; NULL as sync';

create table pgqueue.configured (
  setting text not null,
  queue text not null,
  role oid not null default 0,
  value text not null,
  pruned_to timestamptz,
  primary key (queue, setting, role),
  constraint configured_queue_is_at_most_255_bytes check (octet_length(queue) <= 255),
  constraint configured_of_all_is_an_administrators check (queue <> '' or role = 0)
);
comment on table pgqueue.configured is 'Settings of queues and of the database that differ from their defaults (pgqueue.configure)';
comment on column pgqueue.configured.queue is 'The queue; empty: a setting of the database';
comment on column pgqueue.configured.pruned_to is 'Of a retention: jobs that ended before were looked at';
comment on column pgqueue.configured.role is 'Whose jobs the value holds for. 0: for all, since an administrator has set it; then it counts before all others';

-- Declarations. A declaration of a worker or an administrator applies to all messages. A declaration of another role applies to
-- its own messages only, so it deletes, diverts, copies and slows down no message of others. None has a unique name: an insert
-- would wait for a transaction of another role that declares the same. A change adds a row; the last row of a name counts, and
-- the changing session deletes the others.
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
  -- Roles declare queues themselves, and workers calculate with these: one value out of range would stop every upkeep.
  constraint queue_expires_in_range check (expires_after between interval '0' and interval '1000 years'),
  constraint queue_ttl_in_range check (message_ttl between interval '0' and interval '1000 years'),
  constraint queue_dead_letters_have_an_address check (octet_length(dead_letter_exchange) <= 255 and coalesce(octet_length(dead_letter_routing_key), 1) between 1 and 255),
  constraint queue_arguments_are_small check (octet_length(arguments::text) <= 10000)
);
comment on table pgqueue.queue is 'AMQP queues as they were declared; among those with the same name and declarer the last counts';
comment on column pgqueue.queue.declared_by is
  'The role to whose messages it applies. 0: all, because a worker or an administrator has declared it; then it has precedence';
comment on column pgqueue.queue.max_deliveries is 'How often a task may be delivered; NULL: as pgqueue.max_deliveries says';
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
comment on table pgqueue.exchange is
  'AMQP exchanges as they were declared, shared by all processes; among those with the same name and declarer the last counts';
comment on column pgqueue.exchange.declared_by is 'The role whose messages it routes. 0: all';
create index exchange_name on pgqueue.exchange (name, declared_by, id);
comment on index pgqueue.exchange_name is 'pgqueue._route: the type of an exchange';
create index exchange_declared_by on pgqueue.exchange (declared_by) where declared_by <> 0;
comment on index pgqueue.exchange_declared_by is 'pgqueue._require_room: how many a role has';

create function pgqueue._topic_pattern(routing_key text)
  returns text
  language sql immutable
  set search_path = pg_catalog, pg_temp
as $$
  -- Words are matched with the dot before them: * is one word, # is any number of words (AMQP 0-9-1, 3.1.3.3).
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
comment on table pgqueue.binding is 'The bindings from exchanges to queues';
comment on column pgqueue.binding.declared_by is
  'The role whose messages it routes to the queue. 0: all. So the cost of routing a message does not grow with the bindings of others';
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
  successor int,
  login oid not null default quote_ident(session_user)::regrole::oid
);
comment on table pgqueue.worker is
  'Processes that consume. A worker is alive as long as the session with its pid holds the advisory lock (pgqueue._lock_class_worker, id)';
comment on column pgqueue.worker.lost_at is 'When its session was first seen to be gone; -infinity: its process reported it';
comment on column pgqueue.worker.login is 'The role that its session has logged in as: an administrator who observes acts for its own only';
comment on column pgqueue.worker.successor is 'The number under which its process has last registered again';

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
  acked boolean not null default false,
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
  limit_key text collate "C",
  payload json,
  last_error jsonb,
  retried_from bigint,
  queue_timeout interval
) with (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0,
        autovacuum_analyze_scale_factor = 0.2);
comment on table pgqueue.message is 'Jobs and Celery messages that are not finished. Hot: a row is inserted, claimed and deleted';
comment on column pgqueue.message.submitter is 'Set by the server, never by the submitter: roles insert through pgqueue.outbox, which lacks this column';
comment on column pgqueue.message.token is 'The fencing token of the current claim; completing needs it';
comment on column pgqueue.message.deliveries is 'How often it was handed to a worker';
comment on column pgqueue.message.attempts is 'How often a run of the job has failed';
comment on column pgqueue.message.top_level is 'Whether the job cannot run in the batch lane, as its first try has shown';
comment on column pgqueue.message.acked is
  'Of a task that is under limits: Celery has acked it and runs it. The row stays until the task ends, because it is what counts; a lost one is not delivered again';
comment on column pgqueue.message.limit_key is 'Whose limit it is under, for example a tenant: a name that the submitter gives';
comment on column pgqueue.message.retried_from is 'The failed job that this job runs again (pgqueue.retry)';
comment on column pgqueue.message.queue_timeout is
  'The timeout of the queue or the database when the job was claimed, for a job that has none. It is apart from timeout, so that a job that is claimed or retried later has that of then';
comment on column pgqueue.message.session_id is 'The session that submitted the job, for pgqueue.stats';

-- The index is on the expression and not on a function, which every inserting role would need the right to call. A generated
-- column cost each INSERT of one row 2.7 µs, a sixth of its time.
create index message_ready on pgqueue.message (queue, kind, submitter, ((9 - priority)::bigint << 58 | id)) where state = 'ready' and limit_key is null;
comment on index pgqueue.message_ready is
  'pgqueue._claim: the next messages of each role in a queue. Delayed and claimed messages are not in it, nor those with a limit key';
create index message_keyed on pgqueue.message (queue, kind, submitter, limit_key, ((9 - priority)::bigint << 58 | id)) where state = 'ready' and limit_key is not null;
comment on index pgqueue.message_keyed is 'pgqueue._claim_limited: the keys that have ready messages in a queue, and the next messages of each key';
create index message_delayed on pgqueue.message (due_at) where state = 'delayed';
comment on index pgqueue.message_delayed is 'pgqueue._promote: messages that have become due';
create index message_expiry on pgqueue.message (expires_at) where kind = 'task' and state <> 'claimed' and expires_at is not null;
comment on index pgqueue.message_expiry is 'pgqueue._expire_messages: tasks that no worker took in time';
create index message_claimed on pgqueue.message (worker_id) where state = 'claimed';
comment on index pgqueue.message_claimed is 'pgqueue._reclaim: messages of lost workers';
create index message_session on pgqueue.message (session_id, submitter) where session_id is not null;
comment on index pgqueue.message_session is 'pgqueue.stats: the unfinished jobs of this session';

create table pgqueue.role_key (
  role oid primary key,
  key text not null default replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''),
  seal_key text not null default replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''),
  enrolled_at timestamptz not null default clock_timestamp(),
  runner oid,
  group_runner oid,
  result_runner oid,
  runner_xid xid,
  over_quota text
);
comment on table pgqueue.role_key is
  'Enrolled roles, and the secrets for their proofs and for the digests of their settings. Only the owner reads it';
comment on column pgqueue.role_key.runner is 'The function that runs its jobs in the batch lane (pgqueue._make_runner). NULL: there is none';
comment on column pgqueue.role_key.group_runner is 'The function that runs several of its jobs in one transaction (pgqueue._make_group_runner)';
comment on column pgqueue.role_key.result_runner is 'The function that runs one of its jobs and returns its rows (pgqueue._make_result_runner)';
comment on column pgqueue.role_key.runner_xid is 'The transaction that made it: a changed one has another';
comment on column pgqueue.role_key.over_quota is
  'The quota that the role exceeds: then none of its new messages is accepted. NULL: none. Upkeep writes it (pgqueue._note_usage)';

create table pgqueue.role_usage (
  role oid primary key,
  messages bigint not null,
  delayed bigint not null,
  bytes bigint not null,
  counted_at timestamptz not null,
  seconds float8 not null
);
comment on table pgqueue.role_usage is 'The usage of each role as upkeep counted it last. Empty while no quota is set';
