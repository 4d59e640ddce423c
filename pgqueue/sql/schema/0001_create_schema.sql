-- The schemas, the group roles and the basic types.

-- Roles belong to the whole cluster: another database may have created them already, or be creating them now.
do $$
declare
  name text;
begin
  foreach name in array array['pgqueue_user', 'pgqueue_worker', 'pgqueue_monitor', 'pgqueue_admin', 'pgqueue_gate'] loop
    begin
      if to_regrole(name) is null then
        execute format('create role %I nologin', name);
      end if;
    exception when duplicate_object or unique_violation then
      null;
    end;
  end loop;
end
$$;

create schema pgqueue;
comment on schema pgqueue is 'Any SQL statement and any Celery task, queued in PostgreSQL and run by Celery workers';
revoke all on schema pgqueue from public;

-- It is not granted to pgqueue_user: roles belong to the whole cluster, and a role that is enrolled in another database has no
-- rights here. pgqueue.enroll grants it to the role itself, in this database.
grant usage on schema pgqueue to pgqueue_worker, pgqueue_monitor, pgqueue_admin, pgqueue_gate;

create table pgqueue.migration (
  version int primary key,
  name text not null,
  applied_by text,
  applied_at timestamptz not null default now()
);
comment on table pgqueue.migration is 'The migrations that this database has, written by the installer';
comment on column pgqueue.migration.applied_by is 'The version of the Python package that applied it';
create policy everybody_may_read on pgqueue.migration for select using (true);
grant select on pgqueue.migration to pgqueue_user, pgqueue_worker, pgqueue_monitor, pgqueue_admin;

create type pgqueue.handle as (id bigint, cookie bigint);
comment on type pgqueue.handle is 'The number and the secret of a job, which launch, submit and enqueue return';

create type pgqueue.job_state as enum ('waiting', 'queued', 'running', 'succeeded', 'failed', 'canceled', 'expired');
comment on type pgqueue.job_state is 'The state of a job, as pgqueue.jobs shows it';

create type pgqueue.message_state as enum ('ready', 'delayed', 'claimed', 'waiting');
comment on type pgqueue.message_state is 'The state of a message in the queue; a finished one has no row. waiting: for the end of other jobs';

create type pgqueue.message_kind as enum ('job', 'task');
comment on type pgqueue.message_kind is 'A job is an SQL string that pgqueue runs, a task is a Celery message that Celery runs';

create type pgqueue.lane as enum ('batch', 'top_level', 'held');
comment on type pgqueue.lane is
  'How a job runs: in the session for all roles, or in one that is logged in as its submitter. held: no job but a task under limits or with a unique key, whose claim counts until the task has ended';

create type pgqueue.ending as enum ('succeeded', 'failed', 'retried', 'canceled', 'expired', 'gone', 'deferred', 'released', 'handed_over', 'snoozed');
comment on type pgqueue.ending is
  'How a run of a job ended. gone: the claim is lost; deferred, released: it is in the queue again, later or at once; handed_over: it is in the queue again for the top-level lane; snoozed: it has committed, and is in the queue again, later';

create type pgqueue.result_kept as enum ('none', 'once', 'many', 'task');
comment on type pgqueue.result_kept is 'How often the result of a job may be read: never (submit), once (launch), until retention (enqueue with keep_result). task: it goes to a Celery task instead';

-- Workers publish too: events and replies.
grant pgqueue_user to pgqueue_worker;

create schema pgqueue_run;
revoke all on schema pgqueue_run from public;

create schema pgqueue_take;
revoke all on schema pgqueue_take from public;
grant usage on schema pgqueue_take to pgqueue_user;

create table pgqueue.function_file (
  name text primary key,
  hash text not null,
  applied_by text not null,
  applied_at timestamptz not null default now()
);
comment on table pgqueue.function_file is 'The files of functions and views that this database has, written by the installer';
comment on column pgqueue.function_file.hash is 'SHA-256 of the file: one whose hash differs is applied again';
comment on column pgqueue.function_file.applied_by is 'The version of the Python package that applied it';
create policy everybody_may_read on pgqueue.function_file for select using (true);
grant select on pgqueue.function_file to pgqueue_user, pgqueue_worker, pgqueue_monitor, pgqueue_admin;
