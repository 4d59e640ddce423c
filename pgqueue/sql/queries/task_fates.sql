select task_id, fate, queue, outcome
from pgqueue._task_fates(%(task_ids)s::text[], %(workers)s::text[], %(seen_at)s::float8[])
