select submitter::text, queue, workers_launched, workers_completed, workers_failed, workers_canceled, workers_active,
       avg_execution_ms, max_workers
from pgqueue.stats_total
order by submitter, queue
