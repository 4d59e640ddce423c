select pgqueue._save_task_group(%(group_id)s, %(payload)s::bytea, make_interval(secs => %(lifetime_seconds)s::float8));
