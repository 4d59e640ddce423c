-- After a purge, what waits is jobs.
select ready + delayed
from pgqueue.queues
where queue = %(queue)s
