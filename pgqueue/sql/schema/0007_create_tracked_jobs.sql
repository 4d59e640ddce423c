-- The jobs that a session tracks because it launched them with pg_background's names.

create unlogged table pgqueue.tracked_job (
  session_id bigint not null,
  pid int not null,
  id bigint not null,
  cookie bigint not null,
  submitter oid not null,
  kept pgqueue.result_kept not null,
  queue_size int not null,
  is_spared boolean not null default false,
  tracked_at timestamptz not null default clock_timestamp(),
  primary key (session_id, pid)
);
comment on table pgqueue.tracked_job is
  'Jobs launched with pg_background''s calls and neither read nor detached. Unlogged: no session outlives the server. Retention removes those of ended sessions';
comment on column pgqueue.tracked_job.is_spared is
  'Its result was requested in a way that does not fit, perhaps with a handle that is lost: it no longer counts for pg_background.max_workers';
create unique index tracked_job_id on pgqueue.tracked_job (id);
comment on index pgqueue.tracked_job_id is 'Reading or detaching a job ends the tracking';
create index tracked_job_tracked_at on pgqueue.tracked_job (tracked_at);
comment on index pgqueue.tracked_job_tracked_at is 'pgqueue._drop_partitions: rows of ended sessions';

create unlogged table pgqueue.tracked_timeout (
  session_id bigint primary key,
  timeouts bigint not null,
  counted_at timestamptz not null default clock_timestamp()
);
comment on table pgqueue.tracked_timeout is 'How often pg_background_run and pg_background_run_query gave up in a session';
