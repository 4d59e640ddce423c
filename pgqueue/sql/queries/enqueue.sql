-- Submitting jobs.

-- name: enqueue_plain_job
-- What pgqueue._enqueue does with a job that has no option but its queue, without the call of a function, which would take a quarter of it.
insert into pgqueue.outbox (cookie, session_id, kind, queue, sql, params, settings, timeout)
select %(cookie)s::bigint, pgqueue._session_id(), 'job', %(queue)s::text, %(sql)s::text, %(params)s::text[], pgqueue._inherited(s.captured),
       pgqueue._inherited_timeout(s.captured)
from (select pgqueue._known_settings(%(backend_pid)s::int, %(settings)s::jsonb) offset 0) s (captured)
returning id, cookie, case when not pgqueue._nobody_sleeps(%(queue)s::text) then pgqueue._wake(%(queue)s::text) end

-- name: enqueue_job
select id, cookie
from pgqueue.enqueue(
    sql => %(sql)s,
    params => %(params)s::text[],
    queue => %(queue)s,
    priority => %(priority)s::int,
    delay => %(delay)s::interval,
    eta => %(eta)s::timestamptz,
    expires => %(expires)s::timestamptz,
    timeout => %(timeout)s::interval,
    max_attempts => %(max_attempts)s::int,
    backoff => %(backoff)s::interval,
    unique_key => %(unique_key)s,
    label => %(label)s,
    durability => %(durability)s,
    keep_result => %(keep_result)s::boolean
)

-- name: enqueue_jobs
select id, cookie
from pgqueue.enqueue_many(
    sql => %(sql)s::text[],
    params => %(params)s::text[],
    queue => %(queue)s,
    priority => %(priority)s::int,
    delay => %(delay)s::interval,
    eta => %(eta)s::timestamptz,
    expires => %(expires)s::timestamptz,
    timeout => %(timeout)s::interval,
    max_attempts => %(max_attempts)s::int,
    backoff => %(backoff)s::interval,
    unique_keys => %(unique_keys)s::text[],
    label => %(label)s,
    durability => %(durability)s,
    keep_result => %(keep_result)s::boolean,
    rows => %(rows)s::text[]
)

-- name: enqueue_own_job
select id, cookie
from pgqueue._enqueue(
    case when %(keep_result)s::boolean then 'many' else 'none' end::pgqueue.result_kept,
    pgqueue._known_settings(%(backend_pid)s::int, %(settings)s::jsonb),
    %(sql)s,
    %(params)s::text[],
    %(queue)s,
    %(priority)s::int,
    %(delay)s::interval,
    %(eta)s::timestamptz,
    %(expires)s::timestamptz,
    %(timeout)s::interval,
    %(max_attempts)s::int,
    %(backoff)s::interval,
    %(unique_key)s,
    %(label)s,
    %(durability)s
)

-- name: enqueue_own_jobs
select id, cookie
from pgqueue._enqueue_many(
    case when %(keep_result)s::boolean then 'many' else 'none' end::pgqueue.result_kept,
    pgqueue._known_settings(%(backend_pid)s::int, %(settings)s::jsonb),
    %(sql)s::text[],
    %(params)s::text[],
    %(queue)s,
    %(priority)s::int,
    %(delay)s::interval,
    %(eta)s::timestamptz,
    %(expires)s::timestamptz,
    %(timeout)s::interval,
    %(max_attempts)s::int,
    %(backoff)s::interval,
    %(unique_keys)s::text[],
    %(label)s,
    %(durability)s,
    %(rows)s::text[]
)

-- name: hand_in_job
select id, cookie
from pgqueue._hand_in(
    %(kept)s,
    pgqueue._known_settings(%(backend_pid)s::int, %(settings)s::jsonb),
    %(sql)s,
    %(params)s::text[],
    %(queue)s,
    %(priority)s::int,
    %(delay)s::interval,
    %(eta)s::timestamptz,
    %(expires)s::timestamptz,
    %(timeout)s::interval,
    %(max_attempts)s::int,
    %(backoff)s::interval,
    %(unique_key)s,
    %(label)s,
    %(durability)s
)

-- name: capture_settings
select pg_backend_pid(), pgqueue._settings()::text
