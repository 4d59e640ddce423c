-- Fleets: what administrators ask for, what hosts report.

-- name: report_fleet
select naptime, is_held, name, wanted, queues, executors, concurrency, restart_after, version
from pgqueue._report_fleet(%(host)s::text, %(instance)s::uuid, %(pid)s::int, %(processes)s::jsonb)

-- name: leave_fleet
select pgqueue._leave_fleet(%(host)s::text, %(instance)s::uuid)

-- name: set_fleet
select pgqueue.set_fleet(%(fleet)s::text, %(processes)s::int, queues => %(queues)s::text[], executors => %(executors)s::int,
                         concurrency => %(concurrency)s::int, restart_after => %(restart_after)s::interval)

-- name: remove_fleet
select pgqueue.remove_fleet(%(fleet)s::text)

-- name: list_fleets
select fleet, processes, queues, executors, concurrency, restart_after, changed_at, running
from pgqueue.fleets
order by fleet

-- name: list_fleet_processes
select host, host_status, last_seen_at, host_pid, fleet, number, worker, pid, state, started_at, restarts, last_exit, next_start_at
from pgqueue.fleet_processes
order by host, fleet, number
