-- Results of Celery tasks, groups and chords, and the sessions that wait for results.

create table pgqueue.task_result (
  task_id text not null,
  stored_at timestamptz not null default clock_timestamp(),
  expires_at timestamptz not null,
  state text not null,
  content_type text not null,
  payload bytea not null
) partition by range (stored_at);
comment on table pgqueue.task_result is
  'States of Celery tasks. Rows are only appended: readers decide which of a task''s rows counts (pgqueue._task_results); retention drops a day at a time';
comment on column pgqueue.task_result.payload is 'Celery''s result document, as its serializer wrote it, compressed if Celery compressed it';
create index task_result_task_id on pgqueue.task_result (task_id);
comment on index pgqueue.task_result_task_id is 'pgqueue._task_results: the rows of a task';

create table pgqueue.task_result_default partition of pgqueue.task_result default;
comment on table pgqueue.task_result_default is 'Has the results that end on a day for which no worker made a partition';

create table pgqueue.task_group (
  id text primary key,
  expires_at timestamptz not null,
  payload bytea not null
);
comment on table pgqueue.task_group is 'Groups of Celery tasks that were saved';
create index task_group_expires_at on pgqueue.task_group (expires_at);
comment on index pgqueue.task_group_expires_at is 'pgqueue._drop_partitions: expired groups';

create table pgqueue.chord (
  group_id text primary key,
  size int,
  added int not null default 0,
  returned int not null default 0,
  expires_at timestamptz not null,
  dispatched_at timestamptz
);
comment on table pgqueue.chord is 'Chords: how many parts they have, how many have returned, and whether the callback was sent';
comment on column pgqueue.chord.size is 'Known once the last part was sent; parts may return before';
comment on column pgqueue.chord.added is 'Parts that tasks of the chord added to it';
create index chord_expires_at on pgqueue.chord (expires_at);
comment on index pgqueue.chord_expires_at is 'pgqueue._drop_partitions: expired chords';

create table pgqueue.chord_part (
  group_id text not null references pgqueue.chord on delete cascade,
  place int not null,
  task_id text not null,
  returned_at timestamptz not null default clock_timestamp(),
  payload bytea not null,
  primary key (group_id, place, task_id)
);
comment on table pgqueue.chord_part is 'The return values of the parts of unfinished chords, in the order of the header';

create unlogged table pgqueue.result_waiter (
  task_id text not null,
  pid int not null,
  waits_since timestamptz not null default clock_timestamp(),
  seen_until timestamptz not null default '-infinity',
  primary key (task_id, pid)
);
comment on table pgqueue.result_waiter is
  'The session that waits for a task. Unlogged: after a crash of the server no session waits, and clients register again';
create index result_waiter_pid on pgqueue.result_waiter (pid);
comment on index pgqueue.result_waiter_pid is 'pgqueue._collect_results: the tasks that a session waits for';
