-- Submitting jobs.

-- name: enqueue_plain_job
-- Does what pgqueue._enqueue does with a job that has no option but its queue, without the cost of a function call.
insert into pgqueue.outbox (cookie, session_id, kind, queue, sql, params, settings, timeout)
select %(cookie)s::bigint, pgqueue._session_id(), 'job', %(queue)s::text, %(sql)s::text, %(params)s::text[], pgqueue._inherited(s.captured),
       pgqueue._inherited_timeout(s.captured)
from (select pgqueue._known_settings(%(backend_pid)s::int, %(settings)s::jsonb) offset 0) s (captured)
returning id, cookie, case when not pgqueue._nobody_sleeps(%(queue)s::text) then pgqueue._wake(%(queue)s::text) end

-- name: enqueue_job
select id, cookie
from pgqueue._enqueue(
    case when %(keep_result)s::boolean then 'many' else 'none' end::pgqueue.result_kept,
    coalesce((select s.settings from pgqueue.own_settings s), pgqueue._settings()),
    %(sql)s,
    %(params)s::text[],
    pg_catalog.jsonb_populate_record(null::pgqueue.job_options, %(options)s::pg_catalog.jsonb)
)

-- name: enqueue_jobs
select id, cookie
from pgqueue._enqueue_many(
    case when %(keep_result)s::boolean then 'many' else 'none' end::pgqueue.result_kept,
    pgqueue._settings(),
    %(sql)s::text[],
    %(params)s::text[],
    pg_catalog.jsonb_populate_record(null::pgqueue.job_options, %(options)s::pg_catalog.jsonb),
    %(unique_keys)s::text[],
    %(rows)s::text[]
)

-- name: enqueue_own_job
select id, cookie
from pgqueue._enqueue(
    case when %(keep_result)s::boolean then 'many' else 'none' end::pgqueue.result_kept,
    pgqueue._known_settings(%(backend_pid)s::int, %(settings)s::jsonb),
    %(sql)s,
    %(params)s::text[],
    pg_catalog.jsonb_populate_record(null::pgqueue.job_options, %(options)s::pg_catalog.jsonb)
)

-- name: enqueue_own_jobs
select id, cookie
from pgqueue._enqueue_many(
    case when %(keep_result)s::boolean then 'many' else 'none' end::pgqueue.result_kept,
    pgqueue._known_settings(%(backend_pid)s::int, %(settings)s::jsonb),
    %(sql)s::text[],
    %(params)s::text[],
    pg_catalog.jsonb_populate_record(null::pgqueue.job_options, %(options)s::pg_catalog.jsonb),
    %(unique_keys)s::text[],
    %(rows)s::text[]
)

-- name: hand_in_job
select id, cookie
from pgqueue._hand_in(
    %(kept)s,
    pgqueue._known_settings(%(backend_pid)s::int, %(settings)s::jsonb),
    %(sql)s,
    %(params)s::text[],
    pg_catalog.jsonb_populate_record(null::pgqueue.job_options, %(options)s::pg_catalog.jsonb)
)

-- name: capture_settings
-- With the version of the schema, which a client checks when it connects: a query of its own would take as long again.
select pg_backend_pid(), pgqueue._settings()::text, pgqueue._schema_version()

-- name: make_batch
select pgqueue.batch(%(label)s, %(on_success)s, %(on_failure)s, %(on_end)s)
