select pgqueue._finish_chord(%(group_id)s);
