select worker from pgqueue.workers where status = 'online' order by worker
