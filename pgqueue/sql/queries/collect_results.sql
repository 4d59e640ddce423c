select asleep, task_id, state, payload
from pgqueue._collect_results(%(new_ids)s::text[], %(was_asleep)s);
