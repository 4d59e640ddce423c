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
