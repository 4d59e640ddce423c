select count(*), min(id), min(error)
from pgqueue.jobs
where state = 'queued' and error is not null and sqlstate is distinct from '28000'
