select count(*), max(extract(epoch from clock_timestamp() - eta))::float8
from pgqueue.jobs
where state = 'queued' and eta < clock_timestamp() - interval '1 minute'
