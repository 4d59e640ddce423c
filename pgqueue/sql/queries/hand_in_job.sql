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
