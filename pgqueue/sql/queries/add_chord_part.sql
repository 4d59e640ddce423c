select pgqueue._add_chord_part(
  %(group_id)s, %(place)s::int, %(task_id)s, %(payload)s::bytea, make_interval(secs => %(lifetime_seconds)s::float8));
