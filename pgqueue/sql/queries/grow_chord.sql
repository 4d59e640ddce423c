select pgqueue._grow_chord(%(group_id)s, make_interval(secs => %(lifetime_seconds)s::float8));
