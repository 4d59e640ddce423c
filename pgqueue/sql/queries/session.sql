-- Any session of pgqueue: listening, read-only mode, the server it is connected to.

-- name: do_nothing
select 1

-- name: listen
listen {channel};

-- name: unlisten
unlisten {channel};

-- name: set_read_only
set transaction read only

-- name: schema_version
-- The major and the minor number of the newest version that has upgraded the schema.
select pgqueue._schema_version()

-- name: server_pid
select pg_catalog.pg_backend_pid()

-- name: server_started_at
select (extract(epoch from pg_catalog.pg_postmaster_start_time()) * 1000000)::bigint

-- name: database_identity
select pg_postmaster_start_time(), d.oid from pg_database d where d.datname = current_database();

-- name: terminate_session
-- A pid alone may belong to another session by now. 0: end it as soon as the server can.
select pg_catalog.pg_terminate_backend(a.pid, %(wait_ms)s)
from pg_catalog.pg_stat_activity a
where a.pid = %(pid)s and (extract(epoch from a.backend_start) * 1000000)::bigint = %(started_at)s and a.usename = current_user
