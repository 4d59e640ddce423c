select pgqueue._stop_awaiting(%(task_ids)s::text[], %(was_asleep)s);
