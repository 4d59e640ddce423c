select id, token, verdict, label
from pgqueue._settle_run(%(ids)s, %(tokens)s, %(error)s::pg_catalog.jsonb, %(is_jobs)s, %(run_seconds)s, %(pid)s)
