-- Jobs that wait for other jobs, and batches of jobs. One table has both: a job is a parent of the jobs that wait for it and of the
-- batches that it is in. Jobs that nobody waits for write nothing here.

create table pgqueue.dependency (
  parent bigint not null,
  child bigint not null,
  on_parent_failure text,
  primary key (parent, child),
  constraint dependency_is_between_two check (parent <> child),
  constraint dependency_on_parent_failure_is_known check (on_parent_failure in ('cancel', 'run'))
) with (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);
comment on table pgqueue.dependency is
  'Which job (child) waits for the end of which job (parent), and which batch (child) has which unfinished job (parent). The transaction that ends the parent deletes the row';
comment on column pgqueue.dependency.child is 'A job with the state waiting, or a batch: both have their numbers from one sequence';
comment on column pgqueue.dependency.on_parent_failure is 'If the parent does not succeed, cancel cancels the child, and run lets it run. NULL: the child is a batch';
create index dependency_child on pgqueue.dependency (child, parent);
comment on index pgqueue.dependency_child is 'pgqueue._settle_child: whether a job still waits, and whether a batch has unfinished jobs';

create table pgqueue.dependency_check (
  id bigint generated always as identity primary key,
  parent bigint not null
) with (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);
comment on table pgqueue.dependency_check is
  'Jobs whose ends may have missed a dependency, since neither transaction saw the other, and batches that could not be ended because a job was just being added. Upkeep looks at each until that is excluded';

create table pgqueue.batch (
  id bigint primary key default nextval('pgqueue.message_id_seq'),
  owner oid not null,
  label text,
  on_success text,
  on_failure text,
  on_end text,
  settings jsonb not null,
  created_at timestamptz not null default clock_timestamp(),
  ended_at timestamptz,
  succeeded bigint,
  failed bigint,
  constraint batch_counts_what_has_ended check ((ended_at is null) = (num_nulls(succeeded, failed) = 2))
);
comment on table pgqueue.batch is 'Batches of jobs. A row changes once, when the last job of the batch has ended: there is no counter';
comment on column pgqueue.batch.settings is 'The settings of the session that made it, with which its callbacks run';
create index batch_ended_at on pgqueue.batch (coalesce(ended_at, created_at));
comment on index pgqueue.batch_ended_at is 'pgqueue._forget_batches: what is older than the retention';

create table pgqueue.batch_outcome (
  batch_id bigint not null,
  job_id bigint not null,
  has_succeeded boolean not null,
  primary key (batch_id, job_id)
);
comment on table pgqueue.batch_outcome is 'The ended jobs of batches that have not ended. Appended to; the end of a batch counts its rows and deletes them';
