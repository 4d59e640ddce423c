select pgqueue._set_chord_size(%(group_id)s, %(size)s, make_interval(secs => %(lifetime_seconds)s::float8));
