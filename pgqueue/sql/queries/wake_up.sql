select pgqueue._wake_up(%(queues)s::text[]);
