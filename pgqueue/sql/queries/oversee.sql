select id, run_for_ms, is_canceled, is_overdue, is_final
from pgqueue._oversee(%(ids)s, %(pids)s, %(secrets)s, %(least_ms)s)
