-- A number alone may be another session's by now. 0: as soon as the server can.
select pg_catalog.pg_terminate_backend(a.pid, %(wait_ms)s)
from pg_catalog.pg_stat_activity a
where a.pid = %(pid)s and (extract(epoch from a.backend_start) * 1000000)::bigint = %(started_at)s and a.usename = current_user
