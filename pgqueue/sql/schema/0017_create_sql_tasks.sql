-- SQL statements as Celery tasks (pgqueue.sql in Python): the task of each job, and whether it has ended.

create table pgqueue.sql_task (
  task_id text primary key,
  job_id bigint,
  result text,
  payload jsonb,
  started_at timestamptz not null default clock_timestamp(),
  ended_at timestamptz,
  told_at timestamptz,
  constraint sql_task_result_is_known check (result in ('rows', 'scalar', 'count', 'none')),
  constraint sql_task_that_runs_has_its_message check (ended_at is not null or num_nonnulls(result, payload) = 2)
);
comment on table pgqueue.sql_task is
  'Celery tasks that are SQL jobs, by their ids: each id makes one job, however often its message is delivered. The rows stay for the retention, so that a copy of a message that comes late is known';
comment on column pgqueue.sql_task.job_id is 'The job. NULL: there is none, because the task was refused';
comment on column pgqueue.sql_task.result is 'What Celery gets of the result: rows, scalar, count or none';
comment on column pgqueue.sql_task.payload is 'The message of the task, which comes back with the outcome when the job has ended. NULL: it did';
comment on column pgqueue.sql_task.told_at is
  'When Celery had the outcome: the result was stored and the next steps were sent, in the same transaction if they are kept in this database';
create unique index sql_task_job_id on pgqueue.sql_task (job_id) where ended_at is null;
comment on index pgqueue.sql_task_job_id is 'pgqueue._end_sql_task: the task of a job that ends';
create index sql_task_ended_at on pgqueue.sql_task (ended_at) where ended_at is not null;
comment on index pgqueue.sql_task_ended_at is 'pgqueue._forget_sql_tasks: what is older than the retention';
