-- Jobs that failed, with what is needed to run them again, and the errors of their attempts. Small tables beside the history: jobs
-- that succeed write to neither, and a search among failures does not read the jobs that succeeded.

create table pgqueue.failed_job (
  id bigint primary key,
  ended_at timestamptz not null,
  submitter oid not null,
  queue text not null,
  label text,
  sqlstate text not null,
  error text,
  kept pgqueue.result_kept not null,
  top_level boolean not null,
  priority smallint not null,
  max_attempts smallint,
  sql text,
  params text[],
  settings jsonb,
  timeout interval,
  backoff interval,
  unique_key text,
  retried_as bigint,
  constraint failed_job_can_run_again check ((retried_as is null) = (num_nonnulls(sql, settings) = 2)),
  constraint failed_job_gives_its_content_away check (retried_as is null or num_nonnulls(sql, params, settings, error) = 0)
);
comment on table pgqueue.failed_job is
  'Jobs that failed for good: what pgqueue.retry needs to run them again. It has parameters of statements, so it may have personal data; retention deletes it, and pgqueue.discard_jobs does so earlier';
comment on column pgqueue.failed_job.ended_at is 'As in the history';
comment on column pgqueue.failed_job.error is 'The message of the error, for searches';
comment on column pgqueue.failed_job.retried_as is 'The job that runs it again, which has the content now. The row says that a failure is retried once';
-- All indexes are written when a job fails, and none when it succeeds. Those for filters have only what can be retried.
create index failed_job_ended_at on pgqueue.failed_job (ended_at) where retried_as is null;
comment on index pgqueue.failed_job_ended_at is 'pgqueue._forget_failures: what is older than the retention. pgqueue.retry_jobs: the order, and since and until';
create index failed_job_retried on pgqueue.failed_job (ended_at) where retried_as is not null;
comment on index pgqueue.failed_job_retried is 'pgqueue._forget_failures. It is apart, so that a batch of pgqueue.retry_jobs does not read past what earlier batches have retried';
create index failed_job_queue on pgqueue.failed_job (queue, ended_at) where retried_as is null;
comment on index pgqueue.failed_job_queue is 'pgqueue.retry_jobs: those of a queue';
create index failed_job_sqlstate on pgqueue.failed_job (sqlstate, ended_at) where retried_as is null;
comment on index pgqueue.failed_job_sqlstate is 'pgqueue.retry_jobs: those with an SQLSTATE';
-- Of a long label the beginning: an entry of an index has a maximum size, and the end of a job never fails.
create index failed_job_label on pgqueue.failed_job (left(label, 100), ended_at) where retried_as is null and label is not null;
comment on index pgqueue.failed_job_label is 'pgqueue.retry_jobs: those with a label';

create table pgqueue.attempt (
  id bigint not null,
  attempt int not null,
  submitter oid not null,
  started_at timestamptz,
  ended_at timestamptz not null default clock_timestamp(),
  worker text,
  error jsonb not null
);
comment on table pgqueue.attempt is 'Attempts of jobs that failed, the last 100 of each job. Only an attempt that fails writes a row; retention deletes it';
comment on column pgqueue.attempt.id is 'The job';
comment on column pgqueue.attempt.error is 'The fields of the error, each cut to 1,000 characters';
create index attempt_id on pgqueue.attempt (id, attempt);
comment on index pgqueue.attempt_id is 'pgqueue.attempts: those of a job';
create index attempt_ended_at on pgqueue.attempt (ended_at);
comment on index pgqueue.attempt_ended_at is 'pgqueue._forget_failures: what is older than the retention';
