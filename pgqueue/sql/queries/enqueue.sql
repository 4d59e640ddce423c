-- Submitting jobs.

-- name: enqueue_plain_job
-- Does what pgqueue._enqueue does with a job that has no option but its queue, without the cost of a function call. Only in the
-- server session whose settings were captured: no pooler stands before it.
insert into pgqueue.job_outbox (cookie, session_id, queue, sql, params, settings)
values (%(cookie)s::bigint, pgqueue._session_id(), %(queue)s::text, %(sql)s::text, %(params)s::text[], %(plain_settings)s::jsonb)
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
-- With the version of the schema, which a client checks when it connects: a query of its own would take as long again. The settings
-- of a plain job are NULL if there is a timeout: then no job is plain.
select pg_backend_pid(), s.captured::text, case when pgqueue._inherited_timeout(s.captured) is null then pgqueue._inherited(s.captured)::text end,
       pgqueue._schema_version()
from (select pgqueue._settings() offset 0) s (captured)

-- name: make_batch
select pgqueue.batch(%(label)s, %(on_success)s, %(on_failure)s, %(on_end)s)
