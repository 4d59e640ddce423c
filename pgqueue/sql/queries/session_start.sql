-- In microseconds: in a job's session, the text of an instant is as the database or the role has it.
select (extract(epoch from pg_catalog.pg_postmaster_start_time()) operator(pg_catalog.*) 1000000)::pg_catalog.int8,
       (extract(epoch from a.backend_start) operator(pg_catalog.*) 1000000)::pg_catalog.int8
from pg_catalog.pg_stat_activity a
where a.pid operator(pg_catalog.=) pg_catalog.pg_backend_pid()
