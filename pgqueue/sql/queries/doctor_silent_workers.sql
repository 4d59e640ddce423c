select worker, extract(epoch from clock_timestamp() - last_seen_at)::float8
from pgqueue.workers
where status = 'online' and last_seen_at < clock_timestamp() - interval '1 minute'
order by last_seen_at
