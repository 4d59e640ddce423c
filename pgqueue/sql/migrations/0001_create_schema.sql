-- The schema, the group roles and the types that everything else is written in.
-- Roles belong to the whole cluster: another database may have made them already, or be making them now.

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
-- Not to pgqueue_user: the roles are the whole cluster's, and who is enrolled in another database is nobody here. pgqueue.enroll gives it to
-- the role itself, in this database.
grant usage on schema pgqueue to pgqueue_worker, pgqueue_monitor, pgqueue_admin, pgqueue_gate;

create table pgqueue.migration (
  version int primary key,
  name text not null,
  applied_at timestamptz not null default now()
);
comment on table pgqueue.migration is 'The migrations that this database has, written by the installer';
create policy everybody_may_read on pgqueue.migration for select using (true);
grant select on pgqueue.migration to pgqueue_user, pgqueue_worker, pgqueue_monitor, pgqueue_admin;

create type pgqueue.handle as (id bigint, cookie bigint);
comment on type pgqueue.handle is 'What launch, submit and enqueue return: the number of the job and its secret';

create type pgqueue.job_state as enum ('queued', 'running', 'succeeded', 'failed', 'canceled', 'expired');
comment on type pgqueue.job_state is 'Where a job stands, as pgqueue.jobs shows it';

create type pgqueue.message_state as enum ('ready', 'delayed', 'claimed');
comment on type pgqueue.message_state is 'Where a message of the queue stands; one that is done has no row';

create type pgqueue.message_kind as enum ('job', 'task');
comment on type pgqueue.message_kind is 'A job is an SQL string that pgqueue runs, a task is a Celery message that Celery runs';

create type pgqueue.result_kept as enum ('none', 'once', 'many');
comment on type pgqueue.result_kept is 'How often the result of a job may be read: never (submit), once (launch), until retention (enqueue with keep_result)';

create function pgqueue._random_bigint()
  returns bigint
  language sql volatile
begin atomic
  -- A version 4 UUID has 122 random bits.
  select uuid_hash_extended(gen_random_uuid(), 0);
end;
comment on function pgqueue._random_bigint() is '64 unpredictable bits, for cookies and fencing tokens';
