-- Jobs that ended and jobs that run: partitions by day that retention drops whole, and small tables of the present.

create table pgqueue.history (
  id bigint not null,
  cookie bigint not null,
  session_id bigint,
  xact xid8 not null default pg_current_xact_id(),
  launched_at timestamptz not null,
  eta timestamptz,
  started_at timestamptz,
  ended_at timestamptz not null default clock_timestamp(),
  submitter oid not null,
  state pgqueue.job_state not null,
  kept pgqueue.result_kept not null,
  backend_pid int,
  progress_pct int,
  row_count bigint,
  priority smallint not null,
  attempts smallint not null,
  max_attempts smallint,
  queue text not null,
  sql text not null,
  label text,
  worker text,
  progress_msg text,
  command_tags text[],
  error jsonb,
  retried_from bigint
) partition by range (ended_at);
comment on table pgqueue.history is 'Jobs that ended. Appended to, never updated; retention drops a day at a time';
comment on column pgqueue.history.xact is
  'The transaction that ended the job, so that statistics count it exactly once (pgqueue._fold_stats)';
create index history_id on pgqueue.history (id);
comment on index pgqueue.history_id is 'A handle finds its job';
create index history_xact on pgqueue.history (xact);
comment on index pgqueue.history_xact is 'pgqueue.unfolded: jobs that statistics have not counted yet';

create table pgqueue.result (
  id bigint not null,
  seq int not null,
  ended_at timestamptz not null default clock_timestamp(),
  columns jsonb,
  output_settings jsonb,
  rows jsonb
) partition by range (ended_at);
comment on table pgqueue.result is
  'Rows of kept results in chunks; chunk 0 exists for every kept job that ended and describes the columns, chunk -1 holds notices. Reading a launched job''s result deletes it';
create index result_id on pgqueue.result (id, seq);
comment on index pgqueue.result_id is 'A handle finds its result, in order';

create table pgqueue.history_default partition of pgqueue.history default;

create table pgqueue.result_default partition of pgqueue.result default;
comment on table pgqueue.history_default is 'Has the jobs that end on a day for which no worker made a partition';
comment on table pgqueue.result_default is 'Has the results that end on a day for which no worker made a partition';

create table pgqueue.activity (
  id bigint primary key,
  token bigint not null,
  worker_id int not null,
  backend_pid int not null,
  started_at timestamptz not null default clock_timestamp(),
  progress_pct int,
  progress_msg text
);
comment on table pgqueue.activity is
  'Jobs that run now. Logged, so that a standby shows them; written only for jobs that take a while, without waiting for the disk';
comment on column pgqueue.activity.token is
  'The token of the claim that runs: a run may be noted while it ends, and a row of another claim than the message''s is ignored';

create table pgqueue.request (
  id bigint not null,
  kind text not null,
  requested_at timestamptz not null default clock_timestamp(),
  terminate_at timestamptz,
  primary key (id, kind),
  constraint request_kind_is_known check (kind in ('cancel', 'detach'))
);
comment on table pgqueue.request is
  'Requests about jobs that a worker has: the row of a running job is locked, so requests have a table of their own';
comment on column pgqueue.request.terminate_at is 'For a cancel with grace: when the session of the job is ended if it still runs';
create index request_cancel on pgqueue.request (id) where kind = 'cancel';
comment on index pgqueue.request_cancel is 'pgqueue._cancel_requests: its cost does not depend on the number of detached jobs';

create table pgqueue.stat_total (
  submitter oid not null,
  queue text not null,
  completed bigint not null default 0,
  failed bigint not null default 0,
  canceled bigint not null default 0,
  expired bigint not null default 0,
  timed_jobs bigint not null default 0,
  total_ms float8 not null default 0,
  total_wait_ms float8 not null default 0,
  wait_counts bigint[] not null default '{0,0,0,0,0,0,0,0,0,0,0,0,0}',
  run_counts bigint[] not null default '{0,0,0,0,0,0,0,0,0,0,0,0,0}',
  primary key (submitter, queue)
);
comment on table pgqueue.stat_total is 'Ended jobs by submitter and queue since the installation, as of pgqueue.stat_fold';
comment on column pgqueue.stat_total.wait_counts is
  'How many jobs waited how long before their last run, by the intervals of pgqueue._duration_bounds. They are in this row so that a fold makes one row version for each queue';
comment on column pgqueue.stat_total.run_counts is 'How many jobs ran how long, by the same intervals';

create table pgqueue.stat_session (
  session_id bigint not null,
  submitter oid not null,
  completed bigint not null default 0,
  failed bigint not null default 0,
  canceled bigint not null default 0,
  expired bigint not null default 0,
  timed_jobs bigint not null default 0,
  total_ms float8 not null default 0,
  folded_at timestamptz not null default clock_timestamp(),
  primary key (session_id, submitter)
);
comment on table pgqueue.stat_session is 'Ended jobs by the session that submitted them and by submitter, as of pgqueue.stat_fold';

create table pgqueue.stat_fold (
  only_row boolean primary key default true,
  snapshot pg_snapshot not null,
  constraint stat_fold_has_one_row check (only_row)
);
comment on table pgqueue.stat_fold is 'The snapshot up to which stat_total and stat_session have counted the history';

insert into pgqueue.stat_fold (snapshot) values (pg_current_snapshot());
