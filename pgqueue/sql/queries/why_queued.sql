select case
           when j.sqlstate = '28000' then 'a login: ' || j.error
           when j.eta > clock_timestamp() and j.error is not null then 'its next attempt, at ' || date_trunc('second', j.eta) || ': ' || j.error
           when j.eta > clock_timestamp() then 'its time, ' || date_trunc('second', j.eta)
           when exists (select from pgqueue.queues q where q.queue = j.queue and q.paused) then 'the end of the pause of queue ' || j.queue
           when not exists (
               select from pgqueue.workers w where w.status <> 'lost' and w.executors > 0 and j.queue = any (w.queues)
           ) then 'a worker: no live one takes from queue ' || j.queue
           when j.worker is not null then 'other jobs that worker ' || j.worker || ' runs first'
           else 'a free executor'
       end as waits_for
from pgqueue.jobs j
where j.id = %(id)s and j.state = 'queued'
