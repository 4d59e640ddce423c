select worker, started_at, last_seen_at, status, items_processed, last_run_at, executors, running
from pgqueue.workers
order by worker
