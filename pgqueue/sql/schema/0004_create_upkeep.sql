-- What the upkeep and the wake-ups need: parts that failed, jobs whose sessions ended, notifications to be sent at the commit.

create unlogged table pgqueue.notice (
  id bigint generated always as identity primary key,
  channel text not null
);
comment on table pgqueue.notice is 'Notifications that a transaction of now will send, where there can be prepared transactions (pgqueue._notify_at_commit)';

create table pgqueue.upkeep_failure (
  part text primary key,
  failing_since timestamptz not null default clock_timestamp(),
  failed_at timestamptz not null default clock_timestamp(),
  message text not null
);
comment on table pgqueue.upkeep_failure is 'Parts of the upkeep that failed when they were tried last';

create table pgqueue.lost_session (
  id bigint primary key,
  suspicions int not null default 0,
  acquittals int not null default 0
);
comment on table pgqueue.lost_session is
  'Jobs whose sessions ended while they ran. Not columns of the message, whose row is locked while it runs again: a worker may find out late';
comment on column pgqueue.lost_session.suspicions is 'How often nobody knows why';
comment on column pgqueue.lost_session.acquittals is 'How often the server ended all sessions, and the job was rescued, which counted, before its worker could say so';
alter table pgqueue.lost_session enable row level security;
