-- after: settings
-- Fleets: worker processes that hosts with `pgqueue fleet` keep running. Administrators write the wishes, hosts read them and report.

create or replace function pgqueue._check_fleet(name text, processes int, queues text[], executors int, concurrency int, restart_after interval)
  returns void
  language plpgsql immutable
  set search_path = pg_catalog, pg_temp
as $$
declare
  faulty text;
begin
  select q into faulty from unnest(queues) q where q is null or octet_length(q) not between 1 and 255 or q ~ '[,[:cntrl:]]' or q ~ E'^\\s|\\s$' limit 1;
  if name is null or name !~ '^[a-z0-9][a-z0-9_-]{0,30}$' then
    raise exception 'fleet name "%" is not usable', coalesce(name, 'NULL')
      using errcode = '22023', hint = 'It has 1 to 31 lower-case letters, digits, - and _, and becomes part of the names of the workers.';
  elsif processes is null or processes not between 0 and 1000 then
    raise exception 'processes % is out of range', coalesce(processes::text, 'NULL')
      using errcode = '22023', hint = 'It is 0 to 1000 on each host. To end the fleet, call pgqueue.remove_fleet.';
  elsif array_ndims(queues) > 1 then
    raise exception 'the queues of a fleet are a list of lists' using errcode = '22023', hint = 'Give a plain list: array[''mail'', ''reports''].';
  elsif cardinality(queues) not between 1 and 100 then
    raise exception 'a fleet takes from 1 to 100 queues, not from %', cardinality(queues)
      using errcode = '22023', hint = 'Leave queues out for the usual ones.';
  elsif found then
    raise exception 'queue name "%" is not usable in a fleet', coalesce(faulty, 'NULL')
      using errcode = '22023', hint = 'It has 1 to 255 bytes, no comma, no control character, and no space at its ends.';
  elsif executors not between 1 and 1000 then
    raise exception 'executors % is out of range', executors
      using errcode = '22023', hint = 'It is 1 to 1000 in each process; leave it out for as many as the host has processors.';
  elsif concurrency is null or concurrency not between 0 and 1000 then
    raise exception 'concurrency % is out of range', coalesce(concurrency::text, 'NULL')
      using errcode = '22023', hint = 'It is 0 to 1000 processes for Celery tasks in each worker; 0 for workers that run SQL jobs only.';
  elsif not isfinite(restart_after) or restart_after not between interval '0' and interval '1 day' then
    raise exception 'restart_after "%" is out of range', restart_after
      using errcode = '22023', hint = 'It is 0 to 1 day; NULL never restarts a process that has died.';
  end if;
end
$$;
comment on function pgqueue._check_fleet(text, int, text[], int, int, interval) is
  'Raises 22023 unless this is a fleet. A host checks the values once more, because it starts processes with them';

create or replace function pgqueue.set_fleet(name text, processes int, queues text[] default null, executors int default null, concurrency int default 0,
                                  restart_after interval default interval '1 s')
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform pgqueue._check_fleet(name, processes, queues, executors, concurrency, restart_after);
  insert into pgqueue.fleet as f (name, processes, queues, executors, concurrency, restart_after, version)
  values (set_fleet.name, set_fleet.processes, set_fleet.queues, set_fleet.executors, set_fleet.concurrency, set_fleet.restart_after,
          nextval('pgqueue.fleet_version'))
  on conflict on constraint fleet_pkey do update
  set processes = excluded.processes, queues = excluded.queues, executors = excluded.executors, concurrency = excluded.concurrency,
      restart_after = excluded.restart_after, version = excluded.version, changed_at = clock_timestamp();
end
$$;
comment on function pgqueue.set_fleet(text, int, text[], int, int, interval) is
  'Asks each host with `pgqueue fleet` to keep so many worker processes running, in place of what was asked under this name. queues: from which they take (those of pgqueue worker); executors: how many SQL jobs each runs at the same time (as many as the host has processors); concurrency: how many processes for Celery tasks each has, 0 for none; restart_after: after how long a process that has died is started again, doubled for each death that follows, NULL: never. Processes with other options are stopped after their jobs and started anew';
grant execute on function pgqueue.set_fleet(text, int, text[], int, int, interval) to pgqueue_admin;

create or replace function pgqueue.remove_fleet(name text)
  returns boolean
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  delete from pgqueue.fleet f where f.name = remove_fleet.name;
  return found;
end
$$;
comment on function pgqueue.remove_fleet(text) is 'Ends a fleet: hosts stop its processes after their jobs. Returns false if there is no fleet of this name';
grant execute on function pgqueue.remove_fleet(text) to pgqueue_admin;

create or replace function pgqueue._fleet_lease()
  returns interval
  language plpgsql stable security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  return greatest(pgqueue._worker_interval('naptime', '3 s', '0.1 s', '1 hour') * 3, interval '10 s');
end
$$;
comment on function pgqueue._fleet_lease() is 'How long a host counts as there after its last report: three naptimes, 10 s at least';
grant execute on function pgqueue._fleet_lease() to pgqueue_worker, pgqueue_monitor, pgqueue_admin;

create or replace function pgqueue._reported_processes(processes jsonb)
  returns table (fleet text, number int, worker text, pid int, state text, started_at timestamptz, restarts int, last_exit text, next_start_at timestamptz)
  language sql stable
  -- A report that its host could send is one that every reader can read.
  set datestyle = 'ISO, MDY'
  set timezone = 'UTC'
  set timezone_abbreviations = 'Default'
begin atomic
  select p.fleet, p.number, p.worker, p.pid, p.state, p.started_at, p.restarts, p.last_exit, p.next_start_at
  from jsonb_to_recordset(processes) p (fleet text, number int, worker text, pid int, state text, started_at timestamptz, restarts int, last_exit text,
                                        next_start_at timestamptz);
end;
comment on function pgqueue._reported_processes(jsonb) is 'The report of a host as rows';
grant execute on function pgqueue._reported_processes(jsonb) to pgqueue_worker, pgqueue_monitor, pgqueue_admin;

create or replace function pgqueue._report_fleet(host text, instance uuid, pid int, processes jsonb)
  returns table (naptime float8, is_held boolean, name text, wanted int, queues text[], executors int, concurrency int, restart_after float8, version bigint)
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
  -- Another session may hold the row of the host: its next report comes soon.
  set lock_timeout = '2s'
as $$
declare
  is_mine boolean;
begin
  if octet_length(processes::text) > 2000000 then
    raise exception 'the report of host "%" is too long', host using errcode = '54000', hint = 'Split its fleets over several hosts.';
  end if;
  -- A report that is no list of processes fails here, and not in the view.
  perform count(p.started_at) from pgqueue._reported_processes(processes) p;
  insert into pgqueue.fleet_host as h (host, instance, pid, processes)
  values (_report_fleet.host, _report_fleet.instance, _report_fleet.pid, _report_fleet.processes)
  on conflict on constraint fleet_host_pkey do update
  set instance = excluded.instance, pid = excluded.pid, processes = excluded.processes, last_seen_at = clock_timestamp(),
      started_at = case when h.instance = excluded.instance then h.started_at else clock_timestamp() end
  where h.instance = excluded.instance or h.last_seen_at < clock_timestamp() - pgqueue._fleet_lease();
  is_mine := found;
  return query
    select extract(epoch from pgqueue._worker_interval('naptime', '3 s', '0.1 s', '1 hour'))::float8, is_mine, f.name, f.processes, f.queues, f.executors,
           f.concurrency, extract(epoch from f.restart_after)::float8, f.version
    from (select) one left join pgqueue.fleet f on is_mine order by f.name;
end
$$;
comment on function pgqueue._report_fleet(text, uuid, int, jsonb) is
  'The heartbeat of a host: stores what it runs, and returns what it is to run. is_held: false while another process has reported under this name within the lease; that one runs the fleets. Without fleets, one row whose name is NULL';
grant execute on function pgqueue._report_fleet(text, uuid, int, jsonb) to pgqueue_worker;

create or replace function pgqueue._leave_fleet(host text, instance uuid)
  returns void
  language sql volatile security definer
  set search_path = pg_catalog, pg_temp
  set lock_timeout = '2s'
begin atomic
  delete from pgqueue.fleet_host h where h.host = _leave_fleet.host and h.instance = _leave_fleet.instance;
end;
comment on function pgqueue._leave_fleet(text, uuid) is 'Takes a host off the list when its processes have ended, so that its next process need not wait for the lease';
grant execute on function pgqueue._leave_fleet(text, uuid) to pgqueue_worker;

create or replace function pgqueue._forget_fleet_hosts()
  returns void
  language sql volatile security definer
  set search_path = pg_catalog, pg_temp
begin atomic
  delete from pgqueue.fleet_host h
  where h.host = any (array(
    select s.host from pgqueue.fleet_host s where s.last_seen_at < clock_timestamp() - interval '7 days' for update skip locked));
end;
comment on function pgqueue._forget_fleet_hosts() is 'Deletes hosts that have not reported for 7 days';

create or replace view pgqueue.fleet_processes with (security_barrier) as
  select h.host, case when h.last_seen_at < clock_timestamp() - pgqueue._fleet_lease() then 'lost' else 'online' end as host_status, h.last_seen_at, h.pid as host_pid,
         p.fleet, p.number, p.worker, p.pid, p.state, p.started_at, p.restarts, p.last_exit, p.next_start_at
  from pgqueue.fleet_host h
  left join lateral pgqueue._reported_processes(h.processes) p on true;
comment on view pgqueue.fleet_processes is
  'Hosts with `pgqueue fleet`, and the processes that they have, as of their last reports: one a naptime. A host without processes has one row';
comment on column pgqueue.fleet_processes.host is 'The name of the host';
comment on column pgqueue.fleet_processes.host_status is 'online; lost: its last report is older than three naptimes, 10 s at least. Its processes end soon after it, or it cannot reach the database';
comment on column pgqueue.fleet_processes.last_seen_at is 'When its last report came';
comment on column pgqueue.fleet_processes.host_pid is 'The process id of `pgqueue fleet` there';
comment on column pgqueue.fleet_processes.fleet is 'The fleet. NULL: the host has no processes';
comment on column pgqueue.fleet_processes.number is 'Which of the processes of the fleet it is on this host, from 1';
comment on column pgqueue.fleet_processes.worker is 'The name of the worker, as in pgqueue.workers';
comment on column pgqueue.fleet_processes.pid is 'Its process id. NULL: it does not run';
comment on column pgqueue.fleet_processes.state is
  'running; stopping: it finishes its jobs; waiting: it has died and is started again at next_start_at; ended: it has died and is not started again; refused: it cannot be started, see last_exit';
comment on column pgqueue.fleet_processes.started_at is 'When it was last started';
comment on column pgqueue.fleet_processes.restarts is 'How often it was started again after it had died';
comment on column pgqueue.fleet_processes.last_exit is 'How its last process ended, or why it cannot be started. NULL: none has ended';
comment on column pgqueue.fleet_processes.next_start_at is 'When it is started again. NULL: it runs, or is not started again';
grant select on pgqueue.fleet_processes to pgqueue_worker, pgqueue_monitor, pgqueue_admin;

create or replace view pgqueue.fleets with (security_barrier) as
  select f.name as fleet, f.processes, f.queues, f.executors, f.concurrency, f.restart_after, f.changed_at,
         (select count(*) from pgqueue.fleet_processes p where p.fleet = f.name and p.state = 'running' and p.host_status = 'online') as running
  from pgqueue.fleet f;
comment on view pgqueue.fleets is 'The fleets that hosts are asked to keep (pgqueue.set_fleet)';
comment on column pgqueue.fleets.fleet is 'The name of the fleet';
comment on column pgqueue.fleets.processes is 'How many worker processes each host keeps';
comment on column pgqueue.fleets.queues is 'From which queues they take. NULL: those from which pgqueue worker takes by itself';
comment on column pgqueue.fleets.executors is 'How many SQL jobs each runs at the same time. NULL: as many as the host has processors';
comment on column pgqueue.fleets.concurrency is 'How many processes for Celery tasks each has; 0: it runs SQL jobs only';
comment on column pgqueue.fleets.restart_after is 'After how long a process that has died is started again, at first. NULL: never';
comment on column pgqueue.fleets.changed_at is 'When it was last set';
comment on column pgqueue.fleets.running is 'How many of its processes run now, on all hosts that are online';
grant select on pgqueue.fleets to pgqueue_worker, pgqueue_monitor, pgqueue_admin;
