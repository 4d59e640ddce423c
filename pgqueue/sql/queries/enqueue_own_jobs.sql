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
