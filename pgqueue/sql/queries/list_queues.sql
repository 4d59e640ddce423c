select queue, ready, delayed, claimed, oldest_ready_at, paused, consumers, durability
from pgqueue.queues
order by queue
