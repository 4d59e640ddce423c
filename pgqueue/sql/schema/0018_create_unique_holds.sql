-- Unique keys: which message has a key, and how long the key stays taken. Jobs that put themselves off.

alter type pgqueue.job_options add attribute unique_for interval, add attribute on_conflict text;

create table pgqueue.unique_hold (
  submitter oid not null,
  kind pgqueue.message_kind not null,
  unique_key text not null,
  message_id bigint,
  cookie bigint,
  task_id text,
  free_at timestamptz,
  primary key (submitter, kind, unique_key)
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);
comment on table pgqueue.unique_hold is
  'For each unique key of a role the job, and the Celery task, that was submitted last with it. The key is taken while that message is in the queue, and until free_at. Only calls with a key write it; upkeep deletes what is free';
comment on column pgqueue.unique_hold.message_id is 'The message. NULL: the transaction that made the row is about to name it';
comment on column pgqueue.unique_hold.cookie is 'The cookie of the job, for the handle when the job has ended';
comment on column pgqueue.unique_hold.task_id is 'Of a Celery task: its id. A retry that the task sends itself has the same, and takes the key over';
comment on column pgqueue.unique_hold.free_at is 'The key is taken until then, whether or not the message has ended (unique_for). NULL: no longer than the message is there';

alter table pgqueue.message add column snoozes smallint;
comment on column pgqueue.message.snoozes is 'How often a run of the job has put it off (pgqueue.snooze). NULL: never';
alter table pgqueue.history add column snoozes smallint;
comment on column pgqueue.history.snoozes is 'As in the queue';
