select asleep, seconds_to_next_due
from pgqueue._fall_asleep(%(queues)s::text[]);
