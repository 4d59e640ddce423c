alter table pgqueue.worker add column if not exists kinds pgqueue.message_kind[] not null default '{job,task}';
comment on column pgqueue.worker.kinds is
  'The kinds of messages that it claims from its queues: one with --no-tasks leaves the Celery tasks in them. It claims jobs only if it has executors too, or sends wake-ups for them';

-- pgqueue._lead_or_follow reads the locks of its session once, and row triggers insert into pgqueue.row_order.
drop function if exists pgqueue._fall_asleep(text[]);
drop function if exists pgqueue._own_advisory_locks();
drop function if exists pgqueue._enqueue_row(text[], oid, jsonb);
drop function if exists pgqueue._see_columns(oid, text[]);
