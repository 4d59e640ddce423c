select pg_catalog.pg_postmaster_start_time(), a.backend_start
from pg_catalog.pg_stat_activity a
where a.pid = pg_catalog.pg_backend_pid()
