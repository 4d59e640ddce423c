-- Celery tasks that are in a batch, and tasks that wait for jobs. Their rows in pgqueue.dependency are those of jobs.

alter table pgqueue.message add column is_member boolean;
comment on column pgqueue.message.is_member is
  'Of a task: it is in a batch. So its row stays until the task has ended, however Celery acks it, and the end of the row is that of the task';
comment on table pgqueue.dependency is
  'Which message (child) waits for the end of which job (parent), and which batch (child) has which unfinished job or task (parent). The transaction that ends the parent deletes the row';
comment on column pgqueue.dependency.child is 'A job or a task with the state waiting, or a batch: all have their numbers from one sequence';
comment on type pgqueue.lane is
  'How a job runs: in the session for all roles, or in one that is logged in as its submitter. held: no job but a task under limits, with a unique key or in a batch, whose claim counts until the task has ended';
