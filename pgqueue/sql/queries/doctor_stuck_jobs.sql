select count(*), min(id), min(error)
from pgqueue.jobs
where state = 'queued' and error is not null
