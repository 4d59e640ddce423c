-- Limits of queues: the rules, and what is claimed under them.

create table pgqueue.limit_rule (
  queue text not null,
  role oid not null default 0,
  max_running int,
  per_key int,
  rate int,
  period interval,
  burst int,
  primary key (queue, role),
  constraint limit_rule_queue_is_1_to_255_bytes check (octet_length(queue) between 1 and 255),
  constraint limit_rule_limits_something check (num_nonnulls(max_running, per_key, rate) > 0),
  -- Every claim looks up each message that counts.
  constraint limit_rule_max_running_in_range check (max_running between 0 and 10000),
  constraint limit_rule_per_key_in_range check (per_key between 1 and 10000),
  constraint limit_rule_rate_is_whole check (num_nonnulls(rate, period, burst) in (0, 3)),
  constraint limit_rule_rate_in_range check (rate between 1 and 1000000 and burst between 1 and 1000000 and period between interval '1 s' and interval '366 days')
);
comment on table pgqueue.limit_rule is 'The limits that pgqueue.set_limit has set';
comment on column pgqueue.limit_rule.role is 'To whose messages they apply. 0: to all, since an administrator has set them; then they count before all others';

create table pgqueue.limit_holder (
  id bigint generated always as identity primary key,
  queue text not null,
  submitter oid not null,
  is_total boolean not null,
  limit_key text collate "C" not null,
  constraint limit_holder_is_one unique (queue, submitter, is_total, limit_key)
);
comment on table pgqueue.limit_holder is
  'Each row is one count of a limit: of a key of a role in a queue, or of all that a rule applies to. The row is never updated: what it counts is in pgqueue.limit_state';
comment on column pgqueue.limit_holder.is_total is 'Whether it stands for all messages under the rule of this role (max_running), not for those of a key';
comment on column pgqueue.limit_holder.limit_key is 'Empty: the messages without a key';

create table pgqueue.limit_state (
  holder_id bigint not null,
  seq bigint generated always as identity,
  ids bigint[] not null,
  next_at timestamptz,
  written_at timestamptz not null default clock_timestamp(),
  primary key (holder_id, seq)
) with (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);
comment on table pgqueue.limit_state is
  'Which messages were claimed under a limit. The row with the highest seq counts. A claim locks it while it decides, writes a new one and deletes the one before: it reads the index from its end, so it never reads past rows that an old snapshot keeps';
comment on column pgqueue.limit_state.ids is 'The claimed messages, including some that have ended since: those count that are in the queue and claimed';
comment on column pgqueue.limit_state.next_at is 'For a rate: when the next start would be due if all starts were evenly spaced';

create type pgqueue.limit_turn as (place int, limit_key text, holder_id bigint, seq bigint, ids bigint[], next_at timestamptz, room int, seconds float8);
comment on type pgqueue.limit_turn is
  'A key that has its turn in a claim. holder_id: NULL if the claim has not locked its count; ids: its messages that are claimed; room: how many more may be; seconds: until there may be more room';
