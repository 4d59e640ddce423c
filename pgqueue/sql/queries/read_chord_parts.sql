select pgqueue._chord_parts(%(group_id)s);
