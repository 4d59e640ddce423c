select task_id, payload
from pgqueue._task_results(%(task_ids)s::text[]);
