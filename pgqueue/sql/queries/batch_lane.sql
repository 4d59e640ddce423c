-- Running jobs in the batch lane.

-- name: run_jobs
call pgqueue_run.{jobs}(%(ids)s, %(tokens)s, %(worker)s, %(is_new_role)s)

-- name: run_groups
call pgqueue_run.{groups}(%(ids)s, %(tokens)s, %(worker)s, null, null, %(is_new_role)s)

-- name: settle_run
select id, token, ending, label, queue, role, attempt, traceparent
from pgqueue._settle_run(%(ids)s, %(tokens)s, %(error)s::pg_catalog.jsonb, %(is_jobs)s, %(run_seconds)s, %(pid)s)

-- name: oversee
select id, run_for_ms, is_canceled, is_overdue, is_final, xact
from pgqueue._oversee(%(ids)s, %(tokens)s, %(pids)s, %(least_ms)s, %(grace_ms)s)

-- name: sample_waits
select waiting, running from pgqueue._sample_waits(%(pids)s)

-- name: stop_run
select pgqueue._stop_run(%(id)s, %(token)s, %(pid)s, %(is_final)s, %(behind_ids)s, %(behind_tokens)s, %(xact)s)

-- name: set_run_progress
select pgqueue._set_run_progress(%(id)s, %(token)s, %(pid)s, %(pct)s, %(msg)s)

-- name: forget_role
-- On PostgreSQL 18 and newer a trigger may run at the commit, after the job's own reset: as the submitter, but it leaves what it likes.
close all;
reset all;
deallocate all;
unlisten *;
select pg_catalog.pg_advisory_unlock_all();
discard temp;
discard sequences;
select pgqueue_run.forget_role();
-- A signal that is sent too late to a job whose call ended with an error ends this statement at the latest.
select pgqueue_run.pass_gate()

-- name: running_message
select message::text, message -> 'headers' ->> 'shadow'
from pgqueue._running_message(%(id)s, %(token)s) as m (message)
where message is not null

-- name: ended_jobs
select id, label, preview, attempts, state, started_at, ended_at, command_tag, error from pgqueue._ended_jobs(%(ids)s, %(detailed)s)

-- name: retried_jobs
select id, label, preview, attempts from pgqueue._retried_jobs(%(ids)s)

-- name: traced_jobs
select id, traceparent, queue, attempt, first_traceparent from pgqueue._traced_jobs(%(ids)s, %(tokens)s)

-- name: set_run_traceparent
-- For the next job that the session runs; the reset after the job takes it away.
select pg_catalog.set_config('pgqueue.run_traceparent', %(traceparent)s, false)

-- name: enter_result
-- The transaction's settings before a job that keeps its result runs: its runner makes the others.
select pgqueue_run.check_result(%(role)s), pg_catalog.set_config('application_name', %(application_name)s, true),
       pg_catalog.set_config('pgqueue.run_traceparent', %(traceparent)s, true),
       pg_catalog.set_config('statement_timeout', %(statement_timeout)s, true)

-- name: run_result
select r.line from pgqueue_run.{result}(%(id)s, %(token)s, %(form)s) as r (line)

-- name: leave_result
select from pgqueue_run.{result}(null, null, null)

-- name: append_rows
select pgqueue_run.append_rows(%(id)s, %(token)s, %(seq)s, %(rows)s::pg_catalog.jsonb)

-- name: finish_result
select pgqueue_run.finish_result(%(id)s, %(token)s, %(command_tags)s::pg_catalog.text[], %(row_count)s, %(columns)s::pg_catalog.jsonb, %(rows)s::pg_catalog.jsonb,
                                 %(output_settings)s::pg_catalog.jsonb, %(notices)s::pg_catalog.jsonb, %(is_async)s, %(snooze_ms)s)

-- name: needs_top_level
select pgqueue._needs_top_level(%(error)s::pg_catalog.jsonb, %(sql)s)

-- name: fail_result
select pgqueue_run.fail_result(%(id)s, %(token)s, %(error)s::pg_catalog.jsonb, %(run_s)s, %(notices)s::pg_catalog.jsonb)
