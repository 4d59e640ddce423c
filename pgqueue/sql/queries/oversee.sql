select id, run_for_ms, is_canceled, is_overdue, is_final
from pgqueue._oversee(%(ids)s, %(tokens)s, %(pids)s, %(least_ms)s, %(grace_ms)s)
