-- Running a job in the top-level lane: its transaction, its settings, its end.

-- name: begin_any_job
select pgqueue._begin_any_job(%(id)s, %(token)s)

-- name: begin_job
select pgqueue._begin_job(%(id)s, %(token)s)

-- name: enter_job
select pgqueue._enter_job(%(id)s, %(token)s, %(names)s::pg_catalog.text[], %(values)s::pg_catalog.text[])

-- name: apply_settings
select pg_catalog.set_config(s.name, s.value, false)
from rows from (pg_catalog.unnest(%(names)s::pg_catalog.text[]), pg_catalog.unnest(%(values)s::pg_catalog.text[])) as s (name, value)

-- name: settle_session
-- A setting that this version of the server does not know is left out.
select pg_catalog.set_config(s.name, s.value, false)
from rows from (pg_catalog.unnest(%(names)s::pg_catalog.text[]), pg_catalog.unnest(%(values)s::pg_catalog.text[])) as s (name, value)
where pg_catalog.current_setting(s.name, true) is not null

-- name: settle_transaction
-- A setting that this version of the server does not know is left out.
select pg_catalog.set_config(s.name, s.value, true)
from rows from (pg_catalog.unnest(%(names)s::pg_catalog.text[]), pg_catalog.unnest(%(values)s::pg_catalog.text[])) as s (name, value)
where pg_catalog.current_setting(s.name, true) is not null

-- name: leave_job_settings
select pg_catalog.set_config('session_authorization', null, false),
       pg_catalog.set_config('role', 'none', false),
       pg_catalog.set_config('statement_timeout', '0', true),
       pg_catalog.set_config('lock_timeout', '0', true)

-- name: arm_timeout
select pg_catalog.set_config('statement_timeout', least(%(remaining_ms)s, 2147483647, nullif(ceil(extract(epoch from current_setting('statement_timeout')::interval) * 1000)::bigint, 0))::text, %(is_local)s)

-- name: begin_transaction
begin read write

-- name: begin_own_transaction
begin isolation level read committed read write not deferrable

-- name: commit_transaction
commit

-- name: roll_back_transaction
rollback

-- name: start_read_only
savepoint pgqueue_job

-- name: end_read_only
release savepoint pgqueue_job

-- name: begin_savepoint
savepoint pgqueue_testing

-- name: release_savepoint
release savepoint pgqueue_testing

-- name: read_settings
select name, pg_catalog.current_setting(name, true) from pg_catalog.unnest(%(names)s::pg_catalog.text[]) as s (name)

-- name: check_constraints
set constraints all immediate

-- name: append_result
select pgqueue._append_result(%(id)s, %(token)s, %(seq)s, %(rows)s::pg_catalog.jsonb)

-- name: keep_notices
select pgqueue._keep_notices(%(id)s, %(token)s, %(notices)s::pg_catalog.jsonb)

-- name: set_progress
select pgqueue._note_run(%(id)s, %(token)s, %(pid)s, %(run_s)s), pgqueue._set_progress(%(id)s, %(token)s, %(pct)s, %(msg)s)

-- name: write_job_log
select pgqueue._write_job_log(%(lines)s::pg_catalog.jsonb)

-- name: complete_job
select pgqueue._complete_job(%(id)s, %(token)s, %(command_tags)s::pg_catalog.text[], %(row_count)s, %(columns)s::pg_catalog.jsonb, %(rows)s::pg_catalog.jsonb, %(output_settings)s::pg_catalog.jsonb, %(has_committed)s::pg_catalog.bool)

-- name: fail_job
select pgqueue._fail_job(%(id)s, %(token)s, %(error)s::pg_catalog.jsonb, %(run_s)s)

-- name: fail_any_job
select pgqueue._fail_any_job(%(id)s, %(token)s, %(error)s::pg_catalog.jsonb)

-- name: acquit
select pgqueue._acquit(%(ids)s::bigint[], %(tokens)s::bigint[])

-- name: defer_job
select pgqueue._defer_job(%(id)s, %(token)s, %(note)s, pg_catalog.make_interval(secs => %(delay)s),
                          pg_catalog.make_interval(secs => %(longest)s))

-- name: retry_deferred
select pgqueue._retry_deferred(r.oid) from pg_catalog.pg_roles r where r.rolname = %(role)s

-- name: check_dependencies
select pgqueue._check_dependencies(1, %(id)s)

-- name: note_run
select pgqueue._note_run(%(id)s, %(token)s, %(pid)s, %(run_s)s)

-- name: request_cancel
select pgqueue._request_cancel(%(id)s, %(token)s)

-- name: cancel_requests
select id, terminate_at, seconds_left from pgqueue._cancel_requests(%(ids)s, %(tokens)s)

-- name: empty_session
select pgqueue._reset_session()

-- name: reset_session
-- This is DISCARD ALL without DISCARD PLANS: planning pgqueue's own functions again would cost each job some milliseconds.
close all;
set session authorization default;
reset all;
deallocate all;
unlisten *;
select pg_catalog.pg_advisory_unlock_all();
discard temp;
discard sequences;

-- name: session_start
-- The result is in microseconds, because in a job's session the text of an instant depends on settings of the database or the
-- role.
select (extract(epoch from pg_catalog.pg_postmaster_start_time()) operator(pg_catalog.*) 1000000)::pg_catalog.int8,
       (extract(epoch from a.backend_start) operator(pg_catalog.*) 1000000)::pg_catalog.int8
from pg_catalog.pg_stat_activity a
where a.pid operator(pg_catalog.=) pg_catalog.pg_backend_pid()
