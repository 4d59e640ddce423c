-- A job by its handle: wait, result, cancel.

-- name: find_handle
select id, cookie from pgqueue._handle(%(id)s::bigint)

-- name: job_status
select id, state::text, queue, priority, label, statement, submitter::text, launched_at, eta, started_at, ended_at,
       duration_ms, attempts, max_attempts, worker, backend_pid, progress_pct, progress_msg, rows,
       command_tag, sqlstate, error, error_detail, error_hint, error_context,
       retried_from, parents, snoozes, (handle).cookie as cookie
from pgqueue.jobs
where id = %(id)s

-- name: wait_for_job
select pgqueue.wait(row(%(id)s::bigint, %(cookie)s::bigint)::pgqueue.handle, %(timeout)s::interval)

-- name: find_gone_jobs
-- Those of the jobs that the caller's queue has not: they have ended, or are another role's, or unknown. Each is looked up
-- by its number (offset 0), because a join may read the whole queue.
select w.id
from unnest(%(ids)s::bigint[], %(cookies)s::bigint[]) w (id, cookie)
left join lateral (select o.id from pgqueue.outbox o where o.id = w.id and o.cookie = w.cookie offset 0) queued on true
where queued.id is null

-- name: read_result
select seq, answer
from pgqueue._read_result(row(%(id)s::bigint, %(cookie)s::bigint)::pgqueue.handle)
order by seq

-- name: cancel_job
select pgqueue.cancel(row(%(id)s::bigint, %(cookie)s::bigint)::pgqueue.handle, %(grace)s::interval)

-- name: update_job
select pgqueue.update(row(%(id)s::bigint, %(cookie)s::bigint)::pgqueue.handle, eta => %(eta)s::timestamptz, priority => %(priority)s::int,
                      queue => %(queue)s, params => %(params)s::text[], timeout => %(timeout)s::interval)

-- name: detach_job
select pgqueue.detach(row(%(id)s::bigint, %(cookie)s::bigint)::pgqueue.handle)

-- name: job_statement
select pgqueue.statement(row(%(id)s::bigint, %(cookie)s::bigint)::pgqueue.handle)

-- name: get_progress
select progress_pct, progress_msg from pgqueue.get_progress(row(%(id)s::bigint, %(cookie)s::bigint)::pgqueue.handle)

-- name: job_log
select at, severity, sqlstate, message, detail, hint
from pgqueue.job_log(row(%(id)s::bigint, %(cookie)s::bigint)::pgqueue.handle)

-- name: retry_job
-- With a number only: of the caller's own jobs the view has the handle. Administrators need none.
select (r).id, (r).cookie
from pgqueue.retry(coalesce((select j.handle from pgqueue.jobs j where j.id = %(id)s::bigint and %(cookie)s::bigint is null),
                            row(%(id)s::bigint, %(cookie)s::bigint)::pgqueue.handle)) r

-- name: job_attempts
select id, attempt, started_at, ended_at, duration_ms, worker, sqlstate, error, error_detail, error_hint, error_context
from pgqueue.attempts
where id = %(id)s
order by ended_at, attempt
