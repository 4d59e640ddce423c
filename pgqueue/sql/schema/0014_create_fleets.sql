-- Fleets of workers: how many executors workers are asked to have, and the worker processes that hosts keep running.

create table pgqueue.scale_request (
  worker text primary key,
  executors int not null,
  requested_at timestamptz not null default clock_timestamp(),
  missing_since timestamptz,
  constraint scale_request_executors_are_1_to_1000 check (executors between 1 and 1000)
);
comment on table pgqueue.scale_request is
  'How many executors workers were asked to have (pgqueue.scale). A worker reads its row at each tick; only administrators and upkeep write here, so a worker waits for no lock';
comment on column pgqueue.scale_request.worker is 'The name of the worker, under which it comes back after a restart';
comment on column pgqueue.scale_request.missing_since is 'When upkeep has first found no worker of this name';

create table pgqueue.fleet (
  name text primary key,
  processes int not null,
  queues text[],
  executors int,
  concurrency int,
  restart_after interval,
  version bigint not null,
  changed_at timestamptz not null default clock_timestamp(),
  constraint fleet_name_is_a_word check (name ~ '^[a-z0-9][a-z0-9_-]{0,30}$'),
  constraint fleet_processes_are_0_to_1000 check (processes between 0 and 1000),
  constraint fleet_executors_are_1_to_1000 check (executors between 1 and 1000),
  constraint fleet_concurrency_is_0_to_1000 check (concurrency between 0 and 1000),
  constraint fleet_restart_after_is_in_range check (restart_after between interval '0' and interval '1 day')
);
comment on table pgqueue.fleet is
  'The worker processes that each host with `pgqueue fleet` keeps running. There is no command and no path in it: a host starts nothing but workers of its own installation';
comment on column pgqueue.fleet.restart_after is 'After how long a process that has died is started again; NULL: never';
comment on column pgqueue.fleet.version is 'A new number for each change: a host then starts processes again that it had given up';

create sequence pgqueue.fleet_version;
comment on sequence pgqueue.fleet_version is 'Numbers of changes: a fleet that is removed and made again has another number';

create table pgqueue.fleet_host (
  host text primary key,
  instance uuid not null,
  pid int not null,
  started_at timestamptz not null default clock_timestamp(),
  last_seen_at timestamptz not null default clock_timestamp(),
  processes jsonb not null default '[]',
  constraint fleet_host_is_1_to_255_bytes check (octet_length(host) between 1 and 255)
);
comment on table pgqueue.fleet_host is 'The hosts with `pgqueue fleet`, and the processes that they have, as they report';
comment on column pgqueue.fleet_host.instance is 'The process of `pgqueue fleet` that has the host: of two with the same name one waits';
