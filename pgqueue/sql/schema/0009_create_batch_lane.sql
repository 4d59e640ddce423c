-- The logins that pgqueue creates for workers, and the table that sessions of the batch lane lock between two calls.

comment on schema pgqueue_run is
  'The functions that only the executors'' login may call. For each enrolled role: job_*, which the role owns and which runs one of its jobs; jobs_*, which calls it for one job after another; group_* and groups_*, which do the same for several jobs in one transaction; result_*, which the role owns, too, and which runs one of its jobs and returns its rows';
comment on schema pgqueue_take is 'For each enrolled role: take_* and takes_*, with which the role''s runners read the jobs that they are to run';

create type pgqueue_take.job as (place int, id bigint, token bigint, sql text, params text[], settings jsonb);
comment on type pgqueue_take.job is 'What the runner of a group reads of a job; sql NULL: it is not to run in a group';

create table pgqueue.login (
  purpose text primary key,
  role text not null,
  password text not null,
  constraint login_purpose_is_known check (purpose in ('executor', 'worker'))
);
comment on table pgqueue.login is
  'The logins of executors (pgqueue._executor_login) and of the worker of pgqueue up (pgqueue._make_worker_login). Only the owner reads it';

create table pgqueue.run_gate ();
comment on table pgqueue.run_gate is
  'Has no rows: sessions that run jobs lock it for a moment at the begin and the end of each call (pgqueue_run.pass_gate), and a canceling session locks it against that (pgqueue._stop_run)';
