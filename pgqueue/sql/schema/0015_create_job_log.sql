-- The messages that jobs raise while they run: partitions by day that retention drops whole, as those of the history.

create table pgqueue.job_log_line (
  id bigint not null,
  written_at timestamptz not null,
  place int not null,
  at timestamptz not null,
  severity text not null,
  sqlstate text,
  message text not null,
  detail text,
  hint text,
  is_last boolean not null default false
) partition by range (written_at);
comment on table pgqueue.job_log_line is
  'The messages that jobs have raised, written by their workers outside the transactions of the jobs: a rollback keeps them. Only a job that says something writes rows';
comment on column pgqueue.job_log_line.id is 'The job';
comment on column pgqueue.job_log_line.written_at is 'When the worker wrote the lines. All lines of one call have the same instant, and place is their order in it';
comment on column pgqueue.job_log_line.is_last is 'The line says that the log was cut: nothing is written after it';
create index job_log_line_id on pgqueue.job_log_line (id, written_at, place);
comment on index pgqueue.job_log_line_id is 'pgqueue.job_log: the lines of a job, in order';

create table pgqueue.job_log_line_default partition of pgqueue.job_log_line default;
comment on table pgqueue.job_log_line_default is 'Has the lines that are written on a day for which no worker made a partition';
