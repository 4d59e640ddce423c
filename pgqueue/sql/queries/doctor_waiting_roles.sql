select submitter::text, count(*), min(error)
from pgqueue.jobs
where state = 'queued' and sqlstate = '28000'
group by submitter
order by submitter
