select role, over_quota, messages, max_messages, delayed, max_delayed, megabytes, max_megabytes, queues, max_queues, exchanges, max_exchanges, bindings, max_bindings
from pgqueue.quotas
order by role
