select pgqueue._publish(
  %(exchange)s, %(routing_key)s, %(message)s::json, %(priority)s, %(eta)s::timestamptz,
  clock_timestamp() + make_interval(secs => %(ttl_seconds)s::float8));
