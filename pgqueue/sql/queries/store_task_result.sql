select pgqueue._store_task_result(
  %(task_id)s, %(state)s, %(content_type)s, %(payload)s::bytea, make_interval(secs => %(lifetime_seconds)s::float8));
