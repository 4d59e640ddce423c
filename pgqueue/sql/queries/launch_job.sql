select id, cookie
from pgqueue.launch(
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
    durability => %(durability)s
)
