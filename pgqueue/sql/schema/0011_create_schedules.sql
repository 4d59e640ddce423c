-- Schedules: what is to be enqueued when, and what became of it. Workers fire them; no process exists for it.

create table pgqueue.schedule (
  id bigint generated always as identity primary key,
  owner oid not null,
  name text not null,
  expression text not null,
  cron text,
  every interval,
  timezone text not null,
  sql text,
  params text[],
  settings jsonb,
  timeout interval,
  max_attempts smallint,
  backoff interval,
  task text,
  args jsonb,
  kwargs jsonb,
  sending jsonb,
  queue text not null,
  priority smallint not null,
  label text,
  jitter interval,
  starts_at timestamptz,
  ends_at timestamptz,
  overlap text not null,
  catch_up text not null,
  enabled boolean not null default true,
  revision bigint not null default 1,
  anchor_at timestamptz not null,
  consumed_until timestamptz not null,
  next_at timestamptz,
  later_at timestamptz[] not null default '{}',
  passed_over int not null default 0,
  planned_until timestamptz not null default '-infinity',
  plan_at timestamptz,
  last_at timestamptz,
  last_message_id bigint,
  last_task_id text,
  error text,
  source text,
  created_at timestamptz not null default clock_timestamp(),
  changed_at timestamptz not null default clock_timestamp(),
  constraint schedule_name_is_unique_per_owner unique (owner, name),
  constraint schedule_is_cron_or_interval check (num_nonnulls(cron, every) = 1),
  constraint schedule_runs_sql_or_task check (num_nonnulls(sql, task) = 1),
  constraint schedule_only_tasks_are_sent check (sending is null or task is not null),
  constraint schedule_overlap_is_known check (overlap in ('skip', 'queue')),
  constraint schedule_catch_up_is_known check (catch_up in ('none', 'last', 'all'))
);
comment on table pgqueue.schedule is 'The schedules: jobs and tasks, and when each is enqueued. The next instants stand in the row, so that SQL alone fires them; workers work them out ahead';
comment on column pgqueue.schedule.expression is 'As it was given; cron or every is what it means';
comment on column pgqueue.schedule.cron is 'Five fields, or a schedule of Celery''s as text: crontab(...), solar(...), schedule(...)';
comment on column pgqueue.schedule.sending is 'How a task is sent, beyond its arguments, queue and priority: its options, or the message that Celery has made of them';
comment on column pgqueue.schedule.source is 'Which import has made it; NULL: it was made by hand, and no import touches it';
comment on column pgqueue.schedule.revision is 'Grows when the instants change, so that what a worker has worked out for an older expression is not taken';
comment on column pgqueue.schedule.anchor_at is 'From where intervals are counted';
comment on column pgqueue.schedule.consumed_until is 'Instants up to here have been fired, skipped or passed over, and do not come again, whatever the clock says';
comment on column pgqueue.schedule.later_at is 'The instants after next_at, as far as a worker has worked them out';
comment on column pgqueue.schedule.passed_over is 'How many due instants before next_at a worker left out of the plan, since only the last counts';
comment on column pgqueue.schedule.planned_until is 'All instants up to here are known; infinity: there are no others';
comment on column pgqueue.schedule.plan_at is 'When a worker has to work out the next instants; NULL: never';
comment on column pgqueue.schedule.last_message_id is 'The message of the last run that was enqueued; while it is in the queue, that run has not ended';
comment on column pgqueue.schedule.error is 'Why it is not fired: what only the evaluation finds, or that its owner may not submit';
create index schedule_next_at on pgqueue.schedule (next_at) where enabled and next_at is not null;
comment on index pgqueue.schedule_next_at is 'pgqueue._fire_schedules: what is due. Those that are not due cost nothing';
create index schedule_plan_at on pgqueue.schedule (plan_at) where enabled and plan_at is not null;
comment on index pgqueue.schedule_plan_at is 'pgqueue._schedules_to_plan: whose next instants are to be worked out';

create table pgqueue.schedule_run (
  id bigint generated always as identity primary key,
  schedule_id bigint not null,
  owner oid not null,
  name text not null,
  due_at timestamptz not null,
  fired_at timestamptz not null,
  outcome text not null,
  missed int not null default 0,
  is_manual boolean not null default false,
  message_id bigint,
  task_id text,
  error text,
  constraint schedule_run_outcome_is_known check (outcome in ('enqueued', 'skipped', 'missed', 'refused'))
);
comment on table pgqueue.schedule_run is 'The outcome of each due instant. Written in the transaction that enqueues the job and advances the schedule; retention deletes it';
create index schedule_run_schedule on pgqueue.schedule_run (schedule_id, id);
comment on index pgqueue.schedule_run_schedule is 'pgqueue.schedule_runs: the runs of a schedule';
create index schedule_run_fired_at on pgqueue.schedule_run (fired_at);
comment on index pgqueue.schedule_run_fired_at is 'pgqueue._forget_schedule_runs: what is older than the retention';
