-- Tables of upkeep and wake-ups: parts that failed, jobs whose sessions ended, notifications to be sent at the commit.

create unlogged table pgqueue.notice (
  id bigint generated always as identity primary key,
  channel text not null
);
comment on table pgqueue.notice is
  'Notifications that open transactions will send, if prepared transactions are possible (pgqueue._notify_at_commit)';

create table pgqueue.upkeep_failure (
  part text primary key,
  failing_since timestamptz not null default clock_timestamp(),
  failed_at timestamptz not null default clock_timestamp(),
  message text not null
);
comment on table pgqueue.upkeep_failure is 'Parts of the upkeep whose last attempt failed';

create table pgqueue.lost_session (
  id bigint primary key,
  suspicions int not null default 0,
  acquittals int not null default 0
);
comment on table pgqueue.lost_session is
  'Jobs whose sessions ended while they ran. These are no columns of the message, whose row is locked while the job runs again: a worker may notice late';
comment on column pgqueue.lost_session.suspicions is 'How often the reason is unknown';
comment on column pgqueue.lost_session.acquittals is
  'How often the server ended all sessions, and the job was reclaimed, which counted, before its worker could report that';
alter table pgqueue.lost_session enable row level security;
